"""A dense layer of the input and the last output, against NumPy."""

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers


def inputs(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def network(**kwargs):
    dense = keras.layers.Dense(3, use_bias=False)
    return dense, layers.LinearRecurrent([layers.IFLayer(), dense], **kwargs)


def simulate(x, w, b, dense, mask=None):
    y = np.zeros((len(x), dense.shape[1]))
    v = np.zeros((len(x), w.shape[1]))
    for t in range(x.shape[1]):
        h = v + np.concatenate([x[:, t], y], axis=-1) @ w + b
        s = h >= 1.0
        new_v, new_y = h * ~s, s @ dense
        if mask is None:
            v, y = new_v, new_y
            yield y
        else:
            on = mask[:, t, None]
            v, y = np.where(on, new_v, v), np.where(on, new_y, y)
            yield np.where(on, new_y, 0.0)


@pytest.mark.parametrize("time", [1, 7])
@pytest.mark.parametrize("masked", [False, True])
def test_outputs_equal_the_simulation(time, masked):
    dense, layer = network(units=5)
    x = 3.0 * inputs(4, time, 2)
    layer.build(x.shape)
    assert tuple(layer.connection.kernel.shape) == (5, 5)
    layer.connection.bias.assign(np.linspace(-0.5, 0.5, 5))
    mask = np.random.default_rng(1).random((4, time)) < 0.7 if masked else None
    w, b, d = (to_numpy(v) for v in (*layer.connection.weights, dense.kernel))
    expected = np.stack([*simulate(x.astype("float64"), w, b, d, mask)], 1)
    found = to_numpy(layer(x, mask=mask))
    if masked:  # `Dense` knows nothing of masks: what it makes of no spikes is 0
        found = found * mask[:, :, None]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_models_of_it_are_saved(tmp_path):
    _, layer = network(use_bias=False, reduce="sum", kernel_initializer="he_normal")
    model = keras.Sequential([keras.Input((6, 4)), layer])
    x = 2.0 * inputs(2, 6, 4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    assert tuple(expected.shape) == (2, 3)


def test_a_step_at_a_time_is_the_whole_sequence():
    _, layer = network()
    x = 3.0 * inputs(2, 6, 4)
    expected = to_numpy(layer(x))
    np.testing.assert_allclose(to_numpy(layers.StepByStep(layer)(x)), expected)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`units`"):
        network(units=0)
    with pytest.raises(TypeError, match="`use_bias`"):
        network(use_bias=1)
    flat = layers.LinearRecurrent(keras.layers.Flatten())
    with pytest.raises(ValueError, match="fed back"):
        flat(inputs(2, 5, 3, 4))
