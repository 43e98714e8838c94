"""What `run_harness.py` and the tests share."""

import keras
import numpy as np

from keras_spiking import layers


def fill(model, seed=1):
    """The same weights on all backends, a third of the kernels 0."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = rng.normal(size=weight.shape)
        if weight.name == "kernel":
            value = value * (rng.random(weight.shape) > 1 / 3)
        weight.assign(value)
    return model


def network():
    """Dense layers, and neurons as snnTorch has them."""
    lif = {"tau": 4.0, "decay_input": False}
    return fill(
        keras.Sequential(
            [
                keras.Input((9, 5)),
                keras.layers.Dense(7, name="a"),
                layers.LIFLayer(**lif, name="first"),
                keras.layers.Dense(4, use_bias=False, name="b"),
                layers.LIFLayer(**lif, name="second"),
            ]
        )
    )


def data():
    shape = (5, 9, 5)
    return np.random.default_rng(2).integers(0, 4, shape).astype("float32") / 2
