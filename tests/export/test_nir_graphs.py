"""Models with branches become NIR graphs, and NIR graphs with branches models."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

from keras_spiking import export
from keras_spiking import layers
from keras_spiking.layers import SeqToBatch

nir = pytest.importorskip("nir")

# What is written does not depend on the backend, which takes time to compile.
pytestmark = pytest.mark.skipif(BACKEND != "numpy", reason="run once")


def noise(*shape, seed=0):
    # Eighths add up without rounding, in any order.
    return np.random.default_rng(seed).integers(-4, 13, shape).astype("float32") / 8


def exact(model, seed=0):
    """The model with weights of few bits."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name in ("kernel", "bias"):
            weight.assign(random.integers(-4, 7, weight.shape) / 8)
    return model


def nodes_of(graph):
    return [type(node).__name__ for node in graph.nodes.values()]


def assert_round_trip(model, tmp_path, x=None, **options):
    x = noise(2, 6, *model.input_shape[2:]) if x is None else x
    graph = export.to_nir(model, tmp_path / "network.nir", **options)
    expected = to_numpy(model(x))
    assert np.ptp(expected) > 0
    again = export.from_nir(tmp_path / "network.nir")
    np.testing.assert_array_equal(to_numpy(again(x)), expected)
    return graph


def convolution(filters, size=3, **options):
    return SeqToBatch(keras.layers.Conv2D(filters, size, padding="same", **options))


def test_residual_network_of_vectors(tmp_path):
    inputs = keras.Input((None, 6))
    x = layers.IFLayer()(keras.layers.Dense(5)(inputs))
    y = layers.LIFLayer(v_threshold=0.5)(keras.layers.Dense(5)(x))
    x = keras.layers.Add()([x, y])
    y = layers.IFLayer()(keras.layers.Dense(5)(x))
    x = x + y
    model = exact(keras.Model(inputs, layers.IFLayer()(keras.layers.Dense(4)(x))))
    graph = assert_round_trip(model, tmp_path)
    assert len(graph.nodes) == 2 + 8  # sums are edges
    assert len(graph.edges) == 1 + 8 + 3


def test_residual_network_of_images(tmp_path):
    inputs = keras.Input((None, 6, 7, 2))
    x = layers.IFLayer()(convolution(4)(inputs))
    y = layers.IFLayer()(convolution(4)(x))
    x = keras.layers.Add()([y, x])
    short = layers.IFLayer()(convolution(6, 1)(x))
    y = layers.IFLayer()(convolution(6)(x))
    x = keras.layers.Subtract()([short, y])
    x = SeqToBatch(keras.layers.GlobalAveragePooling2D())(x)
    model = exact(keras.Model(inputs, keras.layers.Dense(3)(x * 42.0)))
    assert_round_trip(model, tmp_path)


@pytest.mark.parametrize("shape", [(5,), (6, 3), (4, 5, 3)])
def test_branches_are_joined(shape, tmp_path):
    inputs = keras.Input((None, *shape))
    a = layers.IFLayer()(inputs)
    b = layers.IFLayer(v_threshold=0.5)(inputs)
    x = keras.layers.Concatenate()([a, inputs, b])
    y = keras.layers.Concatenate()([b, a, -a])
    x = keras.layers.Average()([x, y])
    model = keras.Model(inputs, keras.ops.add(x, x) / 2)
    assert_round_trip(model, tmp_path)


def test_shared_layers_and_nested_models(tmp_path):
    inner = keras.Input((None, 4))
    y = layers.IFLayer()(keras.layers.Dense(4)(inner))
    block = keras.Model(inner, keras.layers.Add()([inner, y]), name="block")
    dense = keras.layers.Dense(4)
    inputs = keras.Input((None, 4))
    x = block(block(dense(inputs)))
    x = keras.Sequential([dense, layers.IFLayer()])(x)
    model = exact(keras.Model(inputs, x))
    graph = assert_round_trip(model, tmp_path)
    assert nodes_of(graph).count("Affine") == 4


def test_containers_of_models(tmp_path):
    inner = keras.Input((4,))
    a = keras.layers.Dense(4)(inner)
    b = keras.layers.Dense(4)(inner)
    pair = keras.Model(inner, keras.layers.Add()([a, b]), name="pair")
    inner = keras.Input((None, 4))
    path = [keras.layers.Dense(4), layers.IFLayer(), SeqToBatch(pair)]
    path = keras.Sequential(path)
    residual = keras.Model(inner, keras.layers.Add()([inner, path(inner)]))
    inputs = keras.Input((None, 4))
    x = SeqToBatch(pair)(inputs)
    x = layers.StepByStep([layers.IFLayer(), keras.layers.Dense(4)])(x)
    x = keras.layers.TimeDistributed(pair)(x)
    x = layers.IFLayer()(residual(x))
    model = exact(keras.Model(inputs, x))
    assert_round_trip(model, tmp_path)


