"""What holds for every exported layer, whichever it is."""

import keras
import numpy as np
import pytest
from backend import to_numpy
from registry import input_shape
from registry import layer_names
from registry import make


def draw(layer):
    shape = (2, *input_shape(layer))
    return np.random.default_rng(0).uniform(0.0, 1.0, shape).astype("float32")


every_layer = pytest.mark.parametrize("name", layer_names())


@every_layer
def test_layers_are_registered(name):
    cls = type(make(name))
    assert keras.saving.get_registered_name(cls) == f"keras_spiking>{name}"


@every_layer
def test_configurations_round_trip(name):
    layer = make(name)
    layer(draw(layer))
    restored = type(layer).from_config(layer.get_config())
    assert restored.get_config() == layer.get_config()
    restored(draw(layer))
    shapes = [[tuple(w.shape) for w in x.weights] for x in (layer, restored)]
    assert shapes[0] == shapes[1]


@every_layer
def test_saved_models_load_without_custom_objects(name, tmp_path):
    layer = make(name)
    model = keras.Sequential([keras.Input(input_shape(layer)), layer])
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    # Two fresh generators of the same seed draw the same.
    expected = model.predict(draw(layer), verbose=0)
    np.testing.assert_array_equal(restored.predict(draw(layer), verbose=0), expected)


@every_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_symbolic_outputs_have_the_shape_and_dtype_of_real_ones(name, policy):
    layer = make(name, dtype=policy)
    symbolic = layer(keras.Input(input_shape(layer), batch_size=2))
    concrete = layer(draw(layer))
    assert tuple(symbolic.shape) == tuple(concrete.shape)
    assert symbolic.dtype == keras.backend.standardize_dtype(concrete.dtype)
    assert symbolic.dtype == layer.compute_dtype
    assert np.isfinite(to_numpy(keras.ops.cast(concrete, "float32"))).all()


@every_layer
def test_layers_are_documented(name):
    doc = type(make(name)).__doc__
    for part in ("Input shape:", "Output shape:", "Example:", ">>> "):
        assert part in doc, part
