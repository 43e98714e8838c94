import threading
import warnings

import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import ops

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking.inspection import selection

random = np.random.default_rng(0)
X = random.random((3, 6, 4)).astype("float32") * 3.0
Y = random.random((3, 6, 2)).astype("float32")


def nested():
    """Neurons in a list, in a sub-model and in StepByStep, and a shared one."""
    block = keras.Sequential([keras.layers.Dense(5), layers.LIFLayer(name="inner")])
    shared = layers.IFLayer(name="shared")
    inputs = keras.Input((6, 4))
    x = layers.SeqToBatch([keras.layers.Dense(4, name="dense")])(inputs)
    x = block(shared(x) + shared(inputs))
    stepped = [keras.layers.Dense(4, name="stepped"), layers.LIFLayer(name="last")]
    x = layers.StepByStep(stepped)(x)
    return keras.Model(inputs, keras.layers.Dense(2)(x))


def test_spiking_layers_everywhere_are_watched_by_default():
    monitor = callbacks.OutputMonitor()
    monitor.record(nested(), X)
    assert set(monitor.records) == {"shared", "shared:1", "inner", "last"}


def test_records_equal_what_the_layers_compute():
    model = nested()
    names = ["dense", "shared", "inner", "stepped", "last"]
    inputs = callbacks.InputMonitor(layers=names).record(model, X)
    outputs = callbacks.OutputMonitor(layers=names).record(model, X)
    for name in ("shared", "shared:1"):
        expected = model.get_layer("shared")(inputs[name])
        np.testing.assert_array_equal(outputs[name], to_numpy(expected))
    np.testing.assert_array_equal(inputs["shared:1"], X)
    for name in ("inner", "last"):
        expected = layers.LIFLayer()(inputs[name])
        np.testing.assert_array_equal(outputs[name], to_numpy(expected))
    for name, below in (("dense", X), ("stepped", outputs["inner"])):
        (layer,) = selection.select_layers(model, name).values()
        np.testing.assert_allclose(inputs[name], below, atol=1e-6)
        np.testing.assert_allclose(
            outputs[name], to_numpy(layer(below)), atol=1e-5, rtol=1e-5
        )


def test_states_are_those_of_every_step():
    model = nested()
    inputs = callbacks.InputMonitor().record(model, X)
    states = callbacks.StateMonitor().record(model, X)
    for name in ("inner", "last"):
        layer, v = layers.LIFLayer(), None
        for t in range(6):
            x = inputs[name][:, t]
            v = layer.get_initial_state(x) if v is None else v
            _, v = layer.step(x, v)
            np.testing.assert_allclose(states[name][:, t], to_numpy(v[0]), atol=1e-6)


def test_all_states_are_recorded_by_name():
    alif = layers.ALIFLayer(beta=0.5, name="alif")
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, alif(keras.layers.Dense(4)(inputs)))
    currents = callbacks.InputMonitor().record(model, X)["alif"]
    monitor = callbacks.StateMonitor()
    records = monitor.record(model, X)
    states = alif.get_initial_state(currents[:, 0])
    assert list(records) == list(monitor.records) == ["alif", "alif/threshold"]
    for t in range(6):
        _, states = alif.step(currents[:, t], states)
        for key, state in zip(records, states, strict=True):
            np.testing.assert_allclose(records[key][:, t], to_numpy(state), atol=1e-6)


@pytest.mark.parametrize("reset", [0.0, None])
def test_potentials_before_the_reset(reset):
    layer = layers.LIFLayer(v_reset=reset, name="lif")
    h = callbacks.StateMonitor(before_reset=True).record(layer, X)["lif"]
    v = callbacks.StateMonitor().record(layer, X)["lif"]
    spikes = to_numpy(layer(X))
    np.testing.assert_array_equal(spikes, h >= 1.0)
    expected = h - spikes if reset is None else h * (1.0 - spikes)
    np.testing.assert_allclose(v, expected, atol=1e-6)
    refuses = callbacks.StateMonitor(before_reset=True).record
    with pytest.raises(ValueError, match="before_reset.*GatedLIFLayer"):
        refuses(layers.GatedLIFLayer(), X)


