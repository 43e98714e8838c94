"""`LinearAttention` and `CenteredMaxPooling2D` against NumPy."""

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers


def heads(x, num_heads):
    """`(batch, time, heads, tokens, channels)` of maps with channels last."""
    tokens = x.reshape(*x.shape[:2], -1, num_heads, x.shape[-1] // num_heads)
    return tokens.swapaxes(2, 3)


def expected(q, k, v, num_heads, scale):
    """In the order of the usual attention, in double precision."""
    q, k, v = (heads(x.astype("float64"), num_heads) for x in (q, k, v))
    y = scale * (q @ k.swapaxes(-1, -2)) @ v
    return y.swapaxes(2, 3)


@pytest.mark.parametrize("timesteps", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_products(image_data_format, timesteps, dtype):
    random = np.random.default_rng(0)
    q, k = random.integers(0, 2, (2, 2, timesteps, 3, 5, 6)).astype("float32")
    v = random.integers(0, 3, (2, timesteps, 3, 5, 9)).astype("float32")
    layer = layers.LinearAttention(3, scale=0.25, dtype=dtype)

    def given(x):
        return np.moveaxis(x, -1, 2) if image_data_format == "channels_first" else x

    y = to_numpy(keras.ops.cast(layer([given(x) for x in (q, k, v)]), "float32"))
    y = np.moveaxis(y, 2, -1) if image_data_format == "channels_first" else y
    wanted = expected(q, k, v, 3, 0.25).reshape(v.shape)
    tolerance = {"rtol": 2e-2} if dtype != "float32" else {"rtol": 0.0}
    np.testing.assert_allclose(y, wanted, **tolerance)


def test_one_tensor_holds_all_three(image_data_format):
    first = image_data_format == "channels_first"
    parts = np.random.default_rng(0).normal(size=(3, 2, 4, 3, 5, 6)).astype("float32")
    if first:
        parts = np.moveaxis(parts, -1, 3)
    layer = layers.LinearAttention(2)
    joined = np.concatenate(list(parts), axis=2 if first else -1)
    np.testing.assert_allclose(
        to_numpy(layer(joined)), to_numpy(layer(list(parts))), rtol=1e-5, atol=1e-5
    )
    symbolic = keras.Input((None, *joined.shape[2:]))
    assert layer(symbolic).shape == (None, None, *parts.shape[3:])


def test_channels_that_do_not_divide():
    layer = layers.LinearAttention(4)
    with pytest.raises(ValueError, match="groups of 4"):
        layer(np.ones((1, 2, 3, 3, 18), "float32"))
    with pytest.raises(ValueError, match="groups of 3"):
        layer(np.ones((1, 2, 3, 3, 16), "float32"))


@pytest.mark.parametrize("size, strides", [(3, 2), (3, 1), (5, 3), (1, 2)])
@pytest.mark.parametrize("shape", [(8, 7), (1, 6), (2, 3)])
def test_windows_lie_around_pixels(image_data_format, shape, size, strides):
    x = np.random.default_rng(0).normal(-5.0, 1.0, (2, *shape, 3)).astype("float32")
    wanted = np.empty((2, *((n - 1) // strides + 1 for n in shape), 3))
    half = size // 2
    for i, j in np.ndindex(wanted.shape[1:3]):
        rows = slice(max(i * strides - half, 0), i * strides + half + 1)
        columns = slice(max(j * strides - half, 0), j * strides + half + 1)
        wanted[:, i, j] = x[:, rows, columns].max((1, 2))
    if image_data_format == "channels_first":
        x, wanted = np.moveaxis(x, -1, 1), np.moveaxis(wanted, -1, 1)
    layer = layers.CenteredMaxPooling2D(size, strides=strides)
    y = layer(x)
    np.testing.assert_array_equal(to_numpy(y), wanted)
    assert layer(keras.Input((*x.shape[1:],))).shape[1:] == wanted.shape[1:]
    again = layers.CenteredMaxPooling2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("size", [0, 2, "3"])
def test_windows_without_a_middle(size):
    with pytest.raises((ValueError, TypeError), match="pool_size"):
        layers.CenteredMaxPooling2D(size)


def test_sums_of_channels():
    x = np.arange(12, dtype="float32").reshape(1, 2, 6)
    y = layers.ChannelPooling(3, mode="sum", data_format="channels_last")(x)
    np.testing.assert_array_equal(to_numpy(y), [[[3, 12], [21, 30]]])
