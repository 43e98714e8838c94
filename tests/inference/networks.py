"""Networks that fire, for tests of compiled inference."""

import keras
import numpy as np
from backend import to_numpy

import keras_spiking


def enliven(model, seed=0):
    """Gives all weights values that no two layers share, and statistics."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if "variance" in weight.path or "gamma" in weight.path:
            value = random.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            fan_in = np.prod(shape[:-1])
            value = random.normal(0.1, 1.0, shape) * 1.5 / np.sqrt(fan_in)
        else:
            value = random.normal(0.05, 0.1, shape)
        weight.assign(value)
    return model


def sequential(*layers, seed=0):
    return enliven(keras.Sequential(list(layers)), seed)


def spikes(*shape, rate=0.4, seed=1):
    return (np.random.default_rng(seed).random(shape) < rate).astype("float32")


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-0.2, 1.0, shape).astype("float32")


def predict(model, x):
    return keras.tree.map_structure(np.asarray, to_numpy(model.predict(x, verbose=0)))


def check_equal(model, x, silent=False, tolerance=1e-5):
    """Compiles a model and compares its outputs; returns the network."""
    net = keras_spiking.inference.compile(model)
    outputs, expected = (
        keras.tree.flatten(net(x)),
        keras.tree.flatten(predict(model, x)),
    )
    assert len(outputs) == len(expected)
    for found, wanted in zip(outputs, expected):
        assert found.shape == wanted.shape and found.dtype == "float32"
        assert silent or 0.001 < np.mean(np.abs(wanted)), "nothing fires"
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
    return net
