import contextlib
import copy
import functools
import re
import warnings

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import KERAS_VERSION
from backend import double_precision
from backend import float64
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


@pytest.mark.skipif(BACKEND == "numpy", reason="Keras has float32 there at most")
@pytest.mark.parametrize("name, config", list(with_parameters()))
def test_derivative_is_the_slope_of_the_primitive(name, config):
    surrogate = type(surrogates.get(name))(**config)
    x = np.random.default_rng(1).uniform(-3.0, 3.0, 200)
    epsilon = 1e-6
    with double_precision():
        try:
            sides = [surrogate.primitive(s) for s in float64(x + epsilon, x - epsilon)]
        except NotImplementedError:
            return
        above, below = to_numpy(sides)
        derivative = to_numpy(surrogate.derivative(*float64(x)))
    np.testing.assert_allclose((above - below) / (2 * epsilon), derivative, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name, config", list(with_parameters()))
def test_dtype_is_kept(name, config, dtype):
    if BACKEND == "numpy" and dtype in ("bfloat16", "float64"):
        pytest.skip("Keras has float32 in place of both")
    if BACKEND == "numpy" and name == "erf" and KERAS_VERSION < (3, 15):
        pytest.skip("Keras made other numbers than float16 by `erf`")
    surrogate = type(surrogates.get(name))(**config)
    with double_precision():
        x = ops.convert_to_tensor(X, dtype=dtype)
        results = [surrogate(x), surrogate.derivative(x)]
        with contextlib.suppress(NotImplementedError):
            results.append(surrogate.primitive(x))
        for result in results:
            assert keras.backend.standardize_dtype(result.dtype) == dtype
            assert np.isfinite(to_numpy(ops.cast(result, "float32"))).all()


@pytest.mark.trains
@pytest.mark.parametrize("name", surrogates.names())
def test_gradient_is_double_precision_in_float64(name):
    surrogate = surrogates.get(name)
    with double_precision():
        x = np.random.default_rng(1).uniform(-3.0, 3.0, 50)
        (gradient,) = gradients(lambda x: ops.sum(surrogate(x)), float64(x))
        expected = to_numpy(surrogate.derivative(*float64(x)))
    assert gradient.dtype == expected.dtype == "float64"
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)


# At minus infinity, infinity and NaN; everything else is 0, 0 and NaN.
NOT_FINITE = {
    "leaky_k_relu": (0.0, 1.0, 0.0),
    "log_tailed_relu": (0.0, 0.0, 0.0),
    "piecewise_leaky_relu": (0.01, 0.01, 0.01),
    "piecewise_quadratic": (0.0, 0.0, 0.0),
    "fake_numerical_gradient": (0.0, 0.0, 0.3),
    "rect": (0.0, 0.0, 0.0),
    "squarewave_fourier_series": (np.nan, np.nan, np.nan),
    "straight_through": (1.0, 1.0, 1.0),
}


@pytest.mark.parametrize("name", surrogates.names())
def test_values_that_are_not_finite(name):
    surrogate, x = surrogates.get(name), np.float32([-np.inf, np.inf, np.nan])
    with np.errstate(invalid="ignore"):
        derivative = to_numpy(surrogate.derivative(ops.array(x)))
    np.testing.assert_allclose(derivative, NOT_FINITE.get(name, (0.0, 0.0, np.nan)))
    np.testing.assert_array_equal(to_numpy(surrogate(ops.array(x))), [0.0, 1.0, 0.0])
    with np.errstate(invalid="ignore"):
        wide = to_numpy(surrogates.StraightThrough(1.0).derivative(ops.array(x)))
    np.testing.assert_array_equal(wide, 0.0)


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


# What a lambda is loaded with.
WIDTH = 0.5


def unregistered(x):
    return x


def saved_and_loaded(surrogate, tmp_path, **kwargs):
    layer = keras_spiking.layers.LIFLayer(surrogate=surrogate)
    model = keras.Sequential([keras.Input((4, 3)), layer])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns that lambdas are unsafe
        model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras", **kwargs).layers[-1]


def test_a_loaded_lambda_has_its_derivative(tmp_path):
    scale = 2.0
    layer = saved_and_loaded(
        lambda x: scale * ops.exp(-keras.ops.abs(x) / WIDTH) + float(np.pi),
        tmp_path,
        safe_mode=False,
    )
    derivative = to_numpy(layer.surrogate.derivative(ops.array(X)))
    is_close(derivative, 2.0 * np.exp(-np.abs(X) / 0.5) + np.pi)
    # What was loaded can be saved again.
    again = saved_and_loaded(layer.surrogate, tmp_path, safe_mode=False)
    is_close(to_numpy(again.surrogate.derivative(ops.array(X))), derivative)


