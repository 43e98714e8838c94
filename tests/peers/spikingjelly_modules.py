"""What of ours each recorded module of SpikingJelly is compared with.

A function takes the configuration and the arrays of a case, and returns our layer, and
a list of its weights: each with a function that finds its value (`"param"`) or gradient
(`"grad"`) among the arrays, and with whether it is learned. Channels are last here.
"""

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking import surrogates


def last(x):
    """Channels first to channels last, after `(batch, time)`."""
    return np.moveaxis(x, 2, -1)


def first(x):
    return np.moveaxis(x, -1, 2)


def same(x):
    return x


def neuron(cls, **given):
    def make(config, arrays):
        layer = cls(**given, **config)
        layer.build(arrays["x"].shape)
        return layer, []

    return make


def resonate(config, arrays):
    config = dict(config)
    b, omega, dt = (config.pop(k, v) for k, v in [("b", -0.2), ("omega", 1), ("dt", 1)])
    layer = layers.ResonateAndFireLayer(
        2.0 * np.pi / (omega * dt), tau=-1.0 / (b * dt), **config
    )
    layer.build(arrays["x"].shape)
    return layer, []


def membrane_normalization(config, arrays):
    layer = layers.MembraneBatchNormalizationLIFLayer(
        **config, data_format="channels_first"
    )
    layer.build(arrays["x"].shape)

    def per_channel(name):
        shape = tuple(layer.gamma.shape)
        return lambda a, kind: a[f"{kind}_vbn.{name}"].reshape(shape)

    return layer, [
        (layer.gamma, per_channel("weight"), True),
        (layer.beta, per_channel("bias"), True),
        (layer.moving_mean, per_channel("running_mean"), False),
        (layer.moving_variance, per_channel("running_var"), False),
    ]


def standardized_dense(config, arrays):
    layer = layers.WeightStandardizedDense(4, **config)
    layer.build(arrays["x"].shape)
    weights = [
        (layer.kernel, lambda a, kind: a[f"{kind}_weight"].T, True),
        (layer.bias, lambda a, kind: a[f"{kind}_bias"], True),
    ]
    if layer.use_gain:
        weights.append((layer.gain, lambda a, kind: a[f"{kind}_gain"][:, 0], True))
    return layer, weights


def standardized_conv2d(config, arrays):
    layer = layers.WeightStandardizedConv2D(6, 3, **config)
    container = layers.SeqToBatch(layer)
    container.build(last(arrays["x"]).shape)
    return container, [
        (layer.kernel, lambda a, k: a[f"{k}_weight"].transpose(2, 3, 1, 0), True),
        (layer.bias, lambda a, k: a[f"{k}_bias"], True),
        (layer.gain, lambda a, k: a[f"{k}_gain"].ravel(), True),
    ]


def _projection(projection, name, part, parts):
    """Weights of a dense layer and its normalisation: one of `parts` of `name`."""
    dense, normalization = projection[:2]

    def of(key):
        def values(a, kind):
            value = np.split(a[f"{kind}_{name}.{key}"], parts)[part]
            return value.reshape(value.shape[:2]).T if value.ndim > 2 else value

        return values

    return [
        (dense.kernel, of("0.weight"), True),
        (normalization.gamma, of("1.weight"), True),
        (normalization.beta, of("1.bias"), True),
    ]


def qk_attention(config, arrays):
    layer = layers.QKAttention(**config)
    layer.build(last(arrays["x"]).shape)
    return layer, [
        *_projection(layer.query, "qk_conv_bn", 0, 2),
        *_projection(layer.key, "qk_conv_bn", 1, 2),
        *_projection(layer.output_projection, "proj_conv_bn", 0, 1),
    ]


def spiking_self_attention(config, arrays):
    layer = layers.SpikingSelfAttention(**config)
    layer.build(last(arrays["x"]).shape)
    return layer, [
        *_projection(layer.query, "qkv_conv_bn", 0, 3),
        *_projection(layer.key, "qkv_conv_bn", 1, 3),
        *_projection(layer.value, "qkv_conv_bn", 2, 3),
        *_projection(layer.output_projection, "proj_conv_bn", 0, 1),
    ]