def test_a_simulation_of_a_model_of_single_steps(tmp_path):
    inner = keras.Input((4,))
    x = layers.SingleStep(layers.IFLayer())(keras.layers.Dense(4)(inner))
    y = layers.SingleStep(layers.IFLayer())(keras.layers.Dense(4)(x))
    step = keras.Model(inner, keras.layers.Add()([x, y]))
    inputs = keras.Input((4,))
    simulation = layers.StepByStep(step, 6, reduce="mean")
    model = exact(keras.Model(inputs, simulation(inputs)))
    graph = export.to_nir(model, tmp_path / "network.nir", strip="io")
    x = noise(3, 4)
    sequence = np.repeat(x[:, None], 6, axis=1)
    expected = to_numpy(model(x))
    assert np.ptp(expected) > 0
    actual = to_numpy(export.from_nir(graph)(sequence)).mean(1)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_recurrence_around_branches(tmp_path):
    inner = keras.Input((None, 4))
    a = layers.IFLayer()(keras.layers.Dense(4)(inner))
    b = layers.LIFLayer(v_threshold=0.5)(keras.layers.Dense(4)(inner))
    fork = keras.Model(inner, keras.layers.Add()([a, b]))
    inputs = keras.Input((None, 4))
    x = layers.ElementwiseRecurrent(fork)(inputs)
    edges = [("input", "fork"), ("fork", "back"), ("back", "fork"), ("fork", "output")]
    nodes = {"fork": keras.models.clone_model(fork), "back": keras.layers.Dense(4)}
    y = layers.RecurrentGraph(nodes, edges)(x)
    model = exact(keras.Model(inputs, keras.layers.Add()([x, y])))
    x = noise(2, 8, 4)
    graph = export.to_nir(model)
    expected = to_numpy(model(x))
    assert 0.1 < np.mean(expected > 0) < 0.9
    np.testing.assert_array_equal(to_numpy(export.from_nir(graph)(x)), expected)


def test_branches_after_padding_and_flatten(tmp_path):
    inputs = keras.Input((None, 5, 6, 2))
    padded = SeqToBatch(keras.layers.ZeroPadding2D(1))(inputs)
    a = SeqToBatch(keras.layers.Conv2D(3, 3, strides=2))(padded)
    b = SeqToBatch(keras.layers.Conv2D(3, 3, strides=2))(padded)
    flat = SeqToBatch(keras.layers.Flatten())(layers.IFLayer()(a + b))
    heads = [keras.layers.Dense(4)(flat) for _ in range(3)]
    model = exact(
        keras.Model(inputs, layers.IFLayer(v_threshold=60.0)(keras.layers.add(heads)))
    )
    assert_round_trip(model, tmp_path)


def random_network(seed):
    """A residual network of random depth, widths and joins."""
    random = np.random.default_rng(seed)
    inputs = keras.Input((None, 5))
    values = [inputs]
    for _ in range(random.integers(4, 9)):
        parts = random.choice(len(values), random.integers(1, 4))
        parts = [values[i] for i in parts]
        width = max(x.shape[-1] for x in parts)
        parts = [
            x if x.shape[-1] == width else keras.layers.Dense(width)(x) for x in parts
        ]
        x = parts[0] if len(parts) == 1 else keras.layers.Add()(parts)
        x = keras.layers.Dense(int(random.integers(3, 7)))(x)
        neuron = layers.IFLayer if random.random() < 0.5 else layers.LIFLayer
        values.append(neuron(v_threshold=float(random.integers(1, 5) / 4))(x))
    last = [keras.layers.Dense(3)(x) for x in values[-3:]]
    return exact(keras.Model(inputs, layers.IFLayer()(keras.layers.Add()(last))), seed)


@pytest.mark.parametrize("seed", range(8))
def test_random_residual_graphs(seed, tmp_path):
    model = random_network(seed)
    x = noise(4, 10, 5, seed=seed)
    export.to_nir(model, tmp_path / "network.nir")
    expected = to_numpy(model(x))
    assert 0 < expected.mean() < 1
    again = export.from_nir(tmp_path / "network.nir")
    np.testing.assert_array_equal(to_numpy(again(x)), expected)
    # What was read can be written again.
    once_more = export.from_nir(export.to_nir(again))
    np.testing.assert_array_equal(to_numpy(once_more(x)), expected)


