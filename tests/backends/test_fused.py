"""Fused kernels against the reference: outputs, states and all gradients."""

import logging

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import gradients
from backend import to_numpy
from keras import ops

import keras_spiking
from keras_spiking import layers
from keras_spiking.backends import explain
from keras_spiking.backends import fused


class SquareIF(layers.SpikingLayer):
    def charge(self, x, v):
        return v + ops.square(x)


class AdaptiveThreshold(layers.SpikingLayer):
    """Two states, and some of the rarer operations."""

    decay = layers.Parameter(minimum=0.0)

    def __init__(self, decay=0.9, **kwargs):
        super().__init__(**kwargs)
        self.decay = decay

    def get_initial_state(self, x):
        return (*super().get_initial_state(x), ops.zeros_like(x))

    def step(self, x, states):
        v, threshold = states
        h = v + (ops.tanh(x) - v) / 2.0
        h = ops.where(h > -1.0, h, ops.exp(h) - 2.0)
        spikes = self.fire(h - 0.2 * threshold)
        return spikes, (self.reset(h, spikes), self.decay * threshold + spikes)


def exported_neurons():
    """Every layer that runs step by step and can be made without arguments."""
    for name in sorted(dir(layers)):
        cls = getattr(layers, name)
        if isinstance(cls, type) and issubclass(cls, layers.TemporalLayer):
            if cls not in (layers.TemporalLayer, layers.SpikingLayer):
                try:
                    layer = cls()
                    layer.build((None, None, 7))
                except (TypeError, ValueError):
                    continue  # it needs arguments, or images
                if not hasattr(layer, "seed_generator"):
                    yield cls


NEURONS = [*exported_neurons(), SquareIF, AdaptiveThreshold]
# For networks that were trained before.
WITHOUT_GRADIENT = (layers.STBIFLayer,)
RESETS = {
    "hard": {},
    "hard_detached": {"v_reset": -0.3, "detach_reset": True},
    "soft": {"v_reset": None},
}


@pytest.fixture(autouse=True)
def restore_mode():
    yield
    keras_spiking.config.set_fused("auto")


