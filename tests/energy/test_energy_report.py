import json

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import callbacks
from keras_spiking import conversion
from keras_spiking import energy
from keras_spiking import layers

K = keras.layers
RNG = np.random.default_rng(0)
SPIKES = RNG.integers(0, 2, (5, 6, 7, 8, 2)).astype("float32")


def stack():
    return (
        K.Conv2D(4, 3, strides=2, padding="same", name="a"),
        layers.LIFLayer(v_threshold=0.2, name="lif"),
        K.Conv2D(3, (2, 3), dilation_rate=(2, 1), name="b"),
        layers.IFLayer(v_threshold=0.2, name="if"),
        K.Flatten(),
        K.Dense(5, name="c"),
    )


def over_time():
    a, lif, b, neurons, flatten, c = stack()
    steps = layers.SeqToBatch
    return keras.Sequential(
        [keras.Input(SPIKES.shape[1:]), steps(a), lif, steps(b), neurons]
        + [steps([flatten, c])]
    )


def step_by_step(timesteps=None):
    shape = SPIKES.shape[1 if timesteps is None else 2 :]
    network = layers.StepByStep(list(stack()), timesteps)
    return keras.Sequential([keras.Input(shape), network])


def expected_operations(model, x):
    """Spikes of monitors times synapses, which `test_fan_out` counts one by one."""
    monitor = callbacks.InputMonitor(layers=["a", "b", "c"])
    found = monitor.record(model, x)
    return {
        name: np.sum((v != 0) * energy.fan_out(monitor._layers[name], v.shape[2:]))
        for name, v in found.items()
    }


@pytest.mark.parametrize("make", [over_time, step_by_step])
def test_operations_are_spikes_times_the_synapses_behind_each(make):
    model = make()
    expected = expected_operations(model, SPIKES)
    report = energy.report(model, SPIKES, batch_size=2)
    for layer in report.synapses:
        assert layer.inputs == "spikes" and layer.macs == 0.0
        np.testing.assert_allclose(layer.acs * 5, expected[layer.name], rtol=1e-12)
    assert report.acs > 0.0 and report.timesteps == 6 and report.samples == 5
    # The first: 4 x 4 outputs of 3 x 3 x 2 inputs and 4 filters; pads left out.
    assert report.synapses[0].dense == 6 * (4 * 3 - 2) * (4 * 3 - 1) * 2 * 4
    # The data is a sequence: the ANN runs at every step, too.
    assert report.ann_macs == report.dense


def test_neurons_are_counted_over_all_steps():
    neurons = layers.IFLayer(return_sequences=False, v_threshold=2.0)
    model = keras.Sequential([keras.Input((4, 3)), neurons, K.Dense(2)])
    report = energy.report(model, np.ones((2, 4, 3)))
    (row,) = report.neurons
    assert (row.neurons, row.spikes, row.firing_rate, row.updates) == (
        3,
        6.0,
        0.5,
        12.0,
    )
    # Only the last step is returned, where all of them fire.
    assert report.acs == 3 * 2 and report.ann_macs == 3 * 2


def test_an_input_that_is_presented_again_meets_the_ann_once():
    model = step_by_step(timesteps=6)
    report = energy.report(model, RNG.random((3, 7, 8, 2)))
    first, second, _ = report.synapses
    assert first.inputs == "analog" and first.active == 1.0
    assert first.macs == first.dense == 6 * first.ann_macs
    assert second.inputs == "spikes" and second.dense == 6 * second.ann_macs
    twice = energy.report(model, RNG.random((3, 7, 8, 2)), ann_steps=2)
    assert twice.ann_macs == 2 * report.ann_macs


def test_what_comes_before_the_time_axis_is_computed_once():
    model = keras.Sequential(
        [keras.Input((3,)), K.Dense(8), layers.DirectEncoder(5), layers.IFLayer()]
    )
    report = energy.report(model, RNG.random((2, 3)))
    assert report.macs == report.dense == report.ann_macs == 3 * 8
    assert report.updates == 8 * 5


