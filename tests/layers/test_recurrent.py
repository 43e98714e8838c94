import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers


def draw(*shape):
    return np.random.default_rng(0).uniform(0.0, 1.0, shape).astype("float32")


FUNCTIONS = {
    "add": np.add,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "subtract": np.subtract,
}


@pytest.mark.parametrize("timesteps", [1, 6, 20])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_outputs_are_combined_with_the_next_input(function, timesteps):
    x = draw(2, timesteps, 3)
    layer = layers.ElementwiseRecurrent(layers.LILayer(tau=2.0), function=function)
    y, v, expected = np.zeros((2, 3)), 0.0, []
    for t in range(timesteps):
        v = v + (FUNCTIONS[function](x[:, t], y) - v) / 2.0
        y = v
        expected.append(y)
    outputs = to_numpy(layer(x))
    np.testing.assert_allclose(outputs, np.stack(expected, 1), rtol=1e-5, atol=1e-6)


@keras.saving.register_keras_serializable("tests")
def leaky_add(x, y):
    return x + 0.25 * y


def test_any_function_and_its_serialization():
    x = draw(2, 6, 3)
    layer = layers.ElementwiseRecurrent(layers.IFLayer(), function=leaky_add)
    layer(x)
    config = keras.saving.serialize_keras_object(layer)
    restored = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(to_numpy(restored(x)), to_numpy(layer(x)))
    outputs = to_numpy(layer(x))
    y = np.zeros((2, 3))
    spikes = layers.IFLayer()
    state = spikes.get_initial_state(ops.zeros((2, 3)))
    for t in range(6):
        step, state = spikes.step(x[:, t] + 0.25 * y, state)
        y = to_numpy(step)
        np.testing.assert_array_equal(outputs[:, t], y)


@pytest.mark.trains
def test_gradient_flows_through_the_recurrence():
    """Y[t] = X[t] + Y[t-1]: the sum of all outputs counts early inputs more."""
    layer = layers.ElementwiseRecurrent(keras.layers.Activation("linear"))
    (gradient,) = gradients(lambda x: ops.sum(layer(x)), [draw(2, 5, 3)])
    np.testing.assert_allclose(gradient[0, :, 0], [5, 4, 3, 2, 1], rtol=1e-6)


def test_masked_steps_hold_the_output():
    mask = np.array([[1, 0, 0, 1]], bool)
    x = np.ones((1, 4, 2), "float32")
    layer = layers.ElementwiseRecurrent(keras.layers.Activation("linear"))
    outputs = to_numpy(layer(x, mask=ops.array(mask)))
    assert outputs[0, 3, 0] == 2.0  # 1 + 1: the masked steps did not add up


@pytest.mark.parametrize("reduce", ["mean", "sum", "last"])
def test_reduction(reduce):
    x = draw(2, 6, 3)
    stack = [layers.LILayer()]
    whole = to_numpy(layers.ElementwiseRecurrent(stack)(x))
    reduced = to_numpy(layers.ElementwiseRecurrent(stack, reduce=reduce)(x))
    expected = {"mean": whole.mean(1), "sum": whole.sum(1), "last": whole[:, -1]}
    np.testing.assert_allclose(reduced, expected[reduce], rtol=1e-5)


def test_outputs_of_another_shape_are_refused():
    layer = layers.ElementwiseRecurrent(keras.layers.Dense(4))
    with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
        layer(draw(2, 6, 3))


@pytest.mark.parametrize("function", ["sum_up", 3])
def test_unknown_functions_are_refused(function):
    with pytest.raises(ValueError, match=f"function={function!r}"):
        layers.ElementwiseRecurrent(layers.IFLayer(), function=function)