def test_states_are_those_of_the_run_itself():
    """Where a layer changes its inputs, states from before, masks."""
    noisy = layers.NoisyLIFLayer(std=0.0, seed=1, name="noisy")
    gated = layers.GatedLIFLayer(T=6, name="gated")
    stateful = layers.LIFLayer(stateful=True, name="stateful")
    for layer in (noisy, gated, stateful):
        model = keras.Sequential([keras.Input((6, 4), 3), layer])
        model(X)
        before = [to_numpy(v.value) for v in model.variables]
        v = callbacks.StateMonitor().record(model, X)[layer.name]
        for value, variable in zip(before, model.variables, strict=True):
            np.testing.assert_array_equal(value, to_numpy(variable.value))
        layer.return_state = True
        final = layer(X)[1]
        np.testing.assert_allclose(v[:, -1], to_numpy(final), atol=1e-6)


def test_a_bare_layer_and_an_unbuilt_one_are_recorded():
    for layer in (
        layers.LIFLayer(name="lif"),
        layers.StepByStep([keras.layers.Dense(3), layers.LIFLayer(name="lif")]),
        keras.Sequential([keras.layers.Dense(3), layers.LIFLayer(name="lif")]),
    ):
        spikes = callbacks.OutputMonitor().record(layer, X)["lif"]
        np.testing.assert_array_equal(spikes, to_numpy(layer(X)))
        assert callbacks.StateMonitor().record(layer, X)["lif"].shape == spikes.shape


def test_neurons_in_a_single_step():
    neuron = layers.ALIFLayer(name="n")
    inputs = keras.Input((4,))
    step = keras.Model(inputs, layers.SingleStep(neuron)(inputs))
    model = keras.Sequential([keras.Input((6, 4)), layers.StepByStep(step)])
    same = layers.ALIFLayer(name="n")
    for monitor in (callbacks.OutputMonitor, callbacks.StateMonitor):
        found, expected = monitor().record(model, X), monitor().record(same, X)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_parallel_neurons_are_watched():
    model = keras.Sequential([keras.Input((6, 4)), layers.PSN(name="psn")])
    assert set(callbacks.OutputMonitor().record(model, X)) == {"psn"}


def test_values_that_are_not_finite_are_warned_of_once():
    layer, x = layers.LIFLayer(name="lif"), np.full((1, 3, 2), np.nan, "float32")
    monitor = callbacks.StateMonitor()
    with pytest.warns(UserWarning, match="not finite.*'lif'"):
        monitor.record(layer, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        monitor.record(layer, x)


def test_records_in_two_threads_do_not_mix():
    model = nested()
    x = [X * (i + 1) for i in range(2)]
    expected = [callbacks.OutputMonitor().record(model, values) for values in x]
    found = [[], []]

    def record(i):
        monitor = callbacks.OutputMonitor()
        found[i] += [monitor.record(model, x[i]) for _ in range(5)]

    threads = [threading.Thread(target=record, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        assert len(found[i]) == 5
        for records in found[i]:
            for name, values in expected[i].items():
                np.testing.assert_array_equal(records[name], values)


def test_states_are_held_where_masked():
    inputs = keras.Input((6, 4))
    masked = keras.layers.Masking()(inputs)
    model = keras.Model(inputs, layers.LIFLayer(v_threshold=9.0, name="lif")(masked))
    x = X + 1.0
    x[:, 3:] = 0.0
    v = callbacks.StateMonitor().record(model, x)["lif"]
    np.testing.assert_array_equal(v[:, 3:], np.repeat(v[:, 2:3], 3, axis=1))
    h = callbacks.StateMonitor(before_reset=True).record(model, x)["lif"]
    np.testing.assert_array_equal(h, v)


@pytest.mark.trains
@pytest.mark.parametrize("jit_compile", [False, "auto"])
def test_records_under_fit(jit_compile):
    model = nested()
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=jit_compile)
    rate = callbacks.OutputMonitor(X, transform=lambda s: s.mean(axis=1))
    every = callbacks.StateMonitor((X, Y), layers="inner", every=2)
    x, y = np.tile(X, (3, 1, 1)), np.tile(Y, (3, 1, 1))
    model.fit(x, y, 3, 2, verbose=0, callbacks=[rate, every])
    assert [len(rate.records[n]) for n in ("inner", "last")] == [2, 2]
    assert len(every.records["inner"]) == 3  # of 6 batches
    direct = callbacks.OutputMonitor().record(model, X)
    for name, arrays in rate.records.items():
        np.testing.assert_allclose(arrays[-1], direct[name].mean(axis=1), atol=1e-6)


@pytest.mark.trains
def test_weights_and_random_seeds_stay_as_they_are():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.PoissonEncoder(6, seed=3, clip=True),
            layers.IFLayer(name="n"),
        ]
    )
    before = to_numpy([v.value for v in model.variables])
    monitor = callbacks.OutputMonitor()
    monitor.record(model, X[:, 0])
    for a, v in zip(before, model.variables):
        np.testing.assert_array_equal(a, to_numpy(v.value))