def test_one_time_step():
    model = keras.Sequential([keras.Input((1, 3)), layers.IFLayer(), K.Dense(2)])
    report = energy.report(model, np.array([[[0.0, 1.0, 2.0]]]))
    assert (report.timesteps, report.spikes, report.acs, report.ann_macs) == (
        1,
        2,
        4,
        6,
    )


def test_pruned_weights_cost_the_ann_alone():
    dense = K.Dense(4)
    model = keras.Sequential([keras.Input((2, 3)), layers.IFLayer(), dense])
    dense.kernel.assign(np.eye(3, 4))
    report = energy.report(model, np.ones((1, 2, 3)))
    assert report.acs == 2 * 3 and report.ann_macs == 2 * 3 * 4


def test_sums_of_spikes_are_as_many_spikes():
    inputs = keras.Input((3, 4))
    x = layers.IFLayer(name="if")(inputs)
    y = layers.IFLayer()(inputs)
    model = keras.Model(inputs, K.Dense(5)(K.Add()([x, y])))
    report = energy.report(model, np.ones((1, 3, 4)))
    assert report.synapses[0].inputs == "counts"
    assert report.acs == 2 * 3 * 4 * 5
    # The same numbers at the input are no spikes.
    model = keras.Sequential([keras.Input((3, 4)), K.Dense(5), layers.IFLayer()])
    assert energy.report(model, np.full((1, 3, 4), 2.0)).macs == 3 * 4 * 5


@pytest.mark.once
def test_residual_networks_add_up():
    def block(x, strides, name):
        y = layers.SeqToBatch(K.Conv2D(3, 3, strides, "same", name=f"{name}_a"))(x)
        y = layers.IFLayer(v_threshold=0.1)(y)
        if strides > 1:
            x = layers.SeqToBatch(K.Conv2D(3, 1, strides, name=f"{name}_skip"))(x)
            x = layers.IFLayer(v_threshold=0.1)(x)
        return K.Add()([x, y])

    inputs = keras.Input((2, 5, 5, 3))
    x = block(block(layers.IFLayer()(inputs), 1, "one"), 2, "two")
    model = keras.Model(inputs, K.Dense(2, name="top")(K.Flatten()(x)))
    data = RNG.integers(0, 2, (2, 2, 5, 5, 3)).astype("float32")
    report = energy.report(model, data)
    found = callbacks.InputMonitor(layers=["one_a", "two_a", "two_skip"])
    kinds = {x.name: x.inputs for x in report.synapses}
    assert (
        kinds["one_a"] == "spikes" and kinds["two_a"] == kinds["two_skip"] == "counts"
    )
    for name, x in found.record(model, data).items():
        (row,) = [r for r in report.synapses if r.name == name]
        reached = energy.fan_out(found._layers[name], x.shape[2:])
        np.testing.assert_allclose(row.acs * 2, np.sum(x * reached), rtol=1e-12)


def test_shared_and_nested_layers_count_at_every_use():
    dense = K.Dense(3)
    inner = keras.Sequential([keras.Input((4, 3)), dense, layers.IFLayer(), dense])
    model = keras.Sequential([keras.Input((4, 3)), inner])
    report = energy.report(model, np.ones((2, 4, 3)))
    assert report.dense == 2 * 4 * 9


@pytest.mark.once
def test_scaled_spikes_of_converted_networks_are_spikes():
    x = RNG.random((8, 6, 6, 1)).astype("float32")
    ann = keras.Sequential(
        [keras.Input((6, 6, 1)), K.Conv2D(3, 3, activation="relu", padding="same")]
        + [K.Conv2D(2, 3, activation="relu"), K.Flatten(), K.Dense(4)]
    )
    snn = conversion.convert(ann, x, timesteps=8, channel_wise=True)
    report = energy.report(snn, x)
    assert [r.inputs for r in report.synapses] == ["analog", "spikes", "spikes"]
    spikes = sum(r.spikes for r in conversion.report(snn, ann, x).layers)
    np.testing.assert_allclose(report.spikes, spikes, rtol=1e-5)
    assert report.synapses[0].dense == report.synapses[0].ann_macs  # computed once
    assert report.synapses[1].dense == 8 * report.synapses[1].ann_macs