def outcomes(
    layer, features=(7,), timesteps=9, masked=False, dtype="float32", fresh=False
):
    """Everything that a layer computes, on the reference and fused.

    Calls get initial states and gradients for them, if they are not fresh.
    """
    random = np.random.default_rng(1)
    shape = (3, timesteps, *features)
    x = random.normal(0.5, 1.0, shape).astype(dtype)
    weight = ops.convert_to_tensor(random.normal(size=shape).astype(dtype))
    layer.build((None, None, *features))
    states = layer.get_initial_state(ops.convert_to_tensor(x[:, 0]))
    states = [np.asarray(s) for s in to_numpy(states)]
    states[0] = random.normal(size=states[0].shape).astype(states[0].dtype)
    states = [] if fresh else states
    lengths = np.array([timesteps, max(1, timesteps // 2), 1])
    mask = np.arange(timesteps) < lengths[:, None] if masked else None

    def loss(x, *states):
        outputs = layer(x, initial_state=list(states) or None, mask=mask)
        return ops.sum(ops.cast(outputs, dtype) * weight)

    results = []
    for mode in ("never", "always"):
        keras_spiking.config.set_fused(mode)
        outputs = to_numpy(layer(x, initial_state=states or None, mask=mask))
        grads = []
        if BACKEND != "numpy" and not isinstance(layer, WITHOUT_GRADIENT):
            grads = gradients(loss, [x, *states], layer.trainable_variables)
        results.append([np.asarray(a, "float64") for a in [outputs, *grads]])
    return results


def assert_equal(results, tolerance=1e-4):
    for reference, kernel in zip(*results):
        np.testing.assert_allclose(kernel, reference, tolerance, tolerance)


def is_fusable(layer, features=(7,)):
    layer.build((None, None, *features))
    return fused.choose(layer, features).library is not None


@pytest.mark.parametrize("cls", NEURONS)
@pytest.mark.parametrize("fresh", [False, True])
def test_neuron_equals_reference(cls, fresh):
    if not is_fusable(cls()):
        pytest.skip(explain(cls())[0]["reason"])
    takes_masks = not issubclass(cls, (layers.DSRIFLayer, layers.DSRLIFLayer))
    assert_equal(outcomes(cls(), masked=takes_masks and not fresh, fresh=fresh))


@pytest.mark.parametrize("cls", [layers.IFLayer, layers.LIFLayer, AdaptiveThreshold])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("timesteps", [1, 20])
def test_reset_equals_reference(cls, reset, timesteps):
    assert_equal(outcomes(cls(**RESETS[reset]), timesteps=timesteps))


@pytest.mark.parametrize("masked", [False, True])
def test_fresh_calls_have_kernels_without_arrays_of_states(masked):
    layer = layers.LIFLayer(v_reset=-0.3)
    assert_equal(outcomes(layer, masked=masked, fresh=True))
    library = fused.choose(layer, (7,), masked, fresh=True).library
    names = ["x", "mask", "scalars"] if masked else ["x", "scalars"]
    assert [a.name for a in library.kernels["forward"].inputs] == names
    assert [a.name for a in library.kernels["forward"].outputs] == ["output"]
    assert [a.name for a in library.kernels["backward"].outputs] == ["grad_x"]


def test_initial_states_that_are_learned_remain_arrays():
    layer = layers.LIFLayer(v_reset=0.2, learnable={"v_reset": "layer"})
    assert_equal(outcomes(layer, fresh=True))
    assert not fused.choose(layer, (7,), fresh=True).fresh


@pytest.mark.parametrize("name", keras_spiking.surrogates.names())
def test_surrogate_equals_reference(name):
    assert_equal(outcomes(layers.LIFLayer(surrogate=name)))


def two_sided_exponential(x):
    return ops.exp(-ops.abs(x))


def test_user_derivative_equals_reference():
    assert_equal(outcomes(SquareIF(surrogate=two_sided_exponential)))


@pytest.mark.parametrize("sharing", ["layer", "channel", "neuron"])
def test_learnable_parameters_equal_reference(sharing):
    layer = layers.LIFLayer(learnable={"tau": sharing, "v_threshold": sharing})
    assert_equal(outcomes(layer, features=(3, 5)))


def test_fixed_arrays_equal_reference():
    layer = layers.LIFLayer(
        tau=np.linspace(1.5, 3.0, 5),
        v_threshold=np.linspace(0.5, 1.0, 3)[:, None],
        v_reset=np.linspace(-0.2, 0.2, 5),
    )
    assert_equal(outcomes(layer, features=(3, 5)))


def test_more_features_than_a_block():
    assert_equal(outcomes(layers.LIFLayer(), features=(1025,), timesteps=3))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("cls", [layers.LIFLayer, layers.ParametricLIFLayer])
def test_half_precision_equals_reference(policy, cls):
    assert_equal(outcomes(cls(dtype=policy), timesteps=20), tolerance=2e-2)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no float64 unless told so")
def test_double_precision_equals_reference():
    layer = layers.LIFLayer(dtype="float64", surrogate="erf")
    assert_equal(outcomes(layer, dtype="float64"), tolerance=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_input_gives_what_the_reference_gives(value):
    x = np.ones((2, 4, 5), "float32")
    x[0, 1, 2] = value
    results = []
    for mode in ("never", "always"):
        keras_spiking.config.set_fused(mode)
        layer = layers.LIFLayer(return_state=True)
        results.append(to_numpy(layer(x)))
    for reference, kernel in zip(*results):
        np.testing.assert_array_equal(reference, kernel)


def test_changed_parameter_is_noticed():
    x = np.full((1, 3, 2), 1.2, "float32")
    layer = layers.IFLayer()
    keras_spiking.config.set_fused("always")
    assert to_numpy(layer(x)).sum() == 6
    layer.v_threshold = 10.0
    assert to_numpy(layer(x)).sum() == 0


def test_explain_tells_what_serves():
    model = keras.Sequential(
        [
            keras.Input((4, 6)),
            layers.SeqToBatch(keras.layers.Dense(5)),
            layers.LIFLayer(name="lif"),
            layers.StepByStep([keras.layers.Dense(5), SquareIF(name="square")]),
        ]
    )
    rows = {row["layer"]: row for row in explain(model)}
    assert set(rows) == {"lif", "square"}
    assert all(row["implementation"] == "fused" for row in rows.values())
    assert "lif" in str(explain(model))
    keras_spiking.config.set_fused("never")
    assert explain(model)[0]["implementation"] == "reference"


class Mixing(layers.SpikingLayer):
    def charge(self, x, v):
        return v + x - ops.mean(x, axis=-1, keepdims=True)


def test_step_that_is_not_elementwise_trains_on_the_reference(caplog):
    layer = Mixing()
    x = np.ones((2, 3, 4), "float32")
    with caplog.at_level(logging.WARNING, "keras_spiking"):
        fused._logged.clear()
        layer(x)
        layer(x)
    assert sum("Mean" in message for message in caplog.messages) == 1
    (row,) = explain(layer)
    assert row["implementation"] == "reference" and "`Mean`" in row["reason"]
    keras_spiking.config.set_fused("always")
    with pytest.raises(RuntimeError, match="Mean"):
        layer(x)


class Comparing(layers.SpikingLayer):
    def charge(self, x, v):
        return ops.where(x == 1.0, v, v + x)


def test_comparison_that_python_answers_is_not_fused():
    layer = Comparing()
    layer.build((None, None, 3))
    assert "keras.ops.equal" in explain(layer)[0]["reason"]


class Growing(layers.SpikingLayer):
    def charge(self, x, v):
        return ops.concatenate([v, x], axis=-1)


def test_state_of_another_shape_is_named():
    layer = Growing()
    layer.build((None, None, 3))
    assert "not element-wise" in explain(layer)[0]["reason"]


def test_no_compiler_means_reference(monkeypatch):
    monkeypatch.setattr(fused.compiler, "compiler", lambda: None)
    layer = layers.LIFLayer()
    assert layer(np.ones((2, 3, 4), "float32")).shape == (2, 3, 4)
    assert "no C compiler" in explain(layer)[0]["reason"]
    keras_spiking.config.set_fused("always")
    with pytest.raises(RuntimeError, match="no C compiler"):
        layer(np.ones((2, 3, 4), "float32"))


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'auto', 'always', 'never'"):
        keras_spiking.config.set_fused("sometimes")


@pytest.mark.trains
@pytest.mark.parametrize("jit_compile", [False, "auto"])
def test_fit_learns_through_kernels(jit_compile):
    model = keras.Sequential(
        [
            keras.Input((None, 5)),
            layers.SeqToBatch(keras.layers.Dense(6)),
            layers.ParametricLIFLayer(),
            layers.FiringRate(),
        ]
    )
    model.compile("adam", "mse", jit_compile=jit_compile)
    keras_spiking.config.set_fused("always")
    before = to_numpy(model.trainable_variables[0].value).copy()
    model.fit(np.ones((5, 9, 5)), np.ones((5, 6)), batch_size=2, verbose=0)
    assert np.any(to_numpy(model.trainable_variables[0].value) != before)
