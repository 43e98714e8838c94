"""Products that walk over the non-zeros of their input, against the dense ones."""

import itertools

import numpy as np
import pytest
from backend import BACKEND
from backend import gradients
from backend import to_numpy
from keras import layers
from keras import ops

import keras_spiking
from keras_spiking.backends.products import choice
from keras_spiking.layers import SeqToBatch

RANDOM = np.random.default_rng(0)


def sparse(*shape, share=0.2, dtype="float32"):
    x = RANDOM.standard_normal(shape)
    return np.where(RANDOM.random(shape) < share, x, 0.0).astype(dtype)


def in_mode(mode, function):
    keras_spiking.config.set_event_driven(mode)
    try:
        return function()
    finally:
        keras_spiking.config.set_event_driven("auto")


def compare(layer, x, tolerance=1e-5, mode="always"):
    """Outputs and gradients of a walk equal those of the dense product."""
    container = SeqToBatch(layer)
    container.build(x.shape)
    shape = container.compute_output_shape(x.shape)
    direction = RANDOM.standard_normal(shape).astype("float32")

    def run():
        outputs = to_numpy(container(x))
        if BACKEND == "numpy":
            return [outputs]

        def loss(x):
            return ops.sum(
                ops.cast(container(x), "float32") * ops.convert_to_tensor(direction)
            )

        return [outputs, *gradients(loss, [x], container.trainable_variables)]

    keras_spiking.config.set_fused("never")
    dense = run()
    keras_spiking.config.set_fused("auto")
    walked = in_mode(mode, run)
    for expected, value in zip(dense, walked, strict=True):
        assert value.shape == expected.shape
        scale = max(np.abs(expected.astype("float64")).max(initial=0.0), 1.0)
        np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("channels, units", [(1, 1), (17, 10), (100, 65), (300, 530)])
def test_dense(channels, units):
    compare(layers.Dense(units), sparse(3, 5, channels))


@pytest.mark.parametrize(
    "strides, padding", itertools.product((1, 2, 3), ("same", "valid"))
)
@pytest.mark.parametrize("kernel", [1, (3, 2), 5])
def test_conv2d(kernel, strides, padding):
    layer = layers.Conv2D(19, kernel, strides, padding)
    compare(layer, sparse(2, 3, 9, 8, 5))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("filters", [4, 34])
def test_dilation_and_groups(filters, padding):
    layer = layers.Conv2D(filters, 3, padding=padding, dilation_rate=2, groups=1)
    compare(layer, sparse(2, 1, 9, 7, 6))
    if BACKEND != "tensorflow":  # no gradient of grouped convolutions on a CPU
        layer = layers.Conv2D(filters, 3, padding=padding, groups=2)
        compare(layer, sparse(2, 2, 9, 7, 6))


@pytest.mark.parametrize("strides", [1, 2])
def test_depthwise(strides):
    layer = layers.DepthwiseConv2D(3, strides, "same", depth_multiplier=2)
    compare(layer, sparse(2, 2, 7, 6, 5))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_transposed(kernel, strides, padding):
    layer = layers.Conv2DTranspose(18, kernel, strides, padding)
    compare(layer, sparse(2, 2, 5, 4, 3))
    compare(layers.Conv1DTranspose(3, kernel, strides, padding), sparse(2, 2, 7, 3))


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
def test_conv1d(padding):
    compare(layers.Conv1D(20, 3, padding=padding, strides=2), sparse(2, 3, 11, 4))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="no channels first on a CPU")
def test_channels_first():
    layer = layers.Conv2D(18, 3, padding="same", data_format="channels_first")
    compare(layer, sparse(2, 2, 5, 8, 9))


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((2, 3, 8, 8, 4), "float32"),
        np.ones((2, 3, 8, 8, 4), "float32"),
        np.full((2, 3, 8, 8, 4), -0.25, "float32"),
    ],
    ids=["zeros", "ones", "fractions"],
)
def test_any_values(x):
    compare(layers.Conv2D(16, 3), x)
    compare(layers.Dense(33), x)


def test_more_than_a_block_and_a_chunk():
    compare(layers.Conv2D(300, 3, padding="same"), sparse(3, 7, 20, 18, 33, share=0.05))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_precision(dtype):
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-6}[dtype]
    policy = dtype if dtype == "float64" else f"mixed_{dtype}"
    if dtype == "bfloat16" and BACKEND == "numpy":
        pytest.skip("NumPy has no products in bfloat16")
    compare(layers.Conv2D(16, 3, dtype=policy), sparse(2, 2, 6, 6, 8), tolerance)


@pytest.mark.skipif(BACKEND not in ("jax", "numpy"), reason="none of ours serve")
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_dense_kernels_and_those_that_choose(monkeypatch, share):
    """With a share of 0.2, the first limit lets the dense kernels serve."""
    own = choice.Choice(share, share, (True, True, True))
    monkeypatch.setattr(choice, "of", lambda *arguments: own)
    for layer in (
        layers.Dense(20),
        layers.Conv2D(19, 3, 2, "same"),
        layers.Conv2D(6, 3, groups=3),
        layers.Conv2DTranspose(5, 3, 2, "same"),
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
        layers.Conv2D(18, 3, data_format="channels_first"),
    ):
        compare(layer, sparse(2, 3, 9, 8, 9), mode="auto")


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode"):
        keras_spiking.config.set_event_driven("sometimes")