CELLS = [layers.SpikingRNNCell, layers.SpikingLSTMCell, K.LSTMCell, K.GRUCell]


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_cells_count_inputs_and_feedback(cell):
    gates = {"SpikingRNNCell": 1, "GRUCell": 3}.get(cell.__name__, 4)
    model = keras.Sequential(
        [keras.Input((5, 3)), layers.IFLayer(), K.RNN(cell(4, name="cell"))]
    )
    report = energy.report(model, np.ones((2, 5, 3)))
    kernel, recurrent = report.synapses
    assert (kernel.name, recurrent.name) == ("cell", "cell/recurrent")
    assert kernel.acs == kernel.dense == 5 * 3 * gates * 4
    assert recurrent.dense == 5 * 4 * gates * 4
    assert recurrent.active < 1.0  # the first step has no feedback


def test_keras_recurrent_layers_loop_in_the_open_and_stay_as_they_were():
    lstm = K.LSTM(4)
    model = keras.Sequential([keras.Input((5, 3)), layers.IFLayer(), lstm])
    report = energy.report(model, np.ones((2, 5, 3)))
    assert report.dense == 5 * (3 + 4) * 16
    assert lstm.unroll is False and lstm.use_cudnn == "auto"


def test_separable_convolutions_count_both_products():
    layer = K.SeparableConv1D(5, 3, padding="same", name="s")
    model = keras.Sequential(
        [keras.Input((2, 6, 3)), layers.IFLayer(), layers.SeqToBatch(layer)]
    )
    report = energy.report(model, np.ones((1, 2, 6, 3)))
    depthwise, pointwise = report.synapses
    assert depthwise.acs == 2 * (3 * 6 - 2) * 3
    assert pointwise.name == "s/pointwise" and pointwise.macs == 2 * 6 * 3 * 5


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(dtype):
    model = keras.Sequential(
        [keras.Input((4, 3)), layers.IFLayer(dtype=dtype), K.Dense(2, dtype=dtype)]
    )
    assert energy.report(model, np.ones((2, 4, 3))).acs == 4 * 3 * 2


def test_quantised_layers():
    quantized = layers.Quantized(K.Dense(2))
    model = keras.Sequential([keras.Input((4, 3)), layers.IFLayer(), quantized])
    assert energy.report(model, np.ones((2, 4, 3))).dense == 4 * 3 * 2
    model = keras.Sequential([keras.Input((4, 3)), layers.IFLayer(), K.Dense(2)])
    model.quantize("int8")
    assert energy.report(model, np.ones((2, 4, 3))).dense == 4 * 3 * 2


def test_layers_that_are_not_counted_are_named():
    neurons = layers.PSN(T=4, name="psn")
    model = keras.Sequential([keras.Input((4, 3)), neurons, K.Dense(2)])
    report = energy.report(model, np.ones((1, 4, 3)))
    assert report.uncounted == ["psn"] and "Not counted: products of psn" in str(report)


def test_models_and_random_numbers_stay_as_they_are():
    encoder = layers.PoissonEncoder(4, seed=3)
    neurons = layers.IFLayer(stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 3)), encoder, neurons])
    before = [np.copy(to_numpy(v.value)) for v in model.variables]
    energy.report(model, np.full((2, 3), 0.7))
    for variable, value in zip(model.variables, before):
        np.testing.assert_array_equal(to_numpy(variable.value), value)


def small():
    return keras.Sequential([keras.Input((4, 3)), layers.IFLayer(), K.Dense(10)])


