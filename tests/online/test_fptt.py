import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers
from keras_spiking import online

pytestmark = pytest.mark.trains
random = np.random.default_rng(0)
X = random.random((6, 7, 4)).astype("float32") * 3.0
Y = random.random((6, 3)).astype("float32")


def model_of(dense, **kwargs):
    model = online.FPTT([dense, layers.LIFLayer(tau=3.0)], **kwargs)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    model.build((3, *X.shape[1:]))
    return model


def published(weights, alpha, beta, decay):
    """Dense -> LIF trained on two batches, the weights moving at each step."""
    average, estimate = weights, np.zeros_like(weights)
    velocity = np.zeros_like(weights)
    for x, y in ((X[:3], Y[:3]), (X[3:], Y[3:])):
        v = np.zeros((3, 3))
        for t in range(x.shape[1]):
            h = v + (x[:, t] @ weights - v) / 3.0
            spikes = (h >= 1.0).astype("float64")
            v = h * (1.0 - spikes)
            s = 1.0 / (1.0 + np.exp(-4.0 * (h - 1.0)))
            at_input = 2.0 / y.size * (spikes - y) * 4.0 * s * (1.0 - s) / 3.0
            gradient = x[:, t].T @ at_input + 2.0 * decay * weights
            gradient += alpha * (weights - average) - estimate
            velocity = 0.9 * velocity - 0.1 * gradient
            weights = weights + velocity
            estimate = estimate - alpha * (weights - average)
            average = (1.0 - beta) * average + beta * weights - beta / alpha * estimate
    return weights, average, estimate


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_weights_move_as_published(decay):
    regularizer = keras.regularizers.L2(decay)
    dense = keras.layers.Dense(3, use_bias=False, kernel_regularizer=regularizer)
    model = model_of(dense, alpha=0.2, beta=0.4)
    expected = published(to_numpy(dense.kernel.value), 0.2, 0.4, decay)
    model.fit(X, Y, 3, shuffle=False, verbose=0)
    kernel = to_numpy(dense.kernel.value)
    found = kernel, kernel - to_numpy(model.deviations[0]), model.estimates[0]
    for value, expected_value in zip(found, expected):
        np.testing.assert_allclose(to_numpy(value), expected_value, atol=1e-5)


def test_logs_are_those_of_the_outputs():
    dense = keras.layers.Dense(3)
    model = model_of(dense)
    model.optimizer.learning_rate = 0.0
    expected = model.evaluate(X, Y, 3, verbose=0, return_dict=True)
    history = model.fit(X, Y, 3, verbose=0).history
    assert set(history) == {"loss", "mae"}
    for name, values in history.items():
        np.testing.assert_allclose(values[0], expected[name], rtol=1e-5)


def test_bad_input():
    stack = [keras.layers.Dense(3), layers.LIFLayer()]
    with pytest.raises(ValueError, match="alpha.*greater than 0"):
        online.FPTT(stack, alpha=0.0)
    with pytest.raises(ValueError, match="beta.*at most 1"):
        online.FPTT(stack, beta=1.5)
    model = online.FPTT(stack)
    model.compile(keras.optimizers.SGD(loss_scale_factor=2.0), "mse")
    with pytest.raises(ValueError, match="cannot scale the loss"):
        model.fit(X, Y, verbose=0)
