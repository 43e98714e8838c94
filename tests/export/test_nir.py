import json
import pathlib
import sys

import h5py
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
        (
            "sinabs",
            {
                "dt": 1.0,
                "discretization": "exponential",
                "reset": "soft",
                "at_threshold": True,
            },
        ),
        ("spikingjelly", {"at_threshold": True}),
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
    expected = (noise(5, 10, 4) ** 2).transpose(2, 0, 1)
    np.testing.assert_array_equal(threshold, np.nextafter(expected, np.float32(-1)))


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


def test_delays_of_synapses_become_branches(tmp_path):
    late = keras.initializers.RandomUniform(2.0, 4.0)
    model = sequential(
        (2, 3, 4),
        SeqToBatch(keras.layers.Flatten()),
        layers.DelayedDense(5, max_delay=3, bias_initializer="ones", name="first"),
        keras.layers.BatchNormalization(),
        layers.LIFLayer(v_threshold=0.3),
        layers.DelayedDense(3, max_delay=4, delay_initializer=late, name="last"),
        layers.LIFLayer(v_threshold=0.1),
    )
    graph = assert_round_trip(model, tmp_path / "network.nir")
    np.testing.assert_allclose(graph.nodes["last_delay"].delay, 2 * DT)
    np.testing.assert_allclose(graph.nodes["last_delay_4"].delay, 2 * DT)
    assert sum(type(n).__name__ == "Affine" for n in graph.nodes.values()) == 2


def test_refuses_fractions_of_steps(tmp_path):
    for layer in (
        layers.DelayedDense(3, round_at_inference=False),
        layers.LearnableDelay(round_at_inference=False),
    ):
        with pytest.raises(ValueError, match=f"'{layer.name}'.*round_delays"):
            export.to_nir(sequential((4,), layer), tmp_path / "network.nir")
        layer.delay.assign(np.full(layer.delay.shape, np.nan))
        with pytest.raises(ValueError, match="NaN"):
            export.to_nir(sequential((4,), layer), tmp_path / "network.nir")


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


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match="`pip install nir`"):
        export.from_nir("network.nir")


NEURONS = {
    "IF": lambda: nir.IF(r=full(1 / DT), v_threshold=full(1.0), v_reset=full(0.0)),
    "IF at 0": lambda: nir.IF(
        r=full(1 / DT), v_threshold=full(0.0), v_reset=full(-1.0)
    ),
    "LIF": lambda: nir.LIF(
        *(full(2 * DT), full(1.0), full(0.0), full(0.5)), v_reset=full(0.0)
    ),
    "CubaLIF": lambda: nir.CubaLIF(
        *(full(DT), full(2 * DT), full(1.0), full(0.0), full(0.5))
    ),
    "Threshold": lambda: nir.Threshold(full(1.0)),
}


def nir_steps(node, x, at_threshold):
    """NIR's definition in float64, which is exact for these numbers."""
    kind = type(node).__name__
    fires = np.greater_equal if at_threshold else np.greater
    v, outputs = (-1.0 if kind == "IF" and node.v_reset[0] < 0 else 0.0), []
    for t in range(x.shape[1]):
        if kind == "Threshold":
            outputs.append(fires(x[:, t], node.threshold))
            continue
        if kind == "IF":
            v = v + x[:, t]
        else:
            v = v + 0.5 * (x[:, t] - v)
        s = fires(v, node.v_threshold)
        v = np.where(s, node.v_reset, v)
        outputs.append(s)
    return np.stack(outputs, 1)


