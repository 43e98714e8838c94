"""Keras's own `model.export`, for the formats whose packages are installed."""

import importlib.util

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import KERAS_VERSION
from backend import to_numpy

from keras_spiking import layers

SHAPE = (2, 4, 4)


def saved_model(model, path):
    import tensorflow as tf

    model.export(path, format="tf_saved_model", verbose=False)
    artifact = tf.saved_model.load(str(path))
    return lambda x: np.asarray(artifact.serve(x))


def litert(model, path):
    import tensorflow as tf

    path = path.with_suffix(".tflite")
    model.export(path, format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(str(path))
    (source,), (target,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    interpreter.resize_tensor_input(source["index"], SHAPE)
    interpreter.allocate_tensors()

    def run(x):
        interpreter.set_tensor(source["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return run


def onnx(model, path):
    import onnxruntime

    path = path.with_suffix(".onnx")
    # On torch `trunc` can be exported if the batch has a fixed size.
    signature = [keras.InputSpec(shape=SHAPE, dtype="float32")]
    model.export(path, format="onnx", input_signature=signature, verbose=False)
    session = onnxruntime.InferenceSession(str(path))
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def openvino(model, path):
    import openvino

    path = str(path.with_suffix(".xml"))
    model.export(path, format="openvino", verbose=False)
    compiled = openvino.compile_model(path, "CPU")
    return lambda x: compiled(x)[0]


# On which backends Keras writes the format, and what that takes.
FORMATS = {
    saved_model: {"jax": ("tensorflow",), "tensorflow": ()},
    litert: {"tensorflow": ()},
    onnx: {
        "tensorflow": ("tf2onnx", "onnxruntime"),
        "torch": ("onnx", "onnxscript", "onnxruntime"),
    },
    openvino: {"tensorflow": ("openvino",), "torch": ("openvino",)},
}


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
def test_exported_models_give_the_same_spikes(write, tmp_path):
    packages = FORMATS[write].get(BACKEND)
    if packages is None:
        pytest.skip(f"not tested on {BACKEND}")
    if write is litert and KERAS_VERSION < (3, 13):
        pytest.skip("Keras does not write the format")
    if not all(importlib.util.find_spec(name) for name in packages):
        pytest.skip(f"needs {', '.join(packages)}")
    neurons = layers.CubaLIFLayer(v_threshold=8.0)
    if write is openvino and BACKEND == "torch":  # OpenVINO does not read `trunc`
        neurons = layers.IFLayer(v_threshold=2.0, v_reset=None)
    model = keras.Sequential(
        [
            keras.Input(SHAPE[1:], batch_size=2),
            keras.layers.Dense(5),
            layers.LIFLayer(v_threshold=0.2),
            layers.Quantized(keras.layers.Dense(3, kernel_initializer="ones")),
            neurons,
        ]
    )
    x = 2 * np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    run = write(model, tmp_path / "model")
    expected = to_numpy(model(x))
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(run(x), expected)
