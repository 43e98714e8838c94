import pathlib
import sys

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import export
from keras_spiking import layers
from keras_spiking.layers import SeqToBatch

nir = pytest.importorskip("nir")

DATA = pathlib.Path(__file__).parents[1] / "data"
DT = 1e-4


def sequential(shape, *stack):
    return keras.Sequential([keras.Input((None, *shape)), *stack])


def noise(*shape):
    random = np.random.default_rng(0)
    return random.uniform(-0.5, 1.5, shape).astype("float32")


def graph_of(node, shape, output=None):
    """Input -> node -> Output."""
    output = shape if output is None else output
    return nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array(shape)}),
            "node": node,
            "output": nir.Output({"output": np.array(output)}),
        },
        [("input", "node"), ("node", "output")],
    )


def run(graph, x, **options):
    return to_numpy(export.from_nir(graph, **options)(x))


def assert_round_trip(model, path, x=None, **options):
    x = noise(2, 15, *model.input_shape[2:]) if x is None else x
    export.to_nir(model, path, **options)
    expected = to_numpy(model(x))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(run(path, x), expected, atol=1e-5)
    return nir.read(path)


@pytest.mark.parametrize("name", ("dense", "convolutional"))
def test_our_files_give_the_spikes_that_snntorch_gave(name):
    folder = DATA / "snntorch"
    spikes = np.load(folder / f"{name}_input.npy").astype("float32")
    expected = np.load(folder / f"{name}_snntorch.npy")
    assert expected.sum() > 100
    np.testing.assert_array_equal(run(folder / f"{name}.nir", spikes), expected)
    model = keras.saving.load_model(folder / f"{name}.keras")
    np.testing.assert_array_equal(to_numpy(model(spikes)), expected)


@pytest.mark.parametrize(
    "framework, options",
    [
        ("norse", {"dt": 1e-6}),
        ("sinabs", {"dt": 1.0, "discretization": "exponential", "reset": "soft"}),
        ("spikingjelly", {}),
    ],
)
def test_files_of_other_frameworks_give_their_spikes(framework, options):
    path = DATA / "nir_frameworks" / f"{framework}.nir"
    with np.load(path.with_suffix(".npz")) as record:
        x, expected = record["x"], record["spikes"]
    assert expected.sum() > 50
    np.testing.assert_array_equal(run(path, x, **options), expected)


@pytest.mark.parametrize(
    "name", ["braille", "snntorch/convolutional", "nir_frameworks/spikingjelly"]
)
def test_what_was_read_can_be_written(name, tmp_path):
    model = export.from_nir(DATA / f"{name}.nir")
    x = np.random.default_rng(0).uniform(size=(2, 15, *model.input_shape[2:])) < 0.4
    assert_round_trip(model, tmp_path / "network.nir", x.astype("float32"))


def test_published_recurrent_graph_equals_its_equations():
    path = DATA / "braille.nir"
    nodes = nir.read(path).nodes
    spikes = np.random.default_rng(0).uniform(size=(2, 30, 12)) < 0.4
    spikes = spikes.astype("float32")

    def affine(name, x):
        return x @ nodes[name].weight.T + nodes[name].bias

    def cuba(name, x, state):
        node, (current, v) = nodes[name], state
        current = current * (1 - DT / node.tau_syn) + node.w_in * DT / node.tau_syn * x
        v = v + DT / node.tau_mem * (node.v_leak - v + node.r * current)
        fired = v > node.v_threshold
        return fired.astype(float), (current, np.where(fired, node.v_reset, v))

    hidden, first, second = np.zeros((2, 38)), (0.0, 0.0), (0.0, 0.0)
    expected = []
    for t in range(30):
        x = affine("fc1", spikes[:, t]) + affine("lif1.w_rec", hidden)
        hidden, first = cuba("lif1.lif", x, first)
        out, second = cuba("lif2", affine("fc2", hidden), second)
        expected.append(out)
    expected = np.stack(expected, 1)
    assert expected.sum() > 50
    np.testing.assert_array_equal(run(path, spikes), expected)


def test_dense_network_round_trip(tmp_path):
    model = sequential(
        (6,),
        keras.layers.Dense(8, use_bias=False),
        layers.IFLayer(v_threshold=0.5),
        keras.layers.Dense(7),
        keras.layers.BatchNormalization(),
        layers.LIFLayer(tau=np.linspace(1.5, 3.0, 7), v_threshold=0.1),
        layers.Delay(2),
        keras.layers.Dense(4),
        layers.ParametricLIFLayer(init_tau=2.5, decay_input=False, v_reset=-0.25),
        layers.LILayer(tau=3.0),
        layers.Integrator(),
    )
    model.layers[2].bias.assign(np.linspace(-0.2, 0.6, 7))
    random = np.random.default_rng(1)
    weights = model.layers[3].weights
    model.layers[3].set_weights([random.uniform(0.5, 1.5, w.shape) for w in weights])
    model.layers[6].bias.assign(np.ones(4))
    graph = assert_round_trip(model, tmp_path / "network.nir")
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    for kind in ("Linear", "Affine", "IF", "LIF", "Delay", "LI", "I"):
        assert kind in kinds