@pytest.mark.once
def test_energies_are_sums_of_what_is_counted():
    cost = energy.Cost(
        "x", ac=1.0, mac=10.0, update=100.0, weight=0.1, activation=0.01, state=1000.0
    )
    report = energy.report(small(), np.ones((1, 4, 3)), costs=cost)
    acs, updates = 4 * 3 * 10, 4 * 3
    states = 2 * (acs + updates)
    expected = acs * 1.1 + updates * 100.0 + states * 1000.0
    np.testing.assert_allclose(report.snn_energy(cost), expected)
    macs, neurons = 4 * 3 * 10, 3
    expected = macs * (10.0 + 0.1 + 0.01) + neurons * 0.01
    np.testing.assert_allclose(report.ann_energy(cost), expected)


@pytest.mark.once
def test_published_costs():
    found = {name: (c.ac, c.mac) for name, c in energy.COSTS.items()}
    assert found["45nm"] == (0.9e-12, 4.6e-12)
    assert found["loihi"] == (23.6e-12, None)
    assert energy.with_memory(energy.COSTS["45nm_int8"], 1024).weight == 12.5e-12
    assert all(c.reference for c in energy.COSTS.values())


@pytest.mark.once
def test_verdict_says_when_spikes_do_not_pay():
    model = keras.Sequential([keras.Input((4, 3)), layers.IFLayer(), K.Dense(100)])
    busy = energy.report(model, np.ones((2, 4, 3)), ann_steps=1)
    assert "is not cheaper than its quantised ANN twin (45nm_int8)" in busy.verdict
    assert "4.00 operations for each one of the ANN" in busy.verdict
    quiet = energy.report(model, np.full((2, 4, 3), 0.1))
    assert "is cheaper than its quantised ANN twin (45nm_int8)" in quiet.verdict
    chip = energy.report(model, np.ones((2, 4, 3)), costs="loihi")
    assert "there is no comparison" in chip.verdict


@pytest.mark.once
def test_tables_json_and_pictures(tmp_path):
    report = energy.report(step_by_step(6), RNG.random((1, 7, 8, 2)))
    assert "microjoules per sample" in str(report)
    assert "Chips without multiplication" in str(report)
    report.to_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["acs"] == report.acs and read["synapses"][0]["name"] == "a"
    assert read["energy"]["loihi"]["ann"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
    report.plot().savefig(tmp_path / "report.png")


def test_bad_input():
    model, x = small(), np.ones((2, 4, 3))
    with pytest.raises(ValueError, match="has no spiking neurons"):
        energy.report(
            keras.Sequential([keras.Input((3,)), K.Dense(2)]), np.ones((1, 3))
        )
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        energy.report(np.ones, x)
    with pytest.raises(ValueError, match="must fit the model.s input"):
        energy.report(model, np.ones((2, 4, 5)))
    with pytest.raises(ValueError, match="at least one sample"):
        energy.report(model, np.ones((0, 4, 3)))
    with pytest.raises(
        ValueError, match="must be finite. Received: array 0 with 1 values"
    ):
        energy.report(model, np.where(np.arange(24).reshape(x.shape), x, np.nan))
    with pytest.raises(ValueError, match="must hold an array for each"):
        energy.report(model, [x, x])
    with pytest.raises(ValueError, match="`costs` must be one of '45nm'"):
        energy.report(model, x, costs="7nm")
    with pytest.raises(TypeError, match="must be names or"):
        energy.report(model, x, costs=[1.0])
    with pytest.raises(ValueError, match="`ac` must be finite"):
        energy.Cost("mine", ac=float("nan"))
    with pytest.raises(ValueError, match="`mac` must be at least 0"):
        energy.Cost("mine", ac=1.0, mac=-1.0)
    with pytest.raises(ValueError, match="`kilobytes` must be one of 8"):
        energy.with_memory(energy.COSTS["45nm"], 16)
    with pytest.raises(ValueError, match="`ann_steps` must be at least 1"):
        energy.report(model, x, ann_steps=0)
