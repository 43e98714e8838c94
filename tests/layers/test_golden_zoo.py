"""The neurons and layers of the zoo reproduce SpikingJelly's numbers."""

import numpy as np
import pytest
from backend import BACKEND
from backend import gradients
from backend import to_numpy
from golden import cases
from golden import load
from keras import ops

from keras_spiking import layers

NEURONS = {
    "klif": layers.KLIFLayer,
    "qif": layers.QIFLayer,
    "eif": layers.EIFLayer,
    "izhikevich": layers.IzhikevichLayer,
    "psn": layers.PSN,
    "masked_psn": layers.MaskedPSN,
    "sliding_psn": layers.SlidingPSN,
}
FIRST = {"data_format": "channels_first"}


def loss(layer, arrays, **kwargs):
    weight = ops.convert_to_tensor(arrays["weight"])
    return lambda x: ops.sum(layer(x, **kwargs) * weight)


def neuron_cases():
    return [case for name in NEURONS for case in cases(f"neurons/{name}")]


def make_neuron(config, file, arrays):
    name = file.removeprefix("neurons__").removesuffix(".npz")
    matching = [n for n in NEURONS if name == n or name.startswith(n + "_")]
    layer = NEURONS[max(matching, key=len)](**config)
    layer.build(arrays["x"].shape)
    names = [n.removeprefix("param_") for n in arrays if n.startswith("param_")]
    weights = {w.name: w for w in layer.weights}
    for weight in names:
        weights[weight].assign(arrays[f"param_{weight}"])
    return layer, [weights[n] for n in names], [arrays[f"grad_{n}"] for n in names]


@pytest.mark.parametrize("config, file", neuron_cases())
def test_spikes_and_potentials_equal_the_stored_ones(config, file):
    arrays = load(file)
    layer, _, _ = make_neuron(config, file, arrays)
    np.testing.assert_array_equal(to_numpy(layer(arrays["x"])), arrays["spikes"])
    if "v_seq" in arrays:
        states = layer.get_initial_state(ops.convert_to_tensor(arrays["x"][:, 0]))
        for t in range(arrays["x"].shape[1]):
            _, states = layer.step(arrays["x"][:, t], states)
            np.testing.assert_allclose(
                to_numpy(states[0]), arrays["v_seq"][:, t], rtol=1e-4, atol=1e-5
            )


@pytest.mark.trains
@pytest.mark.parametrize("config, file", neuron_cases())
def test_gradients_of_neurons_equal_the_stored_ones(config, file):
    arrays = load(file)
    layer, weights, expected = make_neuron(config, file, arrays)
    found = gradients(loss(layer, arrays), [arrays["x"]], weights)
    for a, b in zip(found, [arrays["grad_x"], *expected]):
        scale = np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5 * max(scale, 1.0))


def multi_dimensional_attention(config, a):
    layer = layers.MultiDimensionalAttention(**config, **FIRST)
    layer.build(a["x"].shape)

    def dense(kernel):
        return kernel.reshape(kernel.shape[:2]).T

    return layer, [
        (layer.temporal.squeeze, "ta_sharedMLP_0_weight", dense),
        (layer.temporal.excite, "ta_sharedMLP_2_weight", dense),
        (layer.channel.squeeze, "ca_sharedMLP_0_weight", dense),
        (layer.channel.excite, "ca_sharedMLP_2_weight", dense),
        (layer.spatial.kernel, "sa_conv_weight", lambda k: k.transpose(2, 3, 1, 0)),
    ]


def same(x):
    return x


def normalization(cls):
    def make(config, a):
        layer = cls(**config, **FIRST)
        layer.build(a["x"].shape)
        weights = [(layer.gamma, "weight", same), (layer.beta, "bias", same)]
        if "param_scale" in a:
            weights.append((layer.scale_per_step, "scale", same))
        return layer, weights

    return make


def through_time(config, a):
    layer = layers.BatchNormalizationThroughTime(**config, **FIRST)
    layer.build(a["x"].shape)
    names = [f"bn_list_{t}_weight" for t in range(config["T"])]
    for kind in ("param", "grad"):
        stacked = np.stack([a[f"{kind}_{name}"] for name in names])
        a[f"{kind}_gamma"] = stacked[:, :, None, None]
    return layer, [(layer.gamma, "gamma", same)]


def neu_norm(config, a):
    layer = layers.NeuNorm(**config, **FIRST)
    layer.build(a["x"].shape)
    return layer, [(layer.w, "w", same)]


def synapse_filter(config, a):
    layer = layers.SynapseFilter(**config)
    layer.build(a["x"].shape)
    if not config["learnable"]:
        return layer, []
    return layer, [(layer.trainable_weights[0], "w", same)]


LAYERS = {
    "tdbn2d": normalization(layers.ThresholdDependentBatchNormalization),
    "tebn2d": normalization(layers.TemporalEffectiveBatchNormalization),
    "bntt2d": through_time,
    "neunorm": neu_norm,
    "synapse_filter": synapse_filter,
    "voting": lambda config, a: (layers.Voting(**config), []),
    "delay2": lambda config, a: (layers.Delay(**config), []),
    "multi_dimensional_attention": multi_dimensional_attention,
}


@pytest.mark.parametrize("config, file", cases("layers/"))
def test_layers_equal_the_stored_ones(config, file):
    arrays = load(file)
    kind = next(k for k in LAYERS if file.startswith(f"layers__{k}"))
    layer, weights = LAYERS[kind](config, arrays)
    for weight, name, convert in weights:
        weight.assign(convert(arrays[f"param_{name}"]))
    training = {"training": True} if "bn" in kind else {}
    y = to_numpy(layer(arrays["x"], **training))
    np.testing.assert_allclose(y, arrays["y"], rtol=1e-4, atol=1e-5)
    if BACKEND == "numpy":
        return
    found = gradients(
        loss(layer, arrays, **training), [arrays["x"]], [w for w, _, _ in weights]
    )
    expected = [convert(arrays[f"grad_{name}"]) for _, name, convert in weights]
    for a, b in zip(found, [arrays["grad_x"], *expected]):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5 * max(1, abs(b).max()))
