import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers


def drop(layer, shape):
    return to_numpy(layer(np.ones(shape, "float32"), training=True))


def test_the_same_units_are_dropped_at_all_steps():
    y = drop(layers.Dropout(0.5, seed=1), (8, 6, 50))
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 6, axis=1))


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_a_fraction_is_dropped_and_the_rest_scaled(rate):
    y = drop(layers.Dropout(rate, seed=1), (50, 2, 200))
    assert abs((y == 0).mean() - rate) < 0.02
    np.testing.assert_allclose(np.unique(y), [0.0, 1.0 / (1.0 - rate)], rtol=1e-6)


def test_samples_and_calls_differ():
    layer = layers.Dropout(0.5, seed=1)
    first, second = drop(layer, (2, 3, 50)), drop(layer, (2, 3, 50))
    assert (first[0] != first[1]).any() and (first != second).any()
    again = drop(layers.Dropout(0.5, seed=1), (2, 3, 50))
    np.testing.assert_array_equal(first, again)


def test_noise_shape_drops_whole_channels():
    layer = layers.Dropout(0.5, noise_shape=(None, 1, 1, None), seed=1)
    y = drop(layer, (4, 3, 5, 5, 16))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1, :1], y.shape))
    assert (y == 0).any() and (y != 0).any()


@pytest.mark.parametrize("training", [None, False])
def test_nothing_happens_in_inference(training):
    x = np.ones((2, 3, 50), "float32")
    np.testing.assert_array_equal(
        to_numpy(layers.Dropout(0.5)(x, training=training)), x
    )


def test_unknown_batch_and_time():
    inputs = keras.Input((None, 50))
    model = keras.Model(inputs, layers.Dropout(0.5, seed=1)(inputs))
    y = to_numpy(model(np.ones((2, 3, 50), "float32"), training=True))
    np.testing.assert_array_equal(y[:, 0], y[:, 2])
    assert (y == 0).any()


@pytest.mark.trains
def test_gradient_passes_where_units_are_kept():
    layer = layers.Dropout(0.5, seed=1)
    y = drop(layers.Dropout(0.5, seed=1), (2, 3, 20))
    x = np.ones((2, 3, 20), "float32")
    (gradient,) = gradients(lambda x: ops.sum(layer(x, training=True)), [x])
    np.testing.assert_allclose(gradient, y)


@pytest.mark.parametrize("reduce", [None, "sum"])
def test_step_by_step_drops_the_same_units_at_all_steps(reduce):
    layer = layers.StepByStep(layers.Dropout(0.5, seed=1), reduce=reduce)
    y = drop(layer, (2, 5, 50))
    if reduce is None:
        np.testing.assert_array_equal(y, np.repeat(y[:, :1], 5, axis=1))
        assert (y == 0).any()
    else:
        np.testing.assert_allclose(np.unique(y), [0.0, 10.0])


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="rate=1.0"):
        layers.Dropout(1.0)
    with pytest.raises(ValueError, match="rate=-0.1"):
        layers.Dropout(-0.1)
    with pytest.raises(ValueError, match=r"noise_shape=\(None, 1\)"):
        layers.Dropout(0.5, noise_shape=(None, 1))(np.ones((2, 3, 4, 5)))
    with pytest.raises(ValueError, match="keras.layers.Dropout"):
        layers.Dropout(0.5)(np.ones((2, 3)))
