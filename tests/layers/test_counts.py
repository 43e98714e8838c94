"""Unfolding of counts into spikes, and the sums that undo it."""

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers


def counts(shape, largest=4):
    return np.random.default_rng(0).integers(0, largest + 1, shape).astype("float32")


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 1, 7), (2, 3, 2, 3, 1)])
def test_sums_undo_the_unfolding(shape):
    x = counts(shape)
    spikes = layers.CountToSpikes(4)(x)
    assert set(np.unique(to_numpy(spikes))) <= {0.0, 1.0}
    assert tuple(spikes.shape) == (shape[0], 4 * shape[1], *shape[2:])
    np.testing.assert_array_equal(to_numpy(layers.TemporalBinSum(4)(spikes)), x)


def test_counts_beyond_the_slots_fill_them_and_negative_ones_are_none():
    x = np.array([[[-2.0], [9.0]]], "float32")
    spikes = to_numpy(layers.CountToSpikes(3)(x)).ravel()
    np.testing.assert_array_equal(spikes, [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("cls", [layers.CountToSpikes, layers.TemporalBinSum])
def test_in_training_counts_pass_unless_always_converted(cls):
    x = counts((2, 4, 3))
    np.testing.assert_array_equal(to_numpy(cls(2)(x, training=True)), x)
    always = cls(2, always_convert=True)
    np.testing.assert_array_equal(to_numpy(always(x, training=True)), always(x))


def test_a_network_of_counts_is_a_network_of_spikes():
    """A dense layer of counts is the sum of what it makes of the spikes."""
    inputs = keras.Input((5, 3))
    x = layers.ILIFLayer(D=4)(inputs)
    x = layers.CountToSpikes(4)(x)
    assert x.shape == (None, None, 3)
    x = keras.layers.Dense(6, use_bias=False)(x)
    model = keras.Model(inputs, layers.TemporalBinSum(4)(x))
    x = 3.0 * np.random.default_rng(0).random((2, 5, 3)).astype("float32")
    expected = to_numpy(model(x, training=True))
    np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    x = counts((2, 4, 3))
    layer = layers.CountToSpikes(4, dtype=dtype)
    spikes = layer(x)
    assert keras.backend.standardize_dtype(spikes.dtype) == dtype
    total = keras.ops.cast(keras.ops.sum(spikes, axis=1), "float32")
    np.testing.assert_array_equal(to_numpy(total), x.sum(1))


@pytest.mark.parametrize("cls", [layers.CountToSpikes, layers.TemporalBinSum])
@pytest.mark.parametrize("slots", [0, 2.5, True, "2"])
def test_slots_are_whole_numbers_above_0(cls, slots):
    with pytest.raises((TypeError, ValueError), match="`slots`"):
        cls(slots)
    with pytest.raises(ValueError, match="time"):
        cls(2)(np.ones((2,), "float32"))