def spike_driven_self_attention(config, arrays):
    """Theirs holds the neurons before and the shortcut around what ours is."""
    batch, time, channels, height, width = arrays["x"].shape
    tokens = keras.Input((time, height * width, channels))
    attention = layers.SpikeDrivenSelfAttention()
    spikes = layers.LIFLayer(tau=2.0, detach_reset=True)(tokens)
    model = keras.Model(tokens, attention(spikes) + tokens)
    names = {"q": attention.value, "k": attention.key, "v": attention.query}
    weights = []
    for name, projection in {**names, "proj": attention.output_projection}.items():
        dense, normalization = projection[:2]

        def of(key):
            def values(a, kind):
                value = a[f"{kind}_{key}"]
                return value.reshape(value.shape[:2]).T if value.ndim > 2 else value

            return values

        weights += [
            (dense.kernel, of(f"{name}_conv.weight"), True),
            (normalization.gamma, of(f"{name}_bn.weight"), True),
            (normalization.beta, of(f"{name}_bn.bias"), True),
        ]
    return model, weights


CELLS = {
    "vanilla": layers.SpikingRNNCell,
    "lstm": layers.SpikingLSTMCell,
    "gru": layers.SpikingGRUCell,
}


def recurrent(kind, second=False, count=1, bidirectional=False):
    def make(config, arrays):
        options = {}
        if second:
            options["candidate_surrogate"] = surrogates.Sigmoid(alpha=2.0)
        cells = [CELLS[kind](4, **options) for _ in range(count)]
        layer = layers.StackedRNN(cells, bidirectional=bidirectional)
        layer.build(arrays["x"].shape)
        weights = []
        for i, inner in enumerate(layer.layers):
            ways = {"cells": inner}
            if bidirectional:
                ways = {
                    "cells": inner.forward_layer,
                    "cells_reverse": inner.backward_layer,
                }
            for name, way in ways.items():
                weights += _cell(way.cell, f"{name}.{i}", kind)
        return layer, weights

    return make


def _cell(cell, name, kind):
    def bias(a, what):
        rows = [a[f"{what}_{name}.linear_{side}.bias"] for side in ("ih", "hh")]
        if kind == "gru":
            return np.stack(rows)
        return sum(rows) if what == "param" else rows[0]

    def kernel(side):
        return lambda a, what: a[f"{what}_{name}.linear_{side}.weight"].T

    return [
        (cell.kernel, kernel("ih"), True),
        (cell.recurrent_kernel, kernel("hh"), True),
        (cell.bias, bias, True),
    ]


def linear_recurrent(config, arrays):
    dense = keras.layers.Dense(3)
    layer = layers.LinearRecurrent([layers.LIFLayer(tau=2.0), dense])
    layer.build(arrays["x"].shape)
    return layer, [
        (layer.connection.kernel, lambda a, k: a[f"{k}_rc.weight"].T, True),
        (layer.connection.bias, lambda a, k: a[f"{k}_rc.bias"], True),
        (dense.kernel, lambda a, k: a[f"{k}_sub_module.1.weight"].T, True),
        (dense.bias, lambda a, k: a[f"{k}_sub_module.1.bias"], True),
    ]


def converted(cls):
    def make(config, arrays):
        layer = cls(**config, always_convert=True)
        return layer, []

    return make


def soft_lif(config, arrays):
    return neuron(layers.LIFLayer, surrogate=surrogates.ATan(spiking=False))(
        config, arrays
    )


def tokens(x):
    """Images with channels first to tokens."""
    x = last(x)
    return x.reshape(*x.shape[:2], -1, x.shape[-1])


# The longest name that a case starts with: what makes ours, and the layout of its
# input and output, `None` where it is the same.
MODULES = {
    "mpbn": (membrane_normalization, same),
    "raf": (resonate, same),
    "clif": (neuron(layers.ComplementaryLIFLayer), same),
    "cuba": (neuron(layers.CubaLayer), same),
    "liaf": (neuron(layers.LIAFLayer), same),
    "ilif": (neuron(layers.ILIFLayer), same),
    "store_v_seq": (neuron(layers.LIFLayer), same),
    "soft_lif": (soft_lif, same),
    "ws_linear": (standardized_dense, same),
    "ws_conv2d": (standardized_conv2d, last),
    "qk_attention": (qk_attention, last),
    "spiking_self_attention": (spiking_self_attention, last),
    "spike_driven_self_attention": (spike_driven_self_attention, tokens),
    "rnn_vanilla": (recurrent("vanilla", count=2, bidirectional=True), same),
    "rnn_lstm": (recurrent("lstm", count=2, bidirectional=True), same),
    "rnn_gru": (recurrent("gru", count=2, bidirectional=True), same),
    "rnn_lstm_second": (recurrent("lstm", second=True), same),
    "rnn_gru_second": (recurrent("gru", second=True), same),
    "linear_recurrent": (linear_recurrent, same),
    "count_to_spikes": (converted(layers.CountToSpikes), same),
    "temporal_bin_sum": (converted(layers.TemporalBinSum), same),
}


def module_of(name):
    return MODULES[max((k for k in MODULES if name.startswith(k)), key=len)]