@pytest.mark.parametrize("at_threshold", (False, True))
@pytest.mark.parametrize("kind", NEURONS)
def test_neurons_fire_above_the_threshold_or_at_it_as_nir_and_the_reader_say(
    kind, at_threshold, tmp_path
):
    node = NEURONS[kind]()
    random = np.random.default_rng(0)
    x = (random.integers(-1, 5, (4, 100, 3)) / 4).astype("float32")
    expected = nir_steps(node, x.astype("float64"), at_threshold)
    other = nir_steps(node, x.astype("float64"), not at_threshold)
    assert np.any(expected != other)
    graph = graph_of(node, (3,))
    model = export.from_nir(graph, at_threshold=at_threshold)
    np.testing.assert_array_equal(to_numpy(model(x)), expected)
    # What is written back means the same to a reader of either kind.
    for choice in (False, True):
        path = tmp_path / f"{choice}.nir"
        export.to_nir(model, path, at_threshold=choice)
        again = run(path, x, at_threshold=choice)
        np.testing.assert_array_equal(again, expected)
    if at_threshold:
        written = nir.read(tmp_path / "True.nir").nodes
        same = [n for n in written.values() if isinstance(n, type(node))]
        name = "threshold" if kind == "Threshold" else "v_threshold"
        np.testing.assert_array_equal(getattr(same[0], name), getattr(node, name))


def test_a_network_gives_the_spikes_of_nirs_definition():
    random = np.random.default_rng(0)
    weight = random.integers(-1, 3, (8, 6)) / 4
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "linear": nir.Linear(weight),
        "neurons": nir.IF(np.full(8, 1 / DT), np.ones(8), np.zeros(8)),
        "output": nir.Output({"output": np.array([8])}),
    }
    edges = [("input", "linear"), ("linear", "neurons"), ("neurons", "output")]
    x = (random.uniform(size=(4, 50, 6)) < 0.5).astype("float32")
    expected = nir_steps(nodes["neurons"], x @ weight.T, False)
    assert np.sum(expected != nir_steps(nodes["neurons"], x @ weight.T, True)) > 100
    np.testing.assert_array_equal(run(nir.NIRGraph(nodes, edges), x), expected)


@pytest.mark.parametrize("threshold", (0.1, 1.0, 3e-38, 0.0, 1e30))
def test_thresholds_survive_the_round_trip_to_the_last_bit(threshold):
    model = sequential((4,), layers.IFLayer(v_threshold=threshold))
    for at_threshold in (False, True):
        graph = export.to_nir(model, at_threshold=at_threshold)
        again = export.from_nir(graph, at_threshold=at_threshold)
        actual = to_numpy(again.layers[-1].v_threshold)
        assert np.float32(actual) == np.float32(threshold)


def test_fixed_point_neurons_fire_above_the_threshold_that_is_written():
    model = sequential((4,), layers.CubaLIFLayer(1.5))
    name = model.layers[0].name
    for at_threshold in (False, True):
        graph = export.to_nir(model, approximate=True, at_threshold=at_threshold)
        threshold = np.float32(graph.nodes[name].v_threshold[0])
        expected = np.nextafter(np.float32(1.5), np.float32(2)) if at_threshold else 1.5
        assert threshold == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Dropout(0.5),
        lambda: keras.layers.Dropout(0.5),
        lambda: keras.layers.GaussianNoise(0.5),
        lambda: keras.layers.GaussianDropout(0.5),
        lambda: keras.layers.AlphaDropout(0.5),
        lambda: keras.layers.Identity(),
        lambda: keras.layers.Activation("linear"),
        lambda: keras.layers.SpatialDropout1D(0.5),
    ],
)
def test_layers_that_do_nothing_at_inference_are_left_out(make, tmp_path):
    stack = [keras.layers.Dense(6), make(), layers.IFLayer(0.5)]
    if "spatial" in make().name:
        stack = [keras.layers.Dense(6), layers.IFLayer(0.5)]
    graph = assert_round_trip(sequential((6,), make(), *stack), tmp_path / "a.nir")
    assert len(graph.nodes) == 4