@pytest.mark.parametrize(
    "pooling, kinds",
    [
        (keras.layers.MaxPooling2D(2), ["SumPool2d", "Threshold"]),
        (layers.CenteredMaxPooling2D(3, strides=2), ["SumPool2d", "Threshold"]),
        (keras.layers.MaxPooling2D(3, 1, padding="same"), ["SumPool2d", "Threshold"]),
        (keras.layers.GlobalMaxPooling2D(), ["SumPool2d", "Threshold", "Flatten"]),
        (keras.layers.GlobalMaxPooling2D(keepdims=True), ["SumPool2d", "Threshold"]),
        (keras.layers.GlobalAveragePooling2D(), ["AvgPool2d", "Flatten"]),
        (keras.layers.AveragePooling2D((2, 3)), ["AvgPool2d"]),
    ],
)
def test_pooling_of_images(pooling, kinds, tmp_path):
    stack = [layers.IFLayer(v_threshold=3.0), SeqToBatch(pooling)]
    model = keras.Sequential([keras.Input((None, 4, 8, 3)), *stack])
    x = noise(2, 5, 4, 8, 3)
    graph = export.to_nir(model)
    assert nodes_of(graph) == ["Input", "IF", *kinds, "Output"]
    expected = to_numpy(model(x))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(to_numpy(export.from_nir(graph)(x)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "pooling, kinds",
    [
        (keras.layers.MaxPooling1D(2), ["Conv1d", "Threshold"]),
        (keras.layers.GlobalMaxPooling1D(), ["Conv1d", "Threshold", "Flatten"]),
        (keras.layers.AveragePooling1D(3, 2), ["Conv1d"]),
        (keras.layers.GlobalAveragePooling1D(), ["Conv1d", "Flatten"]),
    ],
)
def test_pooling_of_sequences(pooling, kinds, tmp_path):
    stack = [layers.IFLayer(v_threshold=3.0), SeqToBatch(pooling)]
    model = keras.Sequential([keras.Input((None, 8, 3)), *stack])
    x = noise(2, 5, 8, 3)
    graph = export.to_nir(model, tmp_path / "network.nir")
    assert nodes_of(graph) == ["Input", "IF", *kinds, "Output"]
    actual = to_numpy(export.from_nir(tmp_path / "network.nir")(x))
    np.testing.assert_allclose(actual, to_numpy(model(x)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (4, 6), (3, 4, 6)])
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.BatchNormalization(gamma_initializer="random_normal"),
        lambda: keras.layers.Rescaling(2.0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        lambda: layers.Voting(3),
        lambda: keras.layers.Dense(4),
    ],
)
def test_what_acts_on_channels(make, shape, tmp_path):
    model = keras.Sequential([keras.Input((None, *shape)), layers.IFLayer(), make()])
    x = noise(2, 5, *shape)
    graph = export.to_nir(model, tmp_path / "network.nir")
    assert len(graph.nodes) == 4
    actual = to_numpy(export.from_nir(tmp_path / "network.nir")(x))
    np.testing.assert_allclose(actual, to_numpy(model(x)), rtol=1e-5, atol=1e-6)


def test_maximum_of_anything_but_spikes_is_refused():
    for stack in ([], [layers.LILayer()], [convolution(2)]):
        pooling = SeqToBatch(keras.layers.MaxPooling2D(2))
        model = keras.Sequential([keras.Input((None, 4, 4, 2)), *stack, pooling])
        with pytest.raises(ValueError, match="MaxPooling2D.*NIR has no maximum.*than"):
            export.to_nir(model)


@pytest.mark.parametrize("readout", [layers.FiringRate(), layers.SpikeCount()])
def test_ends_are_left_out_on_request(readout, tmp_path):
    inputs = keras.Input((5,))
    x = keras.layers.Rescaling(0.5)(inputs)
    x = layers.IFLayer()(keras.layers.Dense(6)(layers.DirectEncoder(7)(x)))
    outputs = keras.layers.Softmax()(layers.Voting(2)(readout(x)))
    model = exact(keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match='DirectEncoder.*host.*`strip="io"`'):
        export.to_nir(model, tmp_path / "network.nir")
    assert not list(tmp_path.iterdir())
    graph = export.to_nir(model, strip="io")
    assert nodes_of(graph) == ["Input", "Scale", "Affine", "IF", "Output"]
    x = noise(3, 5)
    spikes = to_numpy(export.from_nir(graph)(np.repeat(x[:, None], 7, axis=1)))
    expected = to_numpy(keras.Model(inputs, model.layers[-4].output)(x))
    np.testing.assert_array_equal(spikes, expected)


