"""Keras's own `model.export`, for the formats whose packages are installed."""

import importlib.util

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

from keras_spiking import layers


def installed(*names):
    return all(importlib.util.find_spec(name) for name in names)


def spiking_model():
    return keras.Sequential(
        [
            keras.Input((6, 4), batch_size=2),
            keras.layers.Dense(5),
            layers.LIFLayer(v_threshold=0.2),
            layers.Quantized(keras.layers.Dense(3, kernel_initializer="ones")),
            layers.CubaLIFLayer(v_threshold=8.0),
        ]
    )


@pytest.mark.skipif(
    BACKEND not in ("jax", "tensorflow") or not installed("tensorflow"),
    reason="SavedModels are written on JAX and TensorFlow",
)
def test_saved_model_gives_the_same_spikes(tmp_path):
    import tensorflow as tf

    model = spiking_model()
    x = 2 * np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    artifact = tf.saved_model.load(str(tmp_path / "model"))
    served = artifact.serve(x)
    expected = to_numpy(model(x))
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(np.asarray(served), expected)


@pytest.mark.skipif(
    BACKEND == "numpy" or not installed("onnx", "onnxruntime"),
    reason="needs onnx and onnxruntime",
)
def test_onnx_gives_the_same_spikes(tmp_path):
    import onnxruntime

    model = spiking_model()
    x = 2 * np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    path = tmp_path / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(path))
    (spikes,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_array_equal(spikes, to_numpy(model(x)))
