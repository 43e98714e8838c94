"""What all layers make of fixed inputs and weights, to compare backends.

Usage: KERAS_BACKEND=... python tests/backends/layer_outputs.py outputs.npz
"""

import sys

import keras
import numpy as np
from registry import input_shape
from registry import layer_names
from registry import make

from keras_spiking import layers

TIMESTEPS = 6

# Layers that the registry leaves out, since they take no `(batch, time, features)` or
# hold something: how to make them, and the shape of a sample.
OTHERS = {
    "AXAT": (lambda: layers.AXAT(3), (6, 5, 5)),
    "AdaptiveAveragePooling2D": (
        lambda: layers.AdaptiveAveragePooling2D(2),
        (5, 3, 2),
    ),
    "CenteredMaxPooling2D": (lambda: layers.CenteredMaxPooling2D(), (5, 5, 2)),
    "ChannelAttention": (lambda: layers.ChannelAttention(2), (6, 3, 3, 4)),
    "DCT": (lambda: layers.DCT(2), (3, 4, 4)),
    "LinearAttention": (lambda: layers.LinearAttention(num_heads=2), (6, 5, 12)),
    "MultiDimensionalAttention": (
        lambda: layers.MultiDimensionalAttention(reduction_t=2, reduction_c=2),
        (6, 3, 3, 4),
    ),
    "NeuNorm": (lambda: layers.NeuNorm(), (6, 3, 3, 2)),
    "QKAttention": (lambda: layers.QKAttention(num_heads=2), (6, 5, 4)),
    "Quantized": (lambda: layers.Quantized(keras.layers.Dense(3)), (6, 4)),
    "SpatialAttention": (lambda: layers.SpatialAttention(3), (6, 4, 4, 2)),
    "SpikeCountToBinary": (lambda: layers.SpikeCountToBinary(3), (4,)),
    "SpikeDrivenSelfAttention": (
        lambda: layers.SpikeDrivenSelfAttention(),
        (6, 5, 4),
    ),
    "SpikingGRUCell": (lambda: keras.layers.RNN(layers.SpikingGRUCell(3)), (6, 4)),
    "SpikingLSTMCell": (lambda: keras.layers.RNN(layers.SpikingLSTMCell(3)), (6, 4)),
    "SpikingRNNCell": (lambda: keras.layers.RNN(layers.SpikingRNNCell(3)), (6, 4)),
    "SpikingSelfAttention": (lambda: layers.SpikingSelfAttention(num_heads=2), (6, 5, 4)),
    "StackedRNN": (
        lambda: layers.StackedRNN([layers.SpikingRNNCell(3)], bidirectional=True),
        (6, 4),
    ),
    "TemporalAttention": (lambda: layers.TemporalAttention(reduction=2), (6, 3, 3, 2)),
    "Tempotron": (lambda: layers.Tempotron(3, tau=4.0, tau_s=1.0), (6, 4)),
    "Voting": (lambda: layers.Voting(2), (6, 4)),
    "WeightStandardizedConv2D": (
        lambda: layers.WeightStandardizedConv2D(3, 3),
        (5, 5, 2),
    ),
    "WeightStandardizedDense": (lambda: layers.WeightStandardizedDense(3), (4,)),
    "WithStates": (lambda: layers.WithStates(layers.ALIFLayer()), (6, 4)),
}


def _graph():
    return layers.RecurrentGraph(
        nodes={
            "encode": keras.layers.Dense(5),
            "neurons": layers.LIFLayer(),
            "feedback": keras.layers.Dense(5),
        },
        edges=[
            ("input", "encode"),
            ("encode", "neurons"),
            ("neurons", "feedback"),
            ("feedback", "neurons"),
            ("neurons", "output"),
        ],
    )


def _network():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.SingleStep(layers.LIFLayer())(inputs))


OTHERS["RecurrentGraph"] = (_graph, (TIMESTEPS, 4))
OTHERS["SingleStep"] = (lambda: layers.StepByStep(_network()), (TIMESTEPS, 4))

# They draw other random numbers on every backend.
RANDOM = {"NoisyLIFLayer", "PoissonEncoder"}


def names():
    return sorted({*layer_names(), *OTHERS} - RANDOM)


def outputs(name):
    """All outputs of a layer for samples of several strengths.

    Weights are drawn by NumPy: backends initialise them by generators of their own.
    """
    if name in OTHERS:
        function, shape = OTHERS[name]
        layer = function()
    else:
        with_states = {"return_state": True} if _has_states(name) else {}
        layer = make(name, **with_states)
        shape = input_shape(layer)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    generator = np.random.default_rng(0)
    model.set_weights([_drawn(generator, w) for w in model.weights])
    x = generator.uniform(0.0, 1.0, (4, *shape)).astype("float32")
    if shape[0] == TIMESTEPS:  # not an encoder's, which are at most 1
        x *= np.reshape([0.5, 1.5, 5.0, 40.0], (4, *(1,) * len(shape)))
    return keras.tree.flatten(model.predict_on_batch(x))


def _has_states(name):
    return issubclass(getattr(layers, name), layers.TemporalLayer)


def _drawn(generator, weight):
    value = keras.ops.convert_to_numpy(weight)
    if weight.dtype != "float32" or weight.name == "seed_generator_state":
        return value
    if value.ndim > 1 or weight.name == "delay":
        return generator.uniform(-1.0, 2.0, value.shape)
    return value + generator.uniform(0.0, 0.1, value.shape)


def main(path):
    found = {
        f"{name} {i}": value
        for name in names()
        for i, value in enumerate(outputs(name))
    }
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