def test_lambdas_are_not_loaded_in_safe_mode(tmp_path):
    with pytest.raises((TypeError, ValueError), match="safe_mode"):
        saved_and_loaded(lambda x: 1.0 - x, tmp_path)


def test_only_lambdas_name_modules_that_are_imported():
    config = surrogates.get(bell).get_config()
    module = {"module": "a_module_that_does_not_exist"}
    for crafted in ({**config, "globals": {"ops": module}}, config):
        crafted["function"] = {**config["function"], "globals": {"ops": module}}
        assert surrogates.FromDerivative.from_config(crafted).function is bell


def test_a_lambda_that_cannot_be_saved_says_what_to_do(tmp_path):
    message = "`unregistered`.*register_keras_serializable"
    with pytest.raises(ValueError, match=message):
        saved_and_loaded(lambda x: unregistered(x), tmp_path)


def test_a_function_that_has_no_name_says_what_to_do(tmp_path):
    surrogate = functools.partial(unregistered)
    with pytest.raises(ValueError, match="partial.*register_keras_serializable"):
        saved_and_loaded(surrogate, tmp_path)


def test_symbolic_calls():
    surrogate = surrogates.get("atan")
    before = dict(vars(surrogate))
    y = surrogate(keras.KerasTensor((None, 3), dtype="float16"))
    assert y.shape == (None, 3) and y.dtype == "float16"
    assert vars(surrogate) == before  # it keeps no record of the graph


def test_functional_models_of_equal_surrogates_survive_saving(tmp_path):
    inputs = keras.Input((3,))
    hidden = surrogates.ATan()(inputs) - 0.5
    model = keras.Model(inputs, surrogates.ATan()(hidden) + surrogates.Rect()(hidden))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(restored.predict(x, verbose=0), expected)


@pytest.mark.parametrize("name, config", list(with_parameters()))
def test_surrogates_are_values(name, config):
    cls = type(surrogates.get(name))
    surrogate, same = cls(**config), cls(**config)
    assert surrogate == same and hash(surrogate) == hash(same)
    assert copy.copy(surrogate) == surrogate
    assert eval(repr(surrogate), vars(surrogates)) == surrogate
    for parameter, value in config.items():
        setattr(same, parameter, 2.5 if value is None else value + 1)
        assert surrogate != same and hash(surrogate) == hash(same)
        assert getattr(same, parameter) == same.get_config()[parameter]
        setattr(same, parameter, value)
        assert surrogate == same


def test_surrogates_of_other_classes_or_attributes_differ():
    assert surrogates.Sigmoid(2.0) != surrogates.ATan(2.0)
    assert surrogates.get(bell) == surrogates.get(bell) != surrogates.get(unregistered)
    assert surrogates.StraightThrough() != surrogates.StraightThrough(1.0)
    assert Bell(np.ones(3)) == Bell(np.ones(3)) != Bell(np.zeros(3))
    assert Bell() != "Bell"


def test_surrogates_show_what_they_are():
    assert repr(surrogates.ATan(alpha=4)) == "ATan(alpha=4.0)"
    assert repr(surrogates.SquarewaveFourierSeries(3)) == (
        "SquarewaveFourierSeries(n=3, T_period=8.0)"
    )
    assert repr(surrogates.get(bell)) == "FromDerivative(bell)"
    layer = keras_spiking.layers.LIFLayer(surrogate="atan")
    assert "surrogate=ATan(alpha=2.0)" in repr(layer)


@pytest.mark.trains
@pytest.mark.parametrize("annealed", [20.0, 0.5])
def test_the_next_call_uses_an_annealed_parameter(annealed):
    layer = keras_spiking.layers.LIFLayer(surrogate="atan")
    fresh = keras_spiking.layers.LIFLayer(surrogate=surrogates.ATan(annealed))
    x = np.random.default_rng(0).uniform(0, 2, (2, 6, 3)).astype("float32")
    (before,) = gradients(lambda x: ops.sum(layer(x)), [x])
    layer.surrogate.alpha = annealed
    (after,) = gradients(lambda x: ops.sum(layer(x)), [x])
    (expected,) = gradients(lambda x: ops.sum(fresh(x)), [x])
    is_close(after, expected)
    assert np.abs(after - before).max() > 0.01


