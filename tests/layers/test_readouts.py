import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import ops

from keras_spiking import layers

SPIKES = np.random.default_rng(0).integers(0, 2, (3, 7, 4, 2)).astype("float32")
MASK = np.random.default_rng(1).integers(0, 2, (3, 7)).astype(bool)
MASK[:, 2] = True


def test_firing_rate_and_spike_count():
    rate, count = to_numpy([layers.FiringRate()(SPIKES), layers.SpikeCount()(SPIKES)])
    np.testing.assert_allclose(rate, SPIKES.mean(1), rtol=1e-6)
    np.testing.assert_array_equal(count, SPIKES.sum(1))


def test_masked_steps_do_not_count():
    kept = SPIKES * MASK[:, :, None, None]
    rate = layers.FiringRate()(SPIKES, mask=MASK)
    expected = kept.sum(1) / MASK.sum(1)[:, None, None]
    np.testing.assert_allclose(to_numpy(rate), expected, rtol=1e-6)
    count = layers.SpikeCount()(SPIKES, mask=MASK)
    np.testing.assert_array_equal(to_numpy(count), kept.sum(1))


def test_a_sequence_that_is_masked_throughout_has_rate_zero():
    rate = layers.FiringRate()(SPIKES, mask=np.zeros((3, 7), bool))
    np.testing.assert_array_equal(to_numpy(rate), 0.0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("layer, expected", [("FiringRate", 1.0), ("SpikeCount", 5000)])
def test_long_sequences_do_not_saturate_half_precision(layer, expected, dtype, masked):
    spikes = ops.ones((1, 5000, 1), dtype)
    mask = ops.ones((1, 5000), "bool") if masked else None
    y = getattr(layers, layer)(dtype=dtype)(spikes, mask=mask)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    np.testing.assert_allclose(to_numpy(ops.cast(y, "float32")), expected, rtol=5e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_leaky_integrator_mean_does_not_saturate_half_precision(dtype):
    y = layers.LILayer(tau=1.0, reduce="mean", dtype=dtype)(ops.ones((1, 5000, 1)))
    np.testing.assert_allclose(to_numpy(ops.cast(y, "float32")), 1.0, rtol=5e-3)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32"])
def test_integer_and_boolean_spikes(dtype):
    spikes = ops.convert_to_tensor(SPIKES.astype(dtype))
    rate, count = layers.FiringRate()(spikes), layers.SpikeCount()(spikes)
    np.testing.assert_allclose(to_numpy(rate), SPIKES.mean(1), rtol=1e-6)
    np.testing.assert_allclose(to_numpy(count), SPIKES.sum(1))


@pytest.mark.parametrize("layer", [layers.FiringRate, layers.SpikeCount])
def test_shapes_and_masks(layer):
    inputs = keras.Input((None, 4))
    masked = keras.layers.Masking()(inputs)
    y = layer()(masked)
    assert y.shape == (None, 4)
    assert getattr(y, "_keras_mask", None) is None
    model = keras.Model(inputs, y)
    x = SPIKES[..., 0] * MASK[..., None]
    expected = to_numpy(layer()(x, mask=x.any(-1)))
    np.testing.assert_allclose(to_numpy(model(x)), expected)
