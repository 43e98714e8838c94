"""Configurations and weights of version 0.1.0, whose defaults were others."""

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers

# The arguments that 0.1.0 did not have, and what it did.
MISSING = {
    "ResonateAndFireLayer": {"input_first": True, "reset_current": True},
    "MembraneBatchNormalizationLIFLayer": {"carry_normalized": False},
    "QKAttention": {"num_heads": 1},
    "WeightStandardizedDense": {"unbiased": False},
    "WeightStandardizedConv2D": {"unbiased": False},
}
REQUIRED = {
    "WeightStandardizedDense": {"units": 3},
    "WeightStandardizedConv2D": {"filters": 3, "kernel_size": 3},
}


@pytest.mark.parametrize("name", MISSING)
def test_what_a_configuration_does_not_say_is_as_it_was(name):
    cls = getattr(layers, name)
    config = cls(**REQUIRED.get(name, {})).get_config()
    for argument in MISSING[name]:
        assert config.pop(argument) != MISSING[name][argument]
    restored = cls.from_config(config)
    for argument, value in MISSING[name].items():
        assert getattr(restored, argument) == value


def test_gated_cells_load_one_row_of_biases():
    cell = layers.SpikingGRUCell(4)
    cell.build((None, 3))
    store = {str(i): to_numpy(w) for i, w in enumerate(cell.weights)}
    store["2"] = np.arange(12, dtype="float32")
    cell.load_own_variables(store)
    np.testing.assert_array_equal(to_numpy(cell.bias)[0], store["2"])
    np.testing.assert_array_equal(to_numpy(cell.bias)[1], 0.0)
    without = layers.SpikingGRUCell(4, use_bias=False)
    without.build((None, 3))
    without.load_own_variables({k: store[k] for k in ("0", "1")})


def test_gated_cells_are_saved(tmp_path):
    cell = layers.SpikingGRUCell(4, candidate_surrogate="atan")
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.RNN(cell)])
    cell.bias.assign(np.random.default_rng(0).normal(size=(2, 12)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    assert type(again.layers[0].cell.candidate_surrogate).__name__ == "ATan"


@pytest.mark.parametrize("use_gain", [True, False])
def test_standardized_layers_are_saved(use_gain, tmp_path):
    layer = layers.WeightStandardizedDense(4, use_gain=use_gain)
    model = keras.Sequential([keras.Input((5,)), layer])
    if use_gain:
        layer.gain.assign([1.0, 2.0, 3.0, 4.0])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 5))
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


def test_weights_of_one_input_cannot_be_standardized():
    with pytest.raises(ValueError, match="one only"):
        layers.WeightStandardizedDense(3)(np.ones((2, 1), "float32"))