def bad_values(parameter):
    not_finite = TypeError if parameter == "n" else ValueError
    yield from [(float("nan"), not_finite), (float("inf"), not_finite)]
    yield from [(v, TypeError) for v in ("steep", True, [1.0], {}, 1j)]
    if parameter != "width":
        yield None, TypeError
    if parameter == "n":
        yield from [(2.5, TypeError), (1, ValueError), (-1, ValueError)]
    elif parameter not in ("alpha", "leak", "k"):
        yield -1.0, ValueError


@pytest.mark.parametrize("name", surrogates.names())
def test_parameters_out_of_range_are_refused(name):
    cls = type(surrogates.get(name))
    for parameter, default in surrogates.get(name).get_config().items():
        surrogate = cls()
        for value, error in bad_values(parameter):
            message = f"`{parameter}`.*{re.escape(f'{parameter}={value!r}')}"
            with pytest.raises(error, match=message):
                cls(**{parameter: value})
            with pytest.raises(error, match=message):
                setattr(surrogate, parameter, value)
            assert getattr(surrogate, parameter) == default


@pytest.mark.parametrize("name", ["sigmoid", "atan", "rect", "erf", "super_spike"])
@pytest.mark.parametrize("alpha", [0.0, -2.0])
def test_steepness_is_positive(name, alpha):
    with pytest.raises(ValueError, match=f"`alpha` must be greater.*alpha={alpha}"):
        type(surrogates.get(name))(alpha=alpha)


@pytest.mark.parametrize(
    "surrogate, error",
    [
        ({}, ValueError),
        ({"alpha": 2.0}, ValueError),
        (keras.saving.serialize_keras_object(keras.layers.Dense(3)), ValueError),
        ("Atann", ValueError),
        ("", ValueError),
        (True, TypeError),
        (float, TypeError),
        (keras.layers.Dense, TypeError),
        ([], TypeError),
    ],
)
def test_what_is_no_surrogate_is_refused(surrogate, error):
    with pytest.raises(error, match="surrogate="):
        keras_spiking.layers.LIFLayer(surrogate=surrogate)


def test_the_nearest_name_is_proposed():
    with pytest.raises(ValueError, match="Did you mean 'soft_sign'?"):
        surrogates.get("SoftSgn")


@pytest.mark.parametrize("function", [3, None, "atan", float])
def test_what_computes_no_derivative_is_refused(function):
    with pytest.raises(TypeError, match="function="):
        surrogates.FromDerivative(function)


SMOOTH = [name for name in surrogates.names() if surrogates.get(name).has_primitive()]


@pytest.mark.parametrize("name", SMOOTH)
def test_without_spikes_it_is_the_primitive(name):
    surrogate = surrogates.get(name)
    x = np.linspace(-1.3, 1.4, 31).astype("float32")
    spikes = to_numpy(surrogate(x))
    surrogate.spiking = False
    expected = to_numpy(surrogate.primitive(ops.array(x)))
    np.testing.assert_array_equal(to_numpy(surrogate(x)), expected)
    again = surrogates.get(surrogates.serialize(surrogate))
    assert again == surrogate != surrogates.get(name) and not again.spiking
    assert "spiking=False" in repr(surrogate)
    surrogate.spiking = True
    np.testing.assert_array_equal(to_numpy(surrogate(x)), spikes)
    assert surrogate == surrogates.get(name)
    assert "spiking" not in surrogates.serialize(surrogate)["config"]


@pytest.mark.parametrize("name", ["super_spike", "fake_numerical_gradient"])
def test_what_has_no_primitive_spikes(name):
    surrogate = surrogates.get(name)
    with pytest.raises(ValueError, match="no primitive"):
        surrogate.spiking = False
    with pytest.raises(TypeError, match="`spiking`"):
        surrogates.ATan(spiking="no")


@pytest.mark.trains
@pytest.mark.parametrize("name", ["atan", "sigmoid", "soft_sign", "rect"])
def test_smooth_neurons_have_the_slope_of_their_outputs(name):
    layer = keras_spiking.layers.LIFLayer(v_reset=None, surrogate=name)
    layer.surrogate.spiking = False
    random = np.random.default_rng(0)
    x = random.normal(0.5, 1.0, (1, 6, 3)).astype("float32")
    direction = random.normal(size=x.shape).astype("float32")
    (gradient,) = gradients(lambda x: ops.sum(layer(x)), [x])
    ends = (to_numpy(layer(x + step * direction)).sum() for step in (1e-2, -1e-2))
    slope = np.subtract(*ends) / 2e-2
    np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=2e-2)
    assert 0.0 < to_numpy(layer(x)).std() < 0.5
