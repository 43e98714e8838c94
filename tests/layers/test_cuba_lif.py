import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy

from keras_spiking.backends import explain
from keras_spiking.backends.kernels import compiler
from keras_spiking.layers import CubaLIFLayer

LIMIT = 2**23


def integer_steps(x, threshold, current_decay, voltage_decay, bias):
    """The chip's arithmetic on 64-bit integers; `x` in units of 1/64."""
    u = v = np.zeros_like(x[:, 0])
    spikes, potentials = [], []
    for t in range(x.shape[1]):
        u = np.sign(u) * ((np.abs(u) * (4096 - current_decay)) >> 12) + (x[:, t] << 6)
        u = np.where(u > LIMIT, u - 2 * LIMIT, u)
        u = np.where(u <= -LIMIT, u + 2 * LIMIT, u)
        v = np.sign(v) * ((np.abs(v) * (4096 - voltage_decay)) >> 12) + u + (bias << 6)
        v = np.clip(v, 1 - LIMIT, LIMIT - 1)
        s = v > (threshold << 6)
        v = np.where(s, 0, v)
        spikes.append(s)
        potentials.append(v)
    return np.stack(spikes, 1), np.stack(potentials, 1), u


@pytest.mark.parametrize(
    "threshold, current_decay, voltage_decay, bias, scale",
    [
        (80, 1024, 123, 0, 30),
        (64, 4096, 0, 0, 30),
        (100, 1, 4095, -7, 200),
        (131071, 0, 0, 4095, 50000),
        (3, 37, 2048, 11, 4),
    ],
)
def test_equals_the_chip_bit_for_bit(
    threshold, current_decay, voltage_decay, bias, scale
):
    random = np.random.default_rng(0)
    x = random.integers(-scale, 2 * scale, (4, 60, 9)) * 2
    layer = CubaLIFLayer(
        v_threshold=threshold / 64,
        current_decay=current_decay / 4096,
        voltage_decay=voltage_decay / 4096,
        bias=bias / 64,
        return_state=True,
    )
    spikes, v, u = to_numpy(layer(x / 64))
    expected, potentials, current = integer_steps(
        x, threshold, current_decay, voltage_decay, bias
    )
    np.testing.assert_array_equal(spikes, expected)
    np.testing.assert_array_equal(v * 4096, potentials[:, -1])
    np.testing.assert_array_equal(u * 4096, current)


def test_current_wraps_and_voltage_saturates():
    x = np.full((1, 30, 1), 32767)
    layer = CubaLIFLayer(
        v_threshold=131071 / 64, current_decay=0, voltage_decay=0, return_state=True
    )
    outputs = to_numpy(layer(x / 64))
    spikes, potentials, current = integer_steps(x, 131071, 0, 0, 0)
    assert current.max() < LIMIT and potentials.max() <= LIMIT - 1
    np.testing.assert_array_equal(outputs[0], spikes)
    np.testing.assert_array_equal(outputs[2] * 4096, current)


def test_does_not_fire_at_the_threshold():
    layer = CubaLIFLayer(v_threshold=1.0, current_decay=1.0, voltage_decay=1.0)
    x = np.array([1.0, 1.0 + 1 / 64, 1.0 - 1 / 64]).reshape(1, 3, 1)
    np.testing.assert_array_equal(to_numpy(layer(x)).ravel(), [0, 1, 0])


def test_parameters_are_rounded_as_the_chip_holds_them():
    fixed = CubaLIFLayer(1.26, current_decay=0.2501, bias=0.01).fixed_point()
    assert fixed["v_threshold"] == 80 / 64
    assert fixed["current_decay"] == 1024 / 4096
    assert fixed["voltage_decay"] == 123 / 4096
    assert fixed["bias"] == 1 / 64


@pytest.mark.trains
def test_gradients_are_those_of_the_neuron_without_rounding():
    random = np.random.default_rng(1)
    x = random.normal(0.4, 0.5, (2, 7, 3)).astype("float32")
    layer = CubaLIFLayer(
        v_threshold=100.0,
        surrogate="atan",
        learnable=["current_decay", "voltage_decay", "bias"],
        return_state=True,
    )
    layer.build(x.shape)
    weights = layer.trainable_variables
    (dx, *actual) = gradients(
        lambda x: keras.ops.sum(layer(x)[1]), [x], [w for w in weights]
    )

    def potential(values, x):
        current_decay, voltage_decay, bias = values
        u = v = np.zeros((2, 3))
        for t in range(7):
            u = u * (1 - current_decay) + x[:, t]
            v = v * (1 - voltage_decay) + u + bias
        return v.sum()

    values = {"current_decay": 1024 / 4096, "voltage_decay": 123 / 4096, "bias": 0.0}
    names = [w.name for w in weights]
    start = np.array([values[n] for n in ("current_decay", "voltage_decay", "bias")])
    for i, name in enumerate(("current_decay", "voltage_decay", "bias")):
        step = np.eye(3)[i] * 1e-5
        slope = (potential(start + step, x) - potential(start - step, x)) / 2e-5
        assert actual[names.index(name)] == pytest.approx(slope, rel=5e-3)
    bumped = x.astype("float64")
    bumped[0, 2, 1] += 1e-3
    slope = (potential(start, bumped) - potential(start, x)) / 1e-3
    assert dx[0, 2, 1] == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize(
    "name, value",
    [
        ("v_threshold", 0.001),
        ("v_threshold", 3000.0),
        ("current_decay", 1.1),
        ("voltage_decay", -0.1),
        ("bias", 64.5),
    ],
)
def test_refuses_what_no_register_holds(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must.*{value}"):
        CubaLIFLayer(**{name: value})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"v_reset": 0.5}, "has no argument `v_reset`: Loihi's neurons reset to 0"),
        ({"current_decay": "0.5"}, "`current_decay` must be a number"),
        ({"bias": True}, "`bias` must be a number"),
    ],
)
def test_refuses_arguments_by_name(arguments, message):
    with pytest.raises(TypeError, match=message):
        CubaLIFLayer(**arguments)
    with pytest.raises(TypeError):
        CubaLIFLayer(1.0, 0.5)


def test_config_round_trip():
    layer = CubaLIFLayer(
        2.0,
        current_decay=0.5,
        voltage_decay=0.1,
        bias=[0.5, 0.25],
        surrogate="atan",
        detach_reset=True,
    )
    copy = CubaLIFLayer.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    x = np.random.default_rng(0).uniform(size=(2, 20, 2))
    np.testing.assert_array_equal(to_numpy(copy(x)), to_numpy(layer(x)))


@pytest.mark.trains
def test_has_a_fused_kernel():
    if compiler.compiler() is None:
        pytest.skip("there is no C compiler")
    layer = CubaLIFLayer(learnable="voltage_decay")
    layer.build((None, None, 3))
    assert [row["implementation"] for row in explain(layer)] == ["fused"]
