"""The kernel of a layer is the one for what the layer is now, without hidden state."""

import gc
import weakref

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import gradients
from backend import to_numpy
from keras import ops

import keras_spiking
from keras_spiking import layers
from keras_spiking import surrogates
from keras_spiking.backends import fused
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.trace import Step

trains = pytest.mark.trains


@pytest.fixture(autouse=True)
def always():
    keras_spiking.config.set_fused("always")
    yield
    keras_spiking.config.set_fused("auto")


def draw(*shape, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(0.7, 1.0, shape).astype("float32")


def reference(function):
    keras_spiking.config.set_fused("never")
    try:
        return function()
    finally:
        keras_spiking.config.set_fused("always")


def spikes(layer, x):
    return to_numpy(layer(x))


def gradient(layer, x):
    weights = ops.convert_to_tensor(draw(*x.shape, seed=1))
    return gradients(lambda x: ops.sum(layer(x) * weights), [x])[0]


def assert_as_reference(layer, x):
    expected = reference(lambda: spikes(layer, x))
    np.testing.assert_array_equal(spikes(layer, x), expected)
    if BACKEND != "numpy":
        expected = reference(lambda: gradient(layer, x))
        np.testing.assert_allclose(gradient(layer, x), expected, 1e-4, 1e-5)


CHANGES = {
    "tau": lambda layer: setattr(layer, "tau", 7.0),
    "tau of an array": lambda layer: setattr(layer, "tau", [2.0, 3.0, 9.0, 4.0, 5.0]),
    "threshold": lambda layer: setattr(layer, "v_threshold", 0.3),
    "soft reset": lambda layer: setattr(layer, "v_reset", None),
    "detached reset": lambda layer: setattr(layer, "detach_reset", True),
    "decay of the input": lambda layer: setattr(layer, "decay_input", False),
    "another surrogate": lambda layer: setattr(layer, "surrogate", surrogates.ATan()),
    "annealed surrogate": lambda layer: setattr(layer.surrogate, "alpha", 20.0),
    "a method of the layer": lambda layer: setattr(
        layer, "charge", lambda x, v: 0.5 * v + x
    ),
}


ONLY_IN_GRADIENTS = ("detached reset", "another surrogate", "annealed surrogate")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_takes_effect_at_the_next_call(change):
    layer = layers.LIFLayer()
    x = draw(2, 9, 5)
    before = [spikes(layer, x)]
    if BACKEND != "numpy":
        before.append(gradient(layer, x))
    CHANGES[change](layer)
    assert_as_reference(layer, x)
    after = [spikes(layer, x)]
    if BACKEND != "numpy":
        after.append(gradient(layer, x))
    seen = any(np.any(a != b) for a, b in zip(before, after))
    assert seen or BACKEND == "numpy" and change in ONLY_IN_GRADIENTS


@pytest.mark.parametrize("learnable", [None, "tau", {"tau": "channel"}])
@pytest.mark.parametrize("built", [False, True])
def test_assigned_parameters_take_effect_before_and_after_build(learnable, built):
    x = draw(2, 9, 5)
    layer = layers.LIFLayer(tau=2.0, learnable=learnable)
    if built:
        layer(x)
    layer.tau = 50.0
    expected = spikes(layers.LIFLayer(tau=50.0, learnable=learnable), x)
    np.testing.assert_array_equal(spikes(layer, x), expected)
    assert layer.get_config()["tau"] == 50.0


def test_an_assigned_parameter_that_is_learned_as_another_weight():
    x = draw(2, 9, 5)
    layer = layers.ParametricLIFLayer(2.0)
    layer(x)
    layer.tau = 50.0
    np.testing.assert_allclose(to_numpy(layer.tau), 50.0, rtol=1e-5)
    np.testing.assert_array_equal(
        spikes(layer, x), spikes(layers.ParametricLIFLayer(50.0), x)
    )


@pytest.mark.parametrize("learnable", [None, {"tau": "channel"}])
@pytest.mark.parametrize("value", [[2.0, 3.0], 0.5, float("nan"), "3", True, None])
def test_a_refused_assignment_changes_nothing(learnable, value):
    x = draw(2, 9, 5)
    layer = layers.LIFLayer(tau=4.0, learnable=learnable)
    before = spikes(layer, x)
    with pytest.raises((ValueError, TypeError), match="tau"):
        layer.tau = value
    np.testing.assert_array_equal(spikes(layer, x), before)
    assert layer.get_config()["tau"] == 4.0


class Anonymous(layers.SpikingLayer):
    """Its constants are plain attributes, and one of them is a weight."""

    def __init__(self, factor=0.9, table=(0.5, 2.0), **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.table = list(table)

    def build(self, inputs_shape):
        self.gain = self.add_weight(shape=inputs_shape[2:], initializer="ones")
        super().build(inputs_shape)

    def charge(self, x, v):
        gain = ops.convert_to_tensor(self.gain)
        return self.factor * v * self.table[0] + gain * x * self.table[1]


def test_plain_attributes_and_weights_count_too():
    layer, x = Anonymous(), draw(2, 9, 5)
    assert_as_reference(layer, x)
    layer.factor = 0.1
    assert_as_reference(layer, x)
    layer.table[1] = 0.7
    assert_as_reference(layer, x)
    layer.gain.assign(np.full(5, 3.0))
    assert_as_reference(layer, x)


def test_a_sweep_of_a_number_compiles_one_library():
    layer = layers.LIFLayer(tau=3.0)
    layer(draw(2, 3, 5))
    keys = {kernel.library.key for kernel in layer.kernels.values()}
    for tau in np.linspace(1.0, 50.0, 50):
        layer = layers.LIFLayer(tau=float(tau), surrogate=surrogates.Sigmoid(tau))
        layer(draw(2, 3, 5))
        assert {kernel.library.key for kernel in layer.kernels.values()} <= keys


def test_equal_layers_are_traced_once(monkeypatch):
    traced = []
    trace = Step._trace
    monkeypatch.setattr(
        Step, "_trace", lambda *args: (traced.append(args), trace(*args))
    )

    class Fresh(layers.LIFLayer):
        pass

    for _ in range(5):
        Fresh(tau=2.5)(draw(2, 3, 5))
    assert len(traced) == 1


def network():
    dense = layers.SeqToBatch(keras.layers.Dense(5))
    return keras.Sequential([keras.Input((6, 5)), dense, layers.LIFLayer()])


def test_calls_do_not_trace_again(monkeypatch):
    model = network()
    x = draw(4, 6, 5)
    model.predict(x, verbose=0)
    monkeypatch.setattr(fused, "_make", lambda *args: pytest.fail("traced again"))
    for _ in range(2):
        model.predict(x, verbose=0)
        if BACKEND == "torch":
            model.train()
            model(x)
            model.eval()
            model(x)


@trains
def test_training_again_does_not_trace_again(monkeypatch):
    model = network()
    model.compile("sgd", "mse")
    x = draw(4, 6, 5)
    model.fit(x, x, verbose=0)
    monkeypatch.setattr(fused, "_make", lambda *args: pytest.fail("traced again"))
    model.fit(x, x, verbose=0)
    model.evaluate(x, x, verbose=0)


def test_tracing_leaves_the_layer_as_it_is():
    layer = layers.ALIFLayer(learnable={"tau": "channel"})
    layer(draw(2, 3, 5))
    before = {k: id(v) for k, v in vars(layer).items()}
    of_surrogate = dict(vars(layer.surrogate))
    Step(layer, (5,))
    assert {k: id(v) for k, v in vars(layer).items()} == before
    assert vars(layer.surrogate) == of_surrogate


class Impure(layers.SpikingLayer):
    def charge(self, x, v):
        self.last = v
        return v + x


def test_a_step_that_assigns_is_refused_with_the_attribute():
    layer = Impure()
    layer.build((None, None, 3))
    assert "self.last" in fused.choose(layer, (3,)).reason


def test_libraries_go_with_their_layers():
    class Passing(layers.SpikingLayer):
        def charge(self, x, v):
            return 0.123 * v + x

    layer = Passing()
    layer(draw(2, 3, 5))
    kept = [weakref.ref(kernel.library) for kernel in layer.kernels.values()]
    watched = weakref.ref(layer)
    assert kept and all(reference() is not None for reference in kept)
    del layer
    libraries._recent.clear()
    keras.backend.clear_session()
    if BACKEND == "jax":
        import jax

        jax.clear_caches()
    gc.collect()
    assert watched() is None
    assert all(reference() is None for reference in kept)


@trains
@pytest.mark.skipif(BACKEND == "jax", reason="JAX differentiates before it returns")
def test_gradients_outlive_the_layer():
    x = draw(2, 3, 5)

    def loss(x):
        return ops.sum(layers.LIFLayer(tau=3.3)(x))

    if BACKEND == "torch":
        x = ops.convert_to_tensor(x).requires_grad_()
        y = loss(x)
        libraries._recent.clear()
        gc.collect()
        y.backward()
        assert np.any(to_numpy(x.grad))
    else:
        assert np.any(gradients(loss, [x])[0])