VECTOR, IMAGE = (6,), (7, 6, 4)
WITHOUT_CHANGE = {
    "Linear": (VECTOR, [keras.layers.Dense(5, use_bias=False)]),
    "Affine": (VECTOR, [keras.layers.Dense(5, bias_initializer="ones")]),
    "Scale": (VECTOR, [keras.layers.Rescaling([0.5, 1, 2, 3, 4, 5])]),
    "Delay": (VECTOR, [layers.Delay(3)]),
    "I": (VECTOR, [layers.Integrator()]),
    "IF": (VECTOR, [layers.IFLayer(v_threshold=[0.5, 1, 2, 3, 1, 2])]),
    "LI": (VECTOR, [layers.LILayer(tau=[1.5, 2, 3, 4, 5, 6])]),
    "LIF": (VECTOR, [layers.LIFLayer(tau=3.0, v_threshold=0.4, v_reset=-0.2)]),
    "Threshold": (VECTOR, [layers.LIFLayer(tau=1.0, v_threshold=0.3, v_reset=None)]),
    "CubaLI": (VECTOR, [layers.LILayer(tau=3.0), layers.LILayer(tau=5.0)]),
    "CubaLIF": (
        VECTOR,
        [
            layers.LILayer(tau=3.0, decay_input=False),
            layers.LIFLayer(tau=[1.5, 2, 3, 4, 5, 6]),
        ],
    ),
    "Flatten": (IMAGE, [SeqToBatch(keras.layers.Flatten()), keras.layers.Dense(3)]),
    "AvgPool2d": (IMAGE, [SeqToBatch(keras.layers.AveragePooling2D((2, 3), (1, 2)))]),
    "SumPool2d": (
        IMAGE,
        [
            SeqToBatch(
                [keras.layers.AveragePooling2D((2, 3)), keras.layers.Rescaling(6.0)]
            )
        ],
    ),
    "Conv1d": (
        IMAGE[1:],
        [SeqToBatch(keras.layers.Conv1D(6, 3, dilation_rate=2, groups=2))],
    ),
    "Conv2d": (
        IMAGE,
        [SeqToBatch(keras.layers.Conv2D(6, 3, strides=(2, 1), groups=2))],
    ),
}


@pytest.mark.parametrize("kind", WITHOUT_CHANGE)
def test_a_node_of_each_kind_keeps_its_outputs(kind, tmp_path):
    shape, stack = WITHOUT_CHANGE[kind]
    graph = assert_round_trip(sequential(shape, *stack), tmp_path / "network.nir")
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert kinds.count(kind) == 1
    assert len(kinds) == (4 if kind == "Flatten" else 3)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(3, (1, 3), padding="same", dilation_rate=2),
        keras.layers.Conv2D(3, (5, 3), strides=2),
        keras.layers.DepthwiseConv2D((2, 4), depth_multiplier=2),
    ],
    ids=lambda layer: layer.name,
)
def test_kernels_that_are_not_square_become_square(layer, tmp_path):
    model = sequential(
        IMAGE,
        SeqToBatch([layer, keras.layers.BatchNormalization()]),
        layers.IFLayer(v_threshold=0.4),
    )
    graph = assert_round_trip(model, tmp_path / "network.nir")
    size = max(layer.kernel_size)
    assert graph.nodes[layer.name].weight.shape[2:] == (size, size)


