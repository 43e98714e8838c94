import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy

from keras_spiking import layers
from keras_spiking import regularizers


def test_rates_outside_of_the_range_cost_and_inside_do_not():
    spikes = np.zeros((2, 10, 3), "float32")
    spikes[:, :1, 1] = 1.0  # 0.1, inside
    spikes[:, :5, 2] = 1.0  # 0.5, too much
    regularizer = regularizers.FiringRateRegularizer(0.05, 0.2, strength=2.0)
    expected = 2.0 * (0.05**2 + 0.3**2)
    layer = keras.layers.Identity(activity_regularizer=regularizer)
    layer(spikes)
    np.testing.assert_allclose(to_numpy(layer.losses[0]), expected, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_loss_of_a_layer_does_not_depend_on_the_batch_size(batch):
    regularizer = regularizers.FiringRateRegularizer(maximum=0.1, strength=1.0)
    layer = layers.IFLayer(activity_regularizer=regularizer)
    layer(np.full((batch, 10, 3), 1.0, "float32"))
    np.testing.assert_allclose(to_numpy(layer.losses[0]), 3 * 0.9**2, rtol=1e-5)


@pytest.mark.trains
def test_gradient_pulls_rates_into_the_range():
    regularizer = regularizers.FiringRateRegularizer(0.2, 0.4, strength=1.0)
    spikes = np.zeros((1, 10, 3), "float32")
    spikes[:, :3, 1] = 1.0
    spikes[:, :8, 2] = 1.0
    (gradient,) = gradients(regularizer, [spikes])
    assert (gradient[..., 0] < 0).all()
    assert (gradient[..., 1] == 0).all()
    assert (gradient[..., 2] > 0).all()


@pytest.mark.trains
def test_fit_lowers_the_firing_rate():
    regularizer = regularizers.FiringRateRegularizer(maximum=0.1, strength=1.0)
    model = keras.Sequential(
        [
            keras.Input((8, 4)),
            layers.SeqToBatch(keras.layers.Dense(6, bias_initializer="ones")),
            layers.LIFLayer(activity_regularizer=regularizer),
        ]
    )
    x = np.random.default_rng(0).uniform(0, 2, (32, 8, 4)).astype("float32")
    before = model.predict(x, verbose=0).mean()
    model.compile(keras.optimizers.Adam(0.05), lambda y, p: 0.0 * p[:, 0, 0])
    model.fit(x, np.zeros((32, 8, 6)), epochs=10, verbose=0)
    assert model.predict(x, verbose=0).mean() < 0.7 * before


def test_serialization():
    regularizer = regularizers.FiringRateRegularizer(0.1, 0.3, strength=0.5)
    config = keras.regularizers.serialize(regularizer)
    assert keras.regularizers.deserialize(config).get_config() == (
        regularizer.get_config()
    )


@pytest.mark.parametrize(
    "config, message",
    [
        ({"minimum": -0.1}, "minimum=-0.1"),
        ({"minimum": 0.5, "maximum": 0.2}, "maximum=0.2"),
        ({"strength": float("nan")}, "strength=nan"),
    ],
)
def test_bad_ranges_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        regularizers.FiringRateRegularizer(**config)


def test_spikes_without_time_are_refused():
    with pytest.raises(ValueError, match="return_sequences"):
        regularizers.FiringRateRegularizer()(np.zeros((2, 3), "float32"))
