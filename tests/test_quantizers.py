import keras
import numpy as np
import pytest
from backend import double_precision
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import config
from keras_spiking import quantizers
from keras_spiking.layers import Quantized
from keras_spiking.layers import SeqToBatch
from keras_spiking.layers import SpikingLayer
from keras_spiking.ops import straight_through

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


EXTREME = [3.3, 10.7, 1000.3, 1.7e8, -0.3, -0.0, 1e-30, 3e38, -3e38, np.inf, -np.inf]


@pytest.mark.parametrize("dtype", ("float32", "float16", "bfloat16", "float64"))
@pytest.mark.parametrize("pass_through", (False, True))
def test_clip_is_exact_to_the_last_bit(dtype, pass_through):
    with double_precision():
        x = ops.cast(ops.convert_to_tensor(EXTREME, "float64"), dtype)
        y = quantizers.clip(x, -0.25, 1.1, pass_through=pass_through)
        expected = ops.clip(x, -0.25, 1.1)
        assert y.dtype == expected.dtype
        y, expected = to_numpy((y, expected))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))


@pytest.mark.parametrize("name", ("round", "floor", "ceil", "trunc"))
def test_rounding_of_extremes_equals_numpy(name):
    x = np.array(EXTREME, "float32")
    actual, expected = quantize(getattr(quantizers, name), x), getattr(np, name)(x)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(np.signbit(actual), np.signbit(expected))


def test_the_value_is_exact_whatever_receives_the_gradient():
    value = np.array([0.1, -0.0, 3e38, np.inf, np.nan], "float32")
    for like in (0.0, 3e38, np.inf, np.nan):
        like = np.full_like(value, like)
        actual = to_numpy(straight_through(*map(ops.convert_to_tensor, (value, like))))
        np.testing.assert_array_equal(actual.view("int32"), value.view("int32"))


@pytest.mark.trains
def test_clip_has_no_gradient_outside_unless_it_is_asked_for():
    x = np.array([-2.0, -1.0, 0.3, 1.0, 1.5, 1e30], "float32")

    def gradient(**options):
        def loss(x):
            return ops.sum(3.0 * quantizers.clip(x, -1.0, 1.0, **options))

        return gradients(loss, [x])[0]

    np.testing.assert_array_equal(gradient(), [0, 3, 3, 3, 0, 0])
    np.testing.assert_array_equal(gradient(pass_through=True), 3.0)


@pytest.mark.trains
def test_kernels_pass_gradients_straight_through_as_the_reference_does():
    layer = ClippedIF(v_threshold=0.7, surrogate="atan", return_state=True)
    x = np.random.default_rng(0).normal(0.5, 1.0, (2, 6, 3)).astype("float32")
    x[0, 2, 1] = 1e30
    results = {}
    for choice in ("always", "never"):
        config.set_fused(choice)
        try:
            _, state = layer(x)
            (gradient,) = gradients(lambda x: ops.sum(layer(x)[1]), [x])
        finally:
            config.set_fused("auto")
        results[choice] = to_numpy(state), gradient
    for fused, reference in zip(*results.values()):
        np.testing.assert_allclose(fused, reference, rtol=1e-5, atol=1e-6)
    assert np.ptp(results["never"][1]) > 0


class ClippedIF(SpikingLayer):
    def charge(self, x, v):
        x = quantizers.clip(x, 0.0, 1.0)
        return quantizers.round(16.0 * (v + x)) / 16.0


def test_symbolic_models_with_straight_through_can_be_saved(tmp_path):
    inputs = keras.Input((3,))
    outputs = quantizers.clip(quantizers.round(4.0 * inputs), 0.0, 2.0)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = VALUES[:240].reshape(-1, 3)
    expected = np.clip(np.rint(4 * x), 0, 2)
    np.testing.assert_array_equal(to_numpy(again(x)), expected)


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
    layer = Quantized(keras.layers.Dense(2), bias_quantizer="loihi")
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
    layer = Quantized(
        convolution,
        kernel_quantizer=quantizers.KBit(4, -1.0, 1.0),
        bias_quantizer="power_of_two",
    )
    model = keras.Sequential([keras.Input((None, 5, 5, 2)), SeqToBatch(layer)])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 5, 2)).astype("float32")
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(model(x)))


def test_refuses_unknown_quantizers_and_layers_without_kernel():
    with pytest.raises(ValueError, match="one of k_bit.*'int8'"):
        Quantized(keras.layers.Dense(2), kernel_quantizer="int8")
    with pytest.raises(ValueError, match="`bits`.*17"):
        quantizers.KBit(17)
    with pytest.raises(ValueError, match="takes a layer with a `kernel`"):
        Quantized(keras.layers.Flatten()).build((None, 3))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: quantizers.KBit(2.5), "`bits` must be an integer"),
        (lambda: quantizers.KBit(True), "`bits` must be an integer"),
        (lambda: quantizers.KBit(4, "0"), "`minimum` must be a number"),
        (lambda: quantizers.AffineKBit("8"), "`bits` must be an integer"),
        (lambda: quantizers.AffineKBit(8, per_channel=1), "`per_channel` must be True"),
        (lambda: quantizers.PowerOfTwo(-1.5), "`minimum` must be an integer"),
        (
            lambda: Quantized(keras.layers.Dense(2), bias_quantiser="loihi"),
            "Did you mean `bias_quantizer`",
        ),
    ],
)
def test_arguments_have_their_type(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_the_star_import_leaves_builtin_functions_alone():
    names = {}
    exec("from keras_spiking.quantizers import *", names)
    assert "round" not in names and names["clip"] is quantizers.clip
