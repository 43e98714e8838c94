"""What layers and networks make of fixed inputs and weights, to compare backends.

Usage: KERAS_BACKEND=... python tests/backends/layer_outputs.py outputs.npz
"""

import pathlib
import sys

import keras
import numpy as np

TESTS = pathlib.Path(__file__).parent.parent
sys.path += [str(TESTS), str(TESTS / "models")]

import families  # noqa: E402
import registry  # noqa: E402

from keras_spiking import layers  # noqa: E402


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


def _single_step():
    inputs = keras.Input((4,))
    outputs = layers.SingleStep(layers.LIFLayer())(inputs)
    return layers.StepByStep(keras.Model(inputs, outputs))


def _attention():
    return layers.MultiDimensionalAttention(reduction_t=2, reduction_c=2)


# What the registry leaves out: how to make it, and the shape of a sample.
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
    "MultiDimensionalAttention": (_attention, (6, 3, 3, 4)),
    "NeuNorm": (lambda: layers.NeuNorm(), (6, 3, 3, 2)),
    "QKAttention": (lambda: layers.QKAttention(num_heads=2), (6, 5, 4)),
    "Quantized": (lambda: layers.Quantized(keras.layers.Dense(3)), (6, 4)),
    "RecurrentGraph": (_graph, (6, 4)),
    "SingleStep": (_single_step, (6, 4)),
    "SpatialAttention": (lambda: layers.SpatialAttention(3), (6, 4, 4, 2)),
    "SpikeCountToBinary": (lambda: layers.SpikeCountToBinary(3), (4,)),
    "SpikeDrivenSelfAttention": (
        lambda: layers.SpikeDrivenSelfAttention(),
        (6, 5, 4),
    ),
    "SpikingGRUCell": (lambda: keras.layers.RNN(layers.SpikingGRUCell(3)), (6, 4)),
    "SpikingLSTMCell": (lambda: keras.layers.RNN(layers.SpikingLSTMCell(3)), (6, 4)),
    "SpikingRNNCell": (lambda: keras.layers.RNN(layers.SpikingRNNCell(3)), (6, 4)),
    "SpikingSelfAttention": (
        lambda: layers.SpikingSelfAttention(num_heads=2),
        (6, 5, 4),
    ),
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

# They draw other numbers on every backend.
RANDOM = {"NoisyLIFLayer", "PoissonEncoder"}

LAYERS = sorted({*registry.layer_names(), *OTHERS} - RANDOM)
NETWORKS = families.FEW


def of_layer(name):
    """Outputs of a layer, final states included, for samples of several strengths.

    Weights are drawn by NumPy: each backend has other random numbers for initial ones.
    """
    if name in OTHERS:
        function, shape = OTHERS[name]
        layer = function()
    else:
        has_states = issubclass(getattr(layers, name), layers.TemporalLayer)
        layer = registry.make(name, **({"return_state": True} if has_states else {}))
        shape = registry.input_shape(layer)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    generator = np.random.default_rng(0)
    model.set_weights([_drawn(generator, w) for w in model.weights])
    x = generator.uniform(0.0, 1.0, (4, *shape)).astype("float32")
    if not isinstance(layer, layers.Encoder):
        x *= np.reshape([0.5, 1.5, 5.0, 40.0], (4, *(1,) * len(shape)))
    return keras.tree.flatten(model.predict_on_batch(x))


def of_network(name):
    network = families.enliven(families.make(name))
    return keras.tree.flatten(network.predict_on_batch(families.data(network)))


def _drawn(generator, weight):
    value = keras.ops.convert_to_numpy(weight)
    if weight.dtype != "float32":
        return value
    if "variance" in weight.name:
        return generator.uniform(0.5, 1.5, value.shape)
    if value.ndim > 1 or weight.name == "delay":
        return generator.uniform(-1.0, 2.0, value.shape)
    return value + generator.uniform(0.0, 0.1, value.shape)


def main(path):
    all_outputs = {name: of_layer(name) for name in LAYERS}
    all_outputs.update({name: of_network(name) for name in NETWORKS})
    found = {
        f"{name} {i}": value
        for name, values in all_outputs.items()
        for i, value in enumerate(values)
    }
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
