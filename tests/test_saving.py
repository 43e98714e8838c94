"""A model that was saved on one backend does the same on another."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from backend import BACKEND
from keras import ops

from keras_spiking import layers

ROOT = Path(__file__).parent.parent
OTHER = "numpy" if BACKEND != "numpy" else "torch"


@keras.saving.register_keras_serializable("tests")
def triangle(x):
    return ops.relu(1.0 - ops.abs(x))


def build():
    inputs = keras.Input((8, 6, 6, 1))
    x = layers.SeqToBatch(
        [keras.layers.Conv2D(3, 3), keras.layers.BatchNormalization()]
    )(inputs)
    x = layers.LIFLayer(
        tau=[2.0, 3.0, 4.0], learnable={"v_threshold": "channel"}, surrogate="atan"
    )(x)
    x = layers.SeqToBatch(
        [keras.layers.Flatten(), keras.layers.Dense(5, bias_initializer="ones")]
    )(x)
    x = layers.ParametricLIFLayer(v_reset=None, surrogate=triangle)(x)
    x = layers.StepByStep(
        [keras.layers.Dense(5, bias_initializer="ones"), layers.IFLayer()]
    )(x)
    x = layers.ElementwiseRecurrent(layers.IFLayer(v_threshold=0.5))(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.LILayer(reduce="mean")(x))


def draw():
    return np.random.default_rng(0).uniform(0, 4, (2, 8, 6, 6, 1)).astype("float32")


LOAD = """
import sys
sys.path.insert(0, "tests")
import keras, numpy as np
import keras_spiking
import test_saving  # registers the surrogate, as a user's module does
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model.predict(test_saving.draw(), verbose=0))
"""


def test_another_backend_loads_the_model_with_equal_outputs(tmp_path):
    model = build()
    model.save(tmp_path / "model.keras")
    subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "model.keras", tmp_path / "y.npy"],
        env={**os.environ, "KERAS_BACKEND": OTHER, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=True,
    )
    expected = model.predict(draw(), verbose=0)
    assert expected.any()
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-4)


def test_weights_alone(tmp_path):
    model, other = build(), build()
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    expected = model.predict(draw(), verbose=0)
    np.testing.assert_array_equal(other.predict(draw(), verbose=0), expected)


def test_the_state_of_a_stateful_layer_is_saved(tmp_path):
    inputs = keras.Input(batch_shape=(2, 4, 3))
    model = keras.Model(inputs, layers.LIFLayer(stateful=True)(inputs))
    x = np.random.default_rng(0).uniform(0, 1, (2, 4, 3)).astype("float32")
    model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(restored.predict(x, verbose=0), expected)


@pytest.mark.parametrize("layer", [layers.LIFLayer, layers.ParametricLIFLayer])
def test_clones_have_the_same_configuration(layer):
    model = keras.Sequential([keras.Input((5, 3)), layer(learnable="v_threshold")])
    clone = keras.models.clone_model(model)
    assert clone.layers[0].get_config() == model.layers[0].get_config()
    assert clone.layers[0] is not model.layers[0]
