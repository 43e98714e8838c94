"""The same counts as metric, callback and regularizer."""

import keras
import numpy as np
import pytest
from backend import KERAS_VERSION
from backend import gradients
from backend import to_numpy

from keras_spiking import callbacks
from keras_spiking import energy
from keras_spiking import layers
from keras_spiking import metrics
from keras_spiking import regularizers

K = keras.layers
SPIKES = np.random.default_rng(0).integers(0, 2, (3, 4, 5, 6, 2)).astype("float32")


def fan_out():
    return energy.fan_out(K.Conv2D(4, 3, strides=2, padding="same"), (5, 6, 2))


def test_metric_and_regularizer_know_the_borders():
    expected = np.sum(SPIKES * fan_out()) / 3
    metric = metrics.SynapticOperations(fan_out())
    metric.update_state(None, SPIKES)
    np.testing.assert_allclose(to_numpy(metric.result()), expected, rtol=1e-6)
    regularizer = regularizers.SynapticOperationsRegularizer(fan_out(), strength=0.5)
    layer = K.Identity(activity_regularizer=regularizer)
    layer(SPIKES)
    np.testing.assert_allclose(to_numpy(layer.losses[0]), 0.5 * expected, rtol=1e-6)


@pytest.mark.parametrize(
    "make", [metrics.SynapticOperations, regularizers.SynapticOperationsRegularizer]
)
@pytest.mark.parametrize("many", [False, True])
def test_configurations_round_trip(make, many):
    given = make(fan_out() if many else 3.0)
    restored = type(given).from_config(given.get_config())
    np.testing.assert_array_equal(restored.fan_out, given.fan_out)


def test_saved_regularizers_load(tmp_path):
    regularizer = regularizers.SynapticOperationsRegularizer(np.arange(3.0))
    layer = layers.IFLayer(activity_regularizer=regularizer)
    keras.Sequential([keras.Input((4, 3)), layer]).save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    found = restored.activity_regularizer
    np.testing.assert_array_equal(found.fan_out, [0.0, 1.0, 2.0])


@pytest.mark.trains
def test_gradient_passes_through_spikes_to_the_weights_before_them():
    regularizer = regularizers.SynapticOperationsRegularizer([1.0, 3.0], strength=2.0)
    (gradient,) = gradients(regularizer, [np.ones((2, 4, 2), "float32")])
    # Keras divides activity losses by the batch size, here 2, since 3.14.
    expected = [2.0, 6.0] if KERAS_VERSION >= (3, 14) else [1.0, 3.0]
    np.testing.assert_allclose(gradient, np.broadcast_to(expected, (2, 4, 2)))
    dense = K.Dense(2, kernel_initializer="ones")
    neurons = layers.IFLayer(activity_regularizer=regularizer)
    model = keras.Sequential([keras.Input((4, 3)), dense, neurons])
    model.compile(keras.optimizers.SGD(0.1), loss=lambda y, p: 0.0 * keras.ops.sum(p))
    x = np.random.default_rng(0).random((8, 4, 3)).astype("float32")
    before = energy.report(model, x).spikes
    model.fit(x, np.zeros((8, 4, 2)), epochs=5, verbose=0)
    assert energy.report(model, x).spikes < before


@pytest.mark.trains
def test_callback_logs_what_the_report_says():
    model = keras.Sequential([keras.Input((4, 3)), layers.IFLayer(), K.Dense(2)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.random.default_rng(0).random((8, 4, 3)).astype("float32")
    logger = callbacks.EnergyLogger(x[:4], costs=["45nm", "loihi"])
    y = np.zeros((8, 4, 2))
    logs = model.fit(x, y, epochs=2, verbose=0, callbacks=[logger]).history
    expected = energy.report(model, x[:4])
    assert logs["acs"] == [expected.acs] * 2 and logs["spikes"] == [expected.spikes] * 2
    loihi = expected.snn_energy(energy.COSTS["loihi"])
    assert logs["energy/loihi"] == [loihi] * 2 and len(logger.reports) == 2


def test_bad_input():
    metric = metrics.SynapticOperations(np.ones(5))
    with pytest.raises(ValueError, match="must be one number, or have one for each"):
        metric.update_state(None, SPIKES)
    regularizer = regularizers.SynapticOperationsRegularizer(np.ones(5))
    with pytest.raises(ValueError, match=r"`fan_out` of shape \(5,\)"):
        regularizer(SPIKES)
    with pytest.raises(ValueError, match="use `return_sequences=True`"):
        regularizer(SPIKES[0, 0, 0])
    with pytest.raises(ValueError, match="`fan_out` must be at least 0"):
        regularizers.SynapticOperationsRegularizer([-1.0])
    with pytest.raises(ValueError, match="`fan_out` must be finite"):
        metrics.SynapticOperations(float("nan"))