def test_groups_and_kernels_that_are_not_square_are_read(tmp_path):
    random = np.random.default_rng(0)
    node = nir.Conv2d(
        input_shape=(5, 6),
        weight=random.normal(size=(4, 2, 2, 3)).astype("float32"),
        stride=(1, 2),
        padding=(1, 0),
        dilation=(2, 1),
        groups=2,
        bias=np.arange(4.0, dtype="float32"),
    )
    ends = {"input": nir.Input({"input": np.array([4, 5, 6])})}
    ends["output"] = nir.Output({"output": np.array([4, 5, 2])})
    nodes = {"input": ends["input"], "node": node, "output": ends["output"]}
    edges = [("input", "node"), ("node", "output")]
    path = tmp_path / "network.nir"
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    x = noise(1, 2, 5, 6, 4)
    expected = np.zeros((1, 2, 5, 2, 4))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0), (0, 0)))
    for row, column, channel in np.ndindex(5, 2, 4):
        inputs = slice(2 * (channel // 2), 2 * (channel // 2) + 2)
        patch = padded[:, :, row : row + 3 : 2, 2 * column : 2 * column + 3, inputs]
        kernel = node.weight[channel].transpose(1, 2, 0)
        expected[..., row, column, channel] = (patch * kernel).sum((2, 3, 4)) + channel
    np.testing.assert_allclose(run(path, x), expected, rtol=1e-4, atol=1e-5)


def test_current_based_neurons_become_one_node(tmp_path):
    model = sequential(
        (6,),
        layers.CubaLayer(current_decay=0.5, voltage_decay=0.25, v_threshold=1.5),
    )
    graph = assert_round_trip(model, tmp_path / "network.nir")
    node = graph.nodes[model.layers[0].name]
    assert isinstance(node, nir.CubaLIF)
    np.testing.assert_allclose(node.tau_syn, 2 * DT)
    np.testing.assert_allclose(node.tau_mem, 4 * DT)


def test_delays_of_channels(tmp_path):
    model = sequential((2, 3, 4), layers.LearnableDelay(max_delay=5))
    model.layers[0].delay.assign([0.2, 4.8, 1.0, 3.4])
    graph = assert_round_trip(model, tmp_path / "network.nir")
    delay = graph.nodes[model.layers[0].name].delay
    np.testing.assert_allclose(delay[:, 1, 2], [0, 5 * DT, DT, 3 * DT])


def test_images_go_to_channels_first_and_back(tmp_path):
    model = sequential(
        (9, 8, 2),
        SeqToBatch(
            [
                keras.layers.ZeroPadding2D((1, 2)),
                keras.layers.Conv2D(4, 3, strides=(2, 1), groups=2),
            ]
        ),
        layers.IFLayer(v_threshold=noise(5, 10, 4) ** 2),
        SeqToBatch(keras.layers.Conv2D(4, 3, padding="same", dilation_rate=2)),
        layers.LIFLayer(v_threshold=0.1),
        SeqToBatch([keras.layers.AveragePooling2D(2), keras.layers.Flatten()]),
        keras.layers.Dense(5),
    )
    graph = assert_round_trip(model, tmp_path / "network.nir")
    np.testing.assert_array_equal(graph.nodes["input"].input_type["input"], [2, 9, 8])
    threshold = graph.nodes[model.layers[1].name].v_threshold
    np.testing.assert_allclose(threshold, (noise(5, 10, 4) ** 2).transpose(2, 0, 1))


def test_sequences_of_features_use_conv1d(tmp_path):
    model = sequential(
        (10, 3),
        SeqToBatch(
            [keras.layers.ZeroPadding1D(1), keras.layers.Conv1D(4, 3, strides=2)]
        ),
        layers.IFLayer(v_threshold=0.3),
        SeqToBatch(keras.layers.Flatten()),
        keras.layers.Dense(5),
    )
    assert_round_trip(model, tmp_path / "network.nir")


def test_recurrent_networks_become_cycles(tmp_path):
    model = sequential(
        (6,),
        keras.layers.Dense(5),
        layers.ElementwiseRecurrent(
            [keras.layers.Dense(5), layers.LIFLayer(v_threshold=0.1)]
        ),
        layers.RecurrentGraph(
            nodes={
                "neurons": layers.IFLayer(v_threshold=0.6),
                "feedback": keras.layers.Dense(5),
            },
            edges=[
                ("input", "neurons"),
                ("neurons", "feedback"),
                ("feedback", "neurons"),
                ("neurons", "output"),
            ],
        ),
    )
    assert_round_trip(model, tmp_path / "network.nir")


def test_a_subgraph_is_read_like_its_nodes():
    inner = graph_of(nir.Linear(np.eye(3) * 2.0), (3,))
    outer = graph_of(inner, (3,))
    x = noise(1, 4, 3)
    np.testing.assert_allclose(run(outer, x), 2 * x)


def full(value):
    return np.full((3,), value)


@pytest.mark.parametrize("discretization", ("euler", "exponential", "unit_gain"))
def test_current_based_neurons_follow_their_equations(discretization):
    node = nir.CubaLI(
        tau_syn=full(3 * DT),
        tau_mem=full(5 * DT),
        r=full(2.0),
        v_leak=full(0.5),
        w_in=full(1.5),
    )
    lost = {
        "euler": (1 / 3, 1 / 5),
        "exponential": (1 - np.exp(-1 / 3), 1 - np.exp(-1 / 5)),
        "unit_gain": (1 / 3, 1 / 5),
    }[discretization]
    gain = (1.0, 1.0) if discretization == "unit_gain" else (1.5 * lost[0], 2 * lost[1])
    x = noise(2, 9, 3)
    current = v = 0.0
    expected = []
    for t in range(9):
        current = current * (1 - lost[0]) + gain[0] * x[:, t]
        v = v + lost[1] * (0.5 - v) + gain[1] * current
        expected.append(v)
    actual = run(graph_of(node, (3,)), x, discretization=discretization)
    np.testing.assert_allclose(actual, np.stack(expected, 1), rtol=1e-5, atol=1e-6)


def test_threshold_and_scale_are_memoryless():
    x = noise(2, 9, 3)
    threshold = run(graph_of(nir.Threshold(full(0.4)), (3,)), x)
    np.testing.assert_array_equal(threshold, x >= np.float32(0.4))
    scale = run(graph_of(nir.Scale(np.array([1.0, 2.0, 3.0])), (3,)), x)
    np.testing.assert_allclose(scale, x * [1, 2, 3], rtol=1e-6)


def test_sum_pooling():
    node = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    x = noise(1, 2, 4, 6, 3)
    expected = x.reshape(1, 2, 2, 2, 3, 2, 3).sum((3, 5))
    graph = graph_of(node, (3, 4, 6), (3, 2, 3))
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-5)


def test_soft_reset_raises_or_is_noted(tmp_path):
    model = sequential((4,), keras.layers.Dense(6), layers.IFLayer(v_reset=None))
    path = tmp_path / "network.nir"
    with pytest.raises(ValueError, match="soft reset.*approximate=True"):
        export.to_nir(model, path)
    assert not path.exists()
    assert_round_trip(model, path, 2 * noise(2, 15, 4), approximate=True)


def test_fixed_point_neurons_raise_or_are_noted(tmp_path):
    model = sequential((4,), keras.layers.Dense(6), layers.CubaLIFLayer(bias=0.125))
    path = tmp_path / "network.nir"
    with pytest.raises(ValueError, match="fixed-point arithmetic"):
        export.to_nir(model, path)
    graph = assert_round_trip(model, path, approximate=True)
    expected = to_numpy(model(noise(2, 15, 4)))
    for node in graph.nodes.values():
        node.metadata = {}
    approximation = run(graph, noise(2, 15, 4))
    assert np.mean(approximation != expected) < 0.05


def test_soft_reset_on_request():
    node = nir.IF(r=full(1 / DT), v_threshold=full(1.0), v_reset=full(0.0))
    x = np.full((1, 6, 3), 0.7, "float32")
    hard = run(graph_of(node, (3,)), x)
    soft = run(graph_of(node, (3,)), x, reset="soft")
    np.testing.assert_array_equal(hard[0, :, 0], [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(soft[0, :, 0], [0, 1, 1, 0, 1, 1])


@pytest.mark.parametrize(
    "stack, message",
    [
        ([keras.layers.Dense(3, activation="relu")], "no activation"),
        ([keras.layers.Dense(3), layers.FiringRate()], "FiringRate.*reduces over time"),
        ([keras.layers.LayerNormalization()], "LayerNormalization"),
        ([layers.LILayer(reduce="max")], "LILayer.*reduces over time"),
        ([layers.RefractoryLIFLayer()], "NIR has no RefractoryLIFLayer"),
        ([layers.KLIFLayer()], "NIR has no KLIFLayer"),
        ([keras.layers.Rescaling(2.0, 1.0)], "no offset"),
    ],
)
def test_refuses_what_nir_cannot_say(stack, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.to_nir(sequential((4,), *stack), tmp_path / "network.nir")
    assert not list(tmp_path.iterdir())


def test_refuses_time_constants_below_a_step():
    node = nir.LI(tau=full(0.5 * DT), r=full(1.0), v_leak=full(0.0))
    with pytest.raises(ValueError, match="'node'.*smaller `dt`"):
        export.from_nir(graph_of(node, (3,)))


def test_refuses_delays_that_are_not_whole_steps_of_a_channel():
    for delay in ([DT, 1.5 * DT, DT], [[DT, 2 * DT], [DT, DT]]):
        node = nir.Delay(np.array(delay))
        with pytest.raises(ValueError, match="'node'.*multiples of dt"):
            export.from_nir(graph_of(node, node.delay.shape))


def test_refuses_damaged_files(tmp_path):
    path = tmp_path / "network.nir"
    path.write_bytes((DATA / "braille.nir").read_bytes()[:3000])
    with pytest.raises(ValueError, match="not a NIR file, or is damaged"):
        export.from_nir(path)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match=r"keras3-spiking\[nir\]"):
        export.from_nir("network.nir")
