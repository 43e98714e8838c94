import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import gradients
from backend import to_numpy
from golden import cases
from golden import load
from keras import ops

import keras_spiking
from keras_spiking import surrogates

X = np.concatenate([np.linspace(-4.0, 4.0, 37), [-1.0, -0.5, 0.0, 0.5, 1.0]])
X = X.astype("float32")


def is_close(value, expected, relative=1e-5):
    value, expected = np.asarray(value), np.asarray(expected)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(value, expected, rtol=relative, atol=relative * scale)


@pytest.mark.parametrize("config, file", cases("surrogates/"))
def test_spikes_and_primitive_equal_spikingjelly(request, config, file):
    name = request.node.callspec.id
    surrogate = getattr(surrogates, name)(**config)
    golden = load(file)
    assert surrogate.get_config() == config  # the stored values are the defaults
    assert getattr(surrogates, name)().get_config() == config
    np.testing.assert_array_equal(to_numpy(surrogate(golden["x"])), golden["spikes"])
    is_close(to_numpy(surrogate.derivative(ops.array(golden["x"]))), golden["grad"])
    if "primitive" in golden:
        primitive = surrogate.primitive(ops.array(golden["x"]))
        is_close(to_numpy(primitive), golden["primitive"])
    else:
        with pytest.raises(NotImplementedError, match=name):
            surrogate.primitive(ops.array(golden["x"]))


@pytest.mark.trains
@pytest.mark.parametrize("config, file", cases("surrogates/"))
def test_gradient_equals_spikingjelly(request, config, file):
    surrogate = getattr(surrogates, request.node.callspec.id)(**config)
    golden = load(file)
    (gradient,) = gradients(lambda x: ops.sum(surrogate(x)), [golden["x"]])
    is_close(gradient, golden["grad"])


@pytest.mark.trains
@pytest.mark.parametrize("name", surrogates.names())
def test_gradient_of_a_spike_is_the_derivative_times_what_comes_from_above(name):
    surrogate = surrogates.get(name)
    weight = np.random.default_rng(0).normal(size=X.shape).astype("float32")
    (gradient,) = gradients(lambda x: ops.sum(ops.multiply(surrogate(x), weight)), [X])
    is_close(gradient, weight * to_numpy(surrogate.derivative(ops.array(X))))


def with_parameters():
    """Every surrogate at its defaults and with every parameter changed."""
    for name in surrogates.names():
        config = surrogates.get(name).get_config()
        changed = {
            k: 1.5 if v is None else 3 if k == "n" else v * 1.5 + 0.25
            for k, v in config.items()
        }
        yield pytest.param(name, config, id=name)
        yield pytest.param(name, changed, id=f"{name}-changed")


@pytest.fixture
def float64():
    """Keras rounds to float32 unless told that float64 is wanted."""
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


@pytest.mark.skipif(BACKEND in ("jax", "numpy"), reason="Keras stays at float32")
@pytest.mark.parametrize("name, config", list(with_parameters()))
def test_derivative_is_the_slope_of_the_primitive(name, config, float64):
    surrogate = type(surrogates.get(name))(**config)
    x = np.random.default_rng(1).uniform(-3.0, 3.0, 200)
    epsilon = 1e-6
    try:
        above = to_numpy(surrogate.primitive(ops.array(x + epsilon, "float64")))
    except NotImplementedError:
        return
    below = to_numpy(surrogate.primitive(ops.array(x - epsilon, "float64")))
    derivative = to_numpy(surrogate.derivative(ops.array(x, "float64")))
    assert derivative.dtype == "float64"
    np.testing.assert_allclose((above - below) / (2 * epsilon), derivative, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", surrogates.names())
def test_dtype_is_kept(name, dtype):
    if (BACKEND, dtype) == ("numpy", "bfloat16"):
        pytest.skip("NumPy promotes bfloat16 to float32")
    surrogate = surrogates.get(name)
    x = ops.cast(X, dtype)
    assert keras.backend.standardize_dtype(surrogate(x).dtype) == dtype
    assert keras.backend.standardize_dtype(surrogate.derivative(x).dtype) == dtype
    derivative = to_numpy(ops.cast(surrogate.derivative(x), "float32"))
    assert np.isfinite(derivative).all()


@pytest.mark.parametrize("name", surrogates.names())
def test_far_values_have_finite_derivatives(name):
    x = ops.array(np.float32([-1e4, -100.0, 100.0, 1e4]))
    assert np.isfinite(to_numpy(surrogates.get(name).derivative(x))).all()


@pytest.mark.parametrize("name", surrogates.names())
def test_names_classes_instances_and_configurations_are_understood(name):
    surrogate = surrogates.get(name)
    cls = type(surrogate)
    assert surrogates.get(surrogate) is surrogate
    assert type(surrogates.get(cls.__name__)) is cls
    assert type(surrogates.get(cls)) is cls
    restored = surrogates.get(surrogates.serialize(surrogate))
    assert type(restored) is cls
    assert restored.get_config() == surrogate.get_config()


def test_there_are_the_sixteen_surrogates_and_a_straight_through_estimator():
    assert len(surrogates.names()) == 17
    assert "straight_through" in surrogates.names()


@keras.saving.register_keras_serializable("tests")
def bell(x):
    return ops.exp(-ops.square(x))


@keras.saving.register_keras_serializable("tests")
class Bell(surrogates.Surrogate):
    def __init__(self, width=1.0):
        super().__init__()
        self.width = width

    def derivative(self, x):
        return bell(x / self.width)


@pytest.mark.parametrize("surrogate", [bell, Bell(2.0), Bell])
def test_own_surrogates_survive_serialization(surrogate):
    layer = keras_spiking.layers.LIFLayer(surrogate=surrogate)
    config = keras.saving.serialize_keras_object(layer)
    restored = keras.saving.deserialize_keras_object(config)
    expected = layer.surrogate.derivative(ops.array(X))
    np.testing.assert_array_equal(
        to_numpy(restored.surrogate.derivative(ops.array(X))), to_numpy(expected)
    )


@pytest.mark.trains
@pytest.mark.parametrize("surrogate", [bell, Bell(1.0)])
def test_own_surrogates_give_the_gradient(surrogate):
    surrogate = surrogates.get(surrogate)
    (gradient,) = gradients(lambda x: ops.sum(surrogate(x)), [X])
    is_close(gradient, np.exp(-(X**2)))


def test_symbolic_call():
    y = surrogates.get("atan")(keras.KerasTensor((None, 3), dtype="float16"))
    assert y.shape == (None, 3) and y.dtype == "float16"


@pytest.mark.parametrize("name", surrogates.names())
def test_parameters_out_of_range_are_refused(name):
    cls = type(surrogates.get(name))
    for parameter in surrogates.get(name).get_config():
        with pytest.raises(ValueError, match=f"{parameter}=nan"):
            cls(**{parameter: float("nan")})
        with pytest.raises(TypeError, match=f"{parameter}='steep'"):
            cls(**{parameter: "steep"})