def test_layers_that_do_nothing_can_be_nodes_of_a_recurrent_graph(tmp_path):
    edges = [("input", "n"), ("n", "d"), ("d", "n"), ("d", "output")]
    nodes = {
        "n": [keras.layers.Dense(6), layers.Dropout(0.5), layers.IFLayer(0.5)],
        "d": keras.layers.Dropout(0.5),
    }
    model = sequential((6,), layers.RecurrentGraph(nodes, edges))
    assert_round_trip(model, tmp_path / "graph.nir")
    model = sequential((6,), layers.ElementwiseRecurrent(layers.Dropout(0.5)))
    assert_round_trip(model, tmp_path / "feedback.nir", np.ones((1, 5, 6), "float32"))
    with pytest.raises(ValueError, match="nothing to export"):
        export.to_nir(sequential((6,), layers.Dropout(0.5)))


def test_cycles_that_would_be_read_with_other_delays_are_refused(tmp_path):
    stack = [keras.layers.Dense(6), layers.IFLayer(0.5), keras.layers.Dense(6)]
    model = sequential((6,), layers.ElementwiseRecurrent(stack))
    with pytest.raises(ValueError, match="neurons be the last layer"):
        export.to_nir(model, tmp_path / "network.nir")
    assert not list(tmp_path.iterdir())


def test_layers_may_be_called_input_and_output(tmp_path):
    model = sequential(
        (6,), keras.layers.Dense(5, name="input"), layers.IFLayer(0.5, name="output")
    )
    graph = assert_round_trip(model, tmp_path / "network.nir")
    assert len(graph.nodes) == 4


def test_nodes_may_be_called_input_and_output():
    nodes = {
        "x": nir.Input({"input": np.array([3])}),
        "input": nir.Scale(full(2.0)),
        "output": nir.Scale(full(3.0)),
        "y": nir.Output({"output": np.array([3])}),
    }
    edges = [("x", "input"), ("input", "output"), ("output", "y")]
    x = noise(1, 4, 3)
    np.testing.assert_allclose(run(nir.NIRGraph(nodes, edges), x), 6 * x, rtol=1e-6)


def unchecked(nodes, edges):
    ends = {
        "input": nir.Input({"input": np.array([3])}),
        "output": nir.Output({"output": np.array([3])}),
    }
    return nir.NIRGraph({**ends, **nodes}, edges, type_check=False)


CHAIN = [("input", "node"), ("node", "output")]


def noted(text):
    node = nir.IF(full(1.0), full(1.0), full(0.0))
    node.metadata = {"keras_spiking": text}
    return node


def layer_in_json(name, **config):
    return json.dumps({"module": "keras.layers", "class_name": name, "config": config})


@pytest.mark.parametrize(
    "nodes, edges, message",
    [
        ({"node": nir.Scale(np.ones(3))}, [], "not reached: node, output"),
        ({}, [], "not reached: output"),
        ({"node": nir.Scale(np.ones(3))}, CHAIN[:1], "not reached: output"),
        ({"node": nir.Scale(np.ones(3))}, [("input", "output")], "not reached: node"),
        ({"node": nir.Scale(np.ones(3))}, [*CHAIN, ("node", "gone")], "'gone'"),
        ({"node": nir.Scale(np.ones(3))}, [("gone", "node"), CHAIN[1]], "'gone'"),
        ({"node": nir.Scale(np.ones(3))}, [*CHAIN, ("output", "node")], "away from"),
        ({"node": nir.Scale(np.ones(3))}, [*CHAIN, ("node", "input")], "an input"),
        ({"node": nir.Linear(np.full((3, 3), np.nan))}, CHAIN, "'node'.*`weight`.*NaN"),
        ({"node": nir.Linear(np.full((3, 3), 1e39))}, CHAIN, "'node'.*beyond float32"),
        ({"node": nir.Linear(np.full((3, 3), "a"))}, CHAIN, "'node'.*must be numbers"),
        ({"node": nir.Affine(np.ones((3, 3)), np.ones(2))}, CHAIN, "'node'"),
        ({"node": nir.Linear(np.ones((3, 4)))}, CHAIN, "'node'"),
        ({"node": nir.LI(np.zeros(3), np.ones(3), np.ones(3))}, CHAIN, "'node'.*posit"),
        ({"node": nir.LI(np.ones(3), np.ones(3), np.full(3, np.inf))}, CHAIN, "v_leak"),
        ({"node": nir.Delay(np.full(3, 1e6))}, CHAIN, "'node'.*unit of time"),
        ({"node": nir.Delay(np.full(3, -DT))}, CHAIN, "'node'.*from 0 to"),
        ({"node": noted("no JSON")}, CHAIN, "'node'.*in JSON"),
        ({"node": noted("[1]")}, CHAIN, "'node'.*in JSON"),
        ({"node": noted(5)}, CHAIN, "'node'.*in JSON"),
        ({"node": noted(b"\xff")}, CHAIN, "'node'.*in JSON"),
        (
            {"node": noted(layer_in_json("Dense", units=10**7))},
            CHAIN,
            "'node'.*IFLayer",
        ),
        ({"node": noted(layer_in_json("IFLayer", tau=1))}, CHAIN, "'node'.*in JSON"),
        (
            {"node": noted(layer_in_json("IFLayer", v_threshold=[1] * 5))},
            CHAIN,
            "'node'",
        ),
    ],
)
def test_refuses_broken_graphs(nodes, edges, message):
    with pytest.raises(ValueError, match=message):
        export.from_nir(unchecked(nodes, edges))