def test_ends_that_the_host_computes_are_not_part_of_the_graph():
    stack = [
        keras.Input((4,)),
        keras.layers.Rescaling(1 / 255),
        layers.LatencyEncoder(6),
        keras.layers.Dense(5),
        layers.LILayer(reduce="max"),
    ]
    model = keras.Sequential(stack)
    graph = export.to_nir(model, strip="io")
    assert nodes_of(graph) == ["Input", "Affine", "LI", "Output"]
    np.testing.assert_array_equal(graph.nodes["input"].input_type["input"], [4])


def step_by_step():
    encoder = layers.PoissonEncoder(1)
    stack = [encoder, keras.layers.Dense(5), layers.IFLayer()]
    return layers.StepByStep(stack, 8, reduce="mean")


@pytest.mark.parametrize("make", [step_by_step])
def test_step_by_step_presents_and_reduces(make):
    model = keras.Sequential([keras.Input((4,)), make()])
    with pytest.raises(ValueError, match='StepByStep.*`strip="io"`'):
        export.to_nir(model)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda x: keras.layers.Multiply()([x, x]), "Multiply 'gate'|several inputs"),
        (lambda x: x * x, "operation Multiply"),
        (lambda x: keras.ops.tanh(x), "operation Tanh"),
        (lambda x: [x, layers.IFLayer()(x)], "2 outputs.*keras.Model"),
        (lambda x: x + keras.layers.Dense(1)(x), "do not broadcast"),
        (lambda x: keras.layers.Concatenate(1)([x, x]), "last axis"),
        (lambda x: keras.layers.Dense(2)(layers.FiringRate()(x)), "after the readout"),
    ],
)
def test_what_graphs_cannot_hold_is_named(build, message):
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, build(layers.IFLayer()(inputs)))
    with pytest.raises(ValueError, match=message):
        export.to_nir(model, strip="io")


def test_trained_layers_before_a_random_encoder_are_not_dropped():
    inputs = keras.Input((4,))
    x = layers.PoissonEncoder(8, name="poisson", straight_through=True)(
        keras.layers.Dense(5, activation="sigmoid")(inputs)
    )
    model = keras.Model(inputs, layers.IFLayer()(x))
    with pytest.raises(ValueError, match=r"Dense.*keras.Model\(.*'poisson'.*output"):
        export.to_nir(model, strip="io")
    after = keras.Model(model.get_layer("poisson").output, model.output)
    assert len(export.to_nir(after).nodes) == 3


def test_strip_is_checked():
    model = keras.Sequential([keras.Input((None, 4)), layers.IFLayer()])
    with pytest.raises(ValueError, match="`strip` must be"):
        export.to_nir(model, strip="all")


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(3, 2, padding="same"),
        keras.layers.Conv2D(3, (2, 3), padding="same", dilation_rate=(1, 2)),
        keras.layers.Conv2D(4, (4, 1), padding="same", groups=2),
        keras.layers.DepthwiseConv2D(2, padding="same"),
    ],
    ids=lambda layer: layer.name,
)
def test_even_kernels_that_keep_the_size(layer, tmp_path):
    stack = [SeqToBatch(layer), layers.IFLayer(v_threshold=0.5)]
    model = exact(keras.Sequential([keras.Input((None, 5, 6, 2)), *stack]))
    graph = assert_round_trip(model, tmp_path)
    assert graph.nodes[layer.name].padding == "same"


def test_a_potential_at_rest_that_is_not_that_of_the_reset(tmp_path):
    node = nir.LIF(
        *(np.full(4, 4e-4), np.ones(4), np.full(4, 0.5), np.ones(4)),
        v_reset=np.full(4, -0.25),
    )
    ends = {"input": nir.Input({"input": np.array([4])})}
    ends["output"] = nir.Output({"output": np.array([4])})
    edges = [("input", "n"), ("n", "output")]
    graph = nir.NIRGraph({"input": ends["input"], "n": node, **ends}, edges)
    x = noise(3, 20, 4)
    v, expected = np.full((3, 4), -0.25), []
    for t in range(20):
        v = v + 0.25 * (0.5 - v + x[:, t])
        expected.append(v > 1)
        v = np.where(v > 1, -0.25, v)
    expected = np.stack(expected, 1)
    assert 0.02 < expected.mean() < 0.98
    model = export.from_nir(graph)
    np.testing.assert_array_equal(to_numpy(model(x)), expected)
    again = export.from_nir(export.to_nir(model))
    np.testing.assert_array_equal(to_numpy(again(x)), expected)