@pytest.mark.trains
@pytest.mark.parametrize("monitor", ["Output", "Input"])
def test_gradients_equal_finite_differences(monitor):
    dense = keras.layers.Dense(2, activation="tanh", name="dense")
    stepped = layers.StepByStep([dense, layers.LILayer()], name="steps")
    model = keras.Sequential([keras.Input((6, 4)), stepped])
    model.compile(loss="mse")
    record = getattr(callbacks, f"{monitor}GradientMonitor")(layers="dense").record
    gradient = record(model, X, Y)["dense"]
    if monitor == "Input":
        below, above = X, lambda x: layers.LILayer()(dense(x))
    else:
        below, above = to_numpy(dense(X)), lambda x: layers.LILayer()(x)

    def loss(x):
        return float(np.mean((to_numpy(above(x.astype("float32"))) - Y) ** 2))

    for index in [(0, 0, 0), (1, 3, 1), (2, 5, 1)]:
        step = np.zeros(below.shape)
        step[index] = 1e-2
        slope = (loss(below + step) - loss(below - step)) / 2e-2
        np.testing.assert_allclose(gradient[index], slope, atol=2e-5)


@pytest.mark.trains
def test_input_gradient_is_that_through_the_surrogate():
    from backend import gradients

    model = keras.Sequential([keras.Input((6, 4)), layers.LIFLayer(name="lif")])
    model.compile(loss="mse")
    target = np.zeros_like(X)
    found = callbacks.InputGradientMonitor().record(model, X, target)["lif"]
    (expected,) = gradients(lambda x: ops.mean(ops.square(model(x))), [X])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_records_can_be_saved_and_forgotten(tmp_path):
    model, monitor = nested(), callbacks.OutputMonitor(layers="inner")
    monitor.record(model, X)
    monitor.record(model, X)
    monitor.to_npz(tmp_path / "records.npz")
    with np.load(tmp_path / "records.npz") as file:
        assert file["inner"].shape == (2, 3, 6, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["records.npz"]
    monitor.clear()
    assert monitor.records == {}


def test_bad_input():
    model = nested()
    with pytest.raises(ValueError, match="'nothing'.*'inner'"):
        callbacks.OutputMonitor(layers="nothing").record(model, X)
    with pytest.raises(ValueError, match="takes inputs of shape"):
        callbacks.OutputMonitor().record(model, X[:, :, :2])
    with pytest.raises(ValueError, match="every"):
        callbacks.OutputMonitor(X, every=0)
    with pytest.raises(TypeError, match="every"):
        callbacks.OutputMonitor(X, every=2.5)
    with pytest.raises(TypeError, match="before_reset"):
        callbacks.StateMonitor(before_reset=1)
    with pytest.raises(TypeError, match="layers"):
        callbacks.OutputMonitor(X, layers=[])
    with pytest.raises(TypeError, match="transform"):
        callbacks.OutputMonitor(X, transform="mean")
    with pytest.raises(TypeError, match="layers"):
        callbacks.OutputMonitor(X, layers=3)
    with pytest.raises(TypeError, match="state over time"):
        callbacks.StateMonitor(layers="dense").record(model, X)
    with pytest.raises(ValueError, match="compile"):
        callbacks.OutputGradientMonitor().record(model, X, Y)
