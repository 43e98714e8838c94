"""Each operation in a kernel against `keras.ops`, also where there is no number."""

import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

import keras_spiking
from keras_spiking import layers
from keras_spiking.backends import fused
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels.operations import OPERATIONS
from keras_spiking.ops.bounded import bounded

pytestmark = [
    pytest.mark.trains,
    pytest.mark.skipif(compiler.compiler() is None, reason="there is no C compiler"),
]

VALUES = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5]
VALUES += [1.5, 2.5, -2.5, 3.0, 88.0, -88.0, 104.0, -104.0]
UPSTREAM = [2.0, np.nan, 0.0]
GRID = [g.reshape(1, -1).astype("f4") for g in np.meshgrid(VALUES, VALUES, UPSTREAM)]


class Applied(layers.TemporalLayer):
    """A function of the input and of a state that does not change."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def step(self, x, states):
        return self.function(x, *states), states


def real(truth_value):
    return ops.cast(truth_value, "float32")


spike = keras_spiking.surrogates.get("atan")

UNARY = "negative absolute sign exp expm1 log log1p sqrt rsqrt reciprocal sin cos "
UNARY += "arctan tanh sigmoid softplus erf floor ceil trunc round relu stop_gradient"
BINARY = "add subtract multiply divide power maximum minimum"
COMPARISONS = "greater greater_equal less less_equal equal not_equal "
COMPARISONS += "logical_and logical_or"

CASES = {
    **{n: lambda x, v, n=n: getattr(ops, n)(x) for n in UNARY.split()},
    **{n: lambda x, v, n=n: getattr(ops, n)(x, v) for n in BINARY.split()},
    **{n: lambda x, v, n=n: real(getattr(ops, n)(x, v)) for n in COMPARISONS.split()},
    "logical_not": lambda x, v: real(ops.logical_not(x)),
    "to_real": lambda x, v: real(x > v),
    "at_most": lambda x, v: bounded(x * 2e18),
    "at_least": lambda x, v: bounded(x * 1e18),
    "straight_through": lambda x, v: keras_spiking.ops.straight_through(x, v),
    "where": lambda x, v: ops.where(x > 0.6, v * x, v),
    "spike": lambda x, v: spike(x - v),
    "clip": lambda x, v: ops.clip(x, -1.0, 1.0),
    "clip_to_state": lambda x, v: ops.clip(x, v, 1.0),
    "untaken_branch": lambda x, v: ops.where(x > 0.0, ops.log(x), v),
    "untaken_root": lambda x, v: ops.where(x > 0.0, ops.sqrt(x), v),
    "clip_and_reset": lambda x, v: ops.clip(x, -1.0, 1.0) * (1.0 - spike(v)),
    "relu_times": lambda x, v: ops.relu(x) * v,
    "square": lambda x, v: ops.square(x),
    "difference_to_itself": lambda x, v: x - x,
    "zero_times": lambda x, v: 0.0 * x + x * 0.0,
    "zero_times_truth_value": lambda x, v: 0.0 * real(x > 0.0) + v,
    "minus_zero": lambda x, v: 1.0 / (x - 0.0),
    "times_one": lambda x, v: 1.0 / (x * 1.0),
    "negated": lambda x, v: 1.0 / (-x),
    "reset": lambda x, v: x * (1.0 - spike(x)),
    "larger_than_zero": lambda x, v: ops.maximum(x, 0.0),
    "larger_zero": lambda x, v: ops.maximum(0.0, x),
    "smaller_than_one": lambda x, v: ops.minimum(x, 1.0),
    **{f"power_{k}": lambda x, v, k=k: ops.power(x, k) for k in (1, 2, 3, -1, -2)},
    **{f"power_{k}": lambda x, v, k=k: ops.power(x, k) for k in (0.5, 2.5)},
    "two_to_the_power": lambda x, v: ops.power(2.0, x),
    "cast_to_bool": lambda x, v: real(ops.cast(x, "bool")),
    "condition_that_is_a_number": lambda x, v: ops.where(x, x * v, v),
    "equal_truth_values": lambda x, v: real(ops.equal(x > 0.0, v > 0.0)),
    "chosen_truth_values": lambda x, v: real(ops.where(x > 0.0, v > 0.0, x > -1.0)),
    "integers": lambda x, v: x * 3 + 2,
    "rounded_to_0_decimals": lambda x, v: ops.round(x, 0),
}


def test_no_operation_is_forgotten():
    assert set(OPERATIONS) <= set(CASES)


@pytest.fixture(autouse=True)
def restore_mode():
    yield
    keras_spiking.config.set_fused("auto")


@pytest.mark.parametrize("name", CASES)
def test_operation_equals_reference(name):
    x, state, weight = GRID
    x = x[:, None]
    weight = ops.convert_to_tensor(weight[:, None])

    def loss(x, state):
        outputs = layer(x, initial_state=[state])
        no_gradient = 0.0 * (ops.sum(x) + ops.sum(state))  # but a tensor of zeros
        return ops.sum(outputs * weight) + no_gradient

    results = []
    for mode in ("never", "always"):
        keras_spiking.config.set_fused(mode)
        layer = Applied(CASES[name])
        output = to_numpy(layer(x, initial_state=[state]))
        results.append([output, *gradients(loss, [x, state])])
    for reference, kernel in zip(*results):
        np.testing.assert_allclose(kernel, reference, 2e-5, 1e-37)


def neurons():
    for name in sorted(dir(layers)):
        cls = getattr(layers, name)
        if isinstance(cls, type) and issubclass(cls, layers.TemporalLayer):
            try:
                layer = cls()
                layer.build((None, None, 3))
            except (TypeError, ValueError):
                continue
            # ST-BIF has no gradient, and the two states of `AlphaLayer` cancel out:
            # what is left of 1e18 is a matter of rounding.
            differs = name in ("STBIFLayer", "AlphaLayer")
            differs = differs or hasattr(layer, "seed_generator")
            if fused.choose(layer, (3,)).library and not differs:
                yield name


@pytest.mark.parametrize("name", list(neurons()))
def test_neurons_that_meet_no_number_equal_the_reference(name):
    values = [np.nan, np.inf, -np.inf, 0.0, 1.0, 1e30, -1e30, 100.0, -100.0]
    x = np.full((1, 4, len(values)), 0.7, "float32")
    x[0, 1] = values
    layer = getattr(layers, name)()
    layer.build(x.shape)
    results = []
    for mode in ("never", "always"):
        keras_spiking.config.set_fused(mode)
        (gradient,) = gradients(lambda x: ops.sum(layer(x)), [x])
        # After the last step the reference has no gradient at all, kernels have 0,
        # and 0 times infinity.
        results.append([to_numpy(layer(x)), gradient[:, :-1]])
    for reference, kernel in zip(*results):
        np.testing.assert_allclose(kernel, reference, 1e-4, 1e-5)


@pytest.mark.parametrize("name", keras_spiking.surrogates.names())
def test_surrogates_that_meet_no_number_equal_the_reference(name):
    function = keras_spiking.surrogates.get(name)
    x = np.array(VALUES, "float32")[None, None]
    layer = Applied(lambda x, v: function(x))
    results = []
    for mode in ("never", "always"):
        keras_spiking.config.set_fused(mode)
        results.append(gradients(lambda x: ops.sum(layer(x)), [x]))
    np.testing.assert_allclose(results[1][0], results[0][0], 1e-4, 1e-6)