def test_refuses_sub_graphs_that_are_empty_or_hold_themselves():
    empty = unchecked({}, [("input", "output")])
    with pytest.raises(ValueError, match="sub-graph 'node' must have"):
        export.from_nir(unchecked({"node": empty}, CHAIN))
    empty.nodes["node"] = empty
    with pytest.raises(ValueError, match="must not contain itself"):
        export.from_nir(empty)


@pytest.mark.parametrize("shape", ([], [0], [-3], [2.5], None))
def test_refuses_inputs_without_a_shape(shape):
    graph = unchecked({"node": nir.Scale(np.ones(3))}, CHAIN)
    graph.nodes["input"].input_type = {
        "input": None if shape is None else np.array(shape)
    }
    with pytest.raises(ValueError, match="'input' cannot be read"):
        export.from_nir(graph)


def image_graph(node, shape=(2, 4, 4)):
    graph = unchecked({"node": node}, CHAIN)
    graph.nodes["input"].input_type = {"input": np.array(shape)}
    return graph


@pytest.mark.parametrize(
    "options, message",
    [
        ({"padding": (10**6, 10**6)}, "max_bytes"),
        ({"padding": (-1, 0)}, "at least 0"),
        ({"stride": (0, 1)}, "'node'"),
        ({"stride": (1.5, 1)}, "must be integers"),
        ({"stride": (2, 2), "dilation": (10**6, 10**6)}, "max_bytes"),
        ({"groups": 0}, "'node'"),
        ({"groups": 3}, "'node'"),
        ({"bias": np.ones(7)}, "'node'"),
        ({"weight": np.ones((3, 2, 9, 9))}, "'node'"),
    ],
)
def test_refuses_convolutions_that_cannot_be(options, message):
    node = nir.Conv2d(
        **{
            "input_shape": None,
            "weight": np.ones((3, 2, 3, 3)),
            "stride": (1, 1),
            "padding": (0, 0),
            "dilation": (1, 1),
            "groups": 1,
            "bias": np.zeros(3),
            **options,
        }
    )
    with pytest.raises(ValueError, match=message):
        export.from_nir(image_graph(node))


