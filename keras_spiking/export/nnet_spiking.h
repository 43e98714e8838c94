// Copyright 2026 The keras_spiking authors. Apache License 2.0.
//
// Spiking neurons over (time, features) for hls4ml's Vivado and Vitis backends.

#ifndef NNET_SPIKING_H_
#define NNET_SPIKING_H_

#include "hls_stream.h"
#include "nnet_common.h"

namespace nnet {

struct spiking_config {
    typedef float potential_t;
    typedef float decay_t;

    static const unsigned n_timesteps = 1;
    static const unsigned n_features = 1;
    static const unsigned n_parameters = 1; // 1: all neurons share them
    static const unsigned reuse_factor = 1;
    static const bool leaky = true;
    static const bool decay_input = true;
    static const bool soft_reset = false;
};

// One time step of one neuron: charge, fire, reset.
template <class data_T, class res_T, typename CONFIG_T>
res_T spiking_step(data_T x, typename CONFIG_T::potential_t &v, typename CONFIG_T::decay_t decay,
                   typename CONFIG_T::potential_t threshold, typename CONFIG_T::potential_t baseline) {
    #pragma HLS INLINE

    // Sums and products have all digits; they are rounded once, where they are stored.
    typename CONFIG_T::potential_t h;
    if (!CONFIG_T::leaky) {
        h = v + x;
    } else if (CONFIG_T::decay_input) {
        h = v + (x - (v - baseline)) * decay;
    } else {
        h = v - (v - baseline) * decay + x;
    }
    bool spike = h >= threshold;
    if (!spike) {
        v = h;
    } else if (CONFIG_T::soft_reset) {
        v = h - threshold;
    } else {
        v = baseline;
    }
    return spike ? res_T(1) : res_T(0);
}

template <class data_T, class res_T, typename CONFIG_T>
void spiking(data_T data[CONFIG_T::n_timesteps * CONFIG_T::n_features],
             res_T res[CONFIG_T::n_timesteps * CONFIG_T::n_features],
             typename CONFIG_T::decay_t decay[CONFIG_T::n_parameters],
             typename CONFIG_T::potential_t threshold[CONFIG_T::n_parameters],
             typename CONFIG_T::potential_t baseline[CONFIG_T::n_parameters]) {
    typename CONFIG_T::potential_t v[CONFIG_T::n_features];
    #pragma HLS ARRAY_PARTITION variable=v complete

StartLoop:
    for (unsigned i = 0; i < CONFIG_T::n_features; i++) {
        #pragma HLS UNROLL
        v[i] = baseline[i % CONFIG_T::n_parameters];
    }

TimeLoop:
    for (unsigned t = 0; t < CONFIG_T::n_timesteps; t++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
    NeuronLoop:
        for (unsigned i = 0; i < CONFIG_T::n_features; i++) {
            #pragma HLS UNROLL
            const unsigned p = i % CONFIG_T::n_parameters;
            const unsigned at = t * CONFIG_T::n_features + i;
            res[at] = spiking_step<data_T, res_T, CONFIG_T>(data[at], v[i], decay[p], threshold[p], baseline[p]);
        }
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void spiking(hls::stream<data_T> &data, hls::stream<res_T> &res,
             typename CONFIG_T::decay_t decay[CONFIG_T::n_parameters],
             typename CONFIG_T::potential_t threshold[CONFIG_T::n_parameters],
             typename CONFIG_T::potential_t baseline[CONFIG_T::n_parameters]) {
    typename CONFIG_T::potential_t v[CONFIG_T::n_features];
    #pragma HLS ARRAY_PARTITION variable=v complete

StartLoop:
    for (unsigned i = 0; i < CONFIG_T::n_features; i++) {
        #pragma HLS UNROLL
        v[i] = baseline[i % CONFIG_T::n_parameters];
    }

TimeLoop:
    for (unsigned t = 0; t < CONFIG_T::n_timesteps; t++) {
    PackLoop:
        for (unsigned first = 0; first < CONFIG_T::n_features; first += data_T::size) {
            #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
            data_T in = data.read();
            res_T out;
        NeuronLoop:
            for (unsigned j = 0; j < data_T::size; j++) {
                #pragma HLS UNROLL
                const unsigned i = first + j;
                const unsigned p = i % CONFIG_T::n_parameters;
                out[j] = spiking_step<typename data_T::value_type, typename res_T::value_type, CONFIG_T>(
                    in[j], v[i], decay[p], threshold[p], baseline[p]);
            }
            res.write(out);
        }
    }
}

} // namespace nnet

#endif
