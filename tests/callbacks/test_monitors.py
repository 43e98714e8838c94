import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import ops

from keras_spiking import callbacks
from keras_spiking import layers

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
        (layer,) = callbacks.selection.select_layers(model, name).values()
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


def test_states_are_held_where_masked():
    inputs = keras.Input((6, 4))
    masked = keras.layers.Masking()(inputs)
    model = keras.Model(inputs, layers.LIFLayer(v_threshold=9.0, name="lif")(masked))
    x = X + 1.0
    x[:, 3:] = 0.0
    v = callbacks.StateMonitor().record(model, x)["lif"]
    np.testing.assert_array_equal(v[:, 3:], np.repeat(v[:, 2:3], 3, axis=1))


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
    with pytest.raises(TypeError, match="transform"):
        callbacks.OutputMonitor(X, transform="mean")
    with pytest.raises(TypeError, match="layers"):
        callbacks.OutputMonitor(X, layers=3)
    with pytest.raises(TypeError, match="state over time"):
        callbacks.StateMonitor(layers="dense").record(model, X)
    with pytest.raises(ValueError, match="compile"):
        callbacks.OutputGradientMonitor().record(model, X, Y)