def test_refuses_graphs_that_take_too_much_memory(tmp_path):
    with pytest.raises(ValueError, match="'node'.*max_bytes"):
        export.from_nir(image_graph(nir.Scale(np.ones(1)), (10**4, 10**4, 10**4)))
    node = nir.Delay(np.array([DT, 2 * DT]))
    with pytest.raises(ValueError, match="'node'.*max_bytes"):
        export.from_nir(graph_of(node, (2,)), max_bytes=15)
    path = tmp_path / "network.nir"
    export.to_nir(sequential((4,), keras.layers.Dense(3, use_bias=False)), path)
    with pytest.raises(ValueError, match="max_bytes"):
        export.from_nir(path, max_bytes=40)
    with h5py.File(path, "a") as file:
        (name,) = [k for k in file["node/nodes"] if k not in ("input", "output")]
        del file[f"node/nodes/{name}/weight"]
        file[f"node/nodes/{name}"].create_dataset(
            "weight", (10**7, 10**7), chunks=(9, 9)
        )
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match="max_bytes"):
        export.from_nir(path)


def test_arrays_of_other_files_are_not_read(tmp_path):
    path = tmp_path / "network.nir"
    export.to_nir(sequential((4,), keras.layers.Dense(3, use_bias=False)), path)
    with h5py.File(path, "a") as file:
        file["node/nodes/input/secret"] = h5py.ExternalLink("secret.h5", "weight")
    with pytest.raises(ValueError, match="stored elsewhere"):
        export.from_nir(path)


def test_groups_in_each_other(tmp_path):
    """A few of them make up more paths than anyone can walk."""
    path = tmp_path / "network.nir"
    export.to_nir(sequential((4,), keras.layers.Dense(3, use_bias=False)), path)
    with h5py.File(path, "a") as file:
        group = file.create_group("a")
        for _ in range(60):
            inner = group.create_group("a")
            group["b"] = inner
            group = inner
    with pytest.raises(ValueError, match="several places"):
        export.from_nir(path)


@pytest.mark.parametrize("number, size", [(0, 0), (1, 2**64 - 16), (1, 2**60)])
def test_heaps_of_strings_without_an_end(number, size, tmp_path):
    path = tmp_path / "network.nir"
    export.to_nir(sequential((4,), keras.layers.Dense(3, use_bias=False)), path)
    content = bytearray(path.read_bytes())
    start = content.index(b"GCOL") + 16
    content[start : start + 2] = number.to_bytes(2, "little")
    content[start + 8 : start + 16] = size.to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="network.nir.*heap of strings"):
        export.from_nir(path)


def test_weights_that_could_not_be_read_are_not_written(tmp_path):
    nan = keras.initializers.Constant(np.nan)
    for stack, message in (
        ([keras.layers.Dense(3, kernel_initializer=nan)], "NaN or infinite"),
        ([layers.WeightStandardizedDense(3)], "no WeightStandardizedDense"),
        (
            [keras.layers.Dense(3), layers.BatchNormalizationThroughTime(5)],
            "no BatchNormalizationThroughTime",
        ),
    ):
        model = keras.Sequential([keras.Input((5, 4)), *stack])
        with pytest.raises(ValueError, match=message):
            export.to_nir(model, tmp_path / "network.nir")
    assert not list(tmp_path.iterdir())


def test_arguments_have_their_type(tmp_path):
    graph = graph_of(nir.Scale(full(1.0)), (3,))
    model = export.from_nir(graph)
    for options, message in (
        ({"at_threshold": 1}, "`at_threshold` must be True or False"),
        ({"dt": "1e-4"}, "`dt` must be a number"),
        ({"max_bytes": 1e9}, "`max_bytes` must be an integer"),
    ):
        with pytest.raises(TypeError, match=message):
            export.from_nir(graph, **options)
    for options, message in (
        ({"at_threshold": 1}, "`at_threshold` must be True or False"),
        ({"approximate": "yes"}, "`approximate` must be True or False"),
        ({"dt": True}, "`dt` must be a number"),
    ):
        with pytest.raises(TypeError, match=message):
            export.to_nir(model, **options)
    with pytest.raises(TypeError, match="`path_or_graph` must be the path"):
        export.from_nir(5)
    with pytest.raises(ValueError, match="`path` must name a file"):
        export.to_nir(model, tmp_path)
