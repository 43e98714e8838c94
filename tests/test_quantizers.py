import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy

from keras_spiking import quantizers
from keras_spiking.layers import Quantized
from keras_spiking.layers import SeqToBatch

VALUES = np.linspace(-6, 6, 241).astype("float32")


def quantize(function, values):
    return to_numpy(function(keras.ops.convert_to_tensor(values)))


@pytest.mark.parametrize("name", ("round", "floor", "ceil", "trunc"))
def test_rounding_equals_numpy(name):
    actual = quantize(getattr(quantizers, name), VALUES)
    np.testing.assert_array_equal(actual, getattr(np, name)(VALUES))


@pytest.mark.trains
@pytest.mark.parametrize("name", ("round", "floor", "ceil", "trunc", "loihi", "k_bit"))
def test_gradient_passes_straight_through(name):
    function = getattr(quantizers, name, None) or quantizers.get(name)
    (gradient,) = gradients(lambda x: keras.ops.sum(3.0 * function(x)), [VALUES])
    np.testing.assert_allclose(gradient, 3.0, rtol=1e-6)


def test_loihi_weights_are_even_8_bit_integers():
    integers = 64 * quantize(quantizers.LoihiWeight(), VALUES)
    expected = np.clip(2 * np.rint(32 * VALUES), -256, 254)
    np.testing.assert_array_equal(integers, expected)


def test_k_bit_has_2_to_the_k_levels():
    levels = np.unique(quantize(quantizers.KBit(3, -1.0, 1.0), VALUES))
    np.testing.assert_allclose(levels, np.linspace(-1, 1, 8), atol=1e-6)


@pytest.mark.parametrize("per_channel", (False, True))
def test_affine_k_bit_keeps_the_extremes(per_channel):
    w = np.stack([VALUES, 10 * VALUES**2], -1)
    quantized = quantize(quantizers.AffineKBit(4, per_channel), w)
    axis = 0 if per_channel else None
    np.testing.assert_allclose(quantized.min(axis), w.min(axis), atol=1e-4)
    np.testing.assert_allclose(quantized.max(axis), w.max(axis), rtol=1e-5)
    step = (w.max(axis) - w.min(axis)) / 15
    assert np.all(np.abs(quantized - w) <= step / 2 + 1e-4)


def test_power_of_two():
    quantized = quantize(quantizers.PowerOfTwo(-3, 1), VALUES)
    sizes = np.unique(np.abs(quantized))
    np.testing.assert_allclose(sizes, [0, 0.125, 0.25, 0.5, 1, 2], rtol=1e-6)
    assert np.all(quantized * VALUES >= 0)


def test_constant_weights_stay_as_they_are():
    w = np.full((3, 2), 0.7, "float32")
    np.testing.assert_allclose(quantize(quantizers.AffineKBit(), w), w)


@pytest.mark.trains
@pytest.mark.parametrize("jit_compile", (False, True))
def test_quantisation_aware_training_moves_float_weights(jit_compile):
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 5)).astype("float32")
    y = x @ random.normal(size=(5, 2)).astype("float32")
    layer = Quantized(keras.layers.Dense(2), "loihi", bias_quantizer="loihi")
    model = keras.Sequential([keras.Input((5,)), layer])
    if keras.config.backend() == "torch":
        jit_compile = False
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=jit_compile)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=15, batch_size=16, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.2 * before
    kernel = to_numpy(layer.layer.kernel.value)
    quantized, bias = to_numpy(layer.quantized_weights())
    assert np.any(kernel != quantized)
    np.testing.assert_array_equal(quantized * 32, np.rint(quantized * 32))
    expected = x @ quantized + bias
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-4)


@pytest.mark.trains
def test_as_a_constraint_weights_stay_on_the_grid():
    layer = keras.layers.Dense(2, kernel_constraint=quantizers.LoihiWeight())
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    kernel = 32 * to_numpy(layer.kernel.value)
    np.testing.assert_array_equal(kernel, np.rint(kernel))


def test_saving_keeps_layer_and_quantizers(tmp_path):
    convolution = keras.layers.Conv2D(3, 2)
    layer = Quantized(convolution, quantizers.KBit(4, -1.0, 1.0), "power_of_two")
    model = keras.Sequential([keras.Input((None, 5, 5, 2)), SeqToBatch(layer)])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 5, 2)).astype("float32")
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(model(x)))


def test_refuses_unknown_quantizers_and_layers_without_kernel():
    with pytest.raises(ValueError, match="one of k_bit.*'int8'"):
        Quantized(keras.layers.Dense(2), "int8")
    with pytest.raises(ValueError, match="`bits`.*17"):
        quantizers.KBit(17)
    with pytest.raises(ValueError, match="takes a layer with a `kernel`"):
        Quantized(keras.layers.Flatten()).build((None, 3))
