"""A training that was interrupted goes on as if it had not been."""

import functools

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking import online

pytestmark = pytest.mark.trains
random = np.random.default_rng(0)
X = (random.random((6, 5, 4)) < 0.5).astype("float32")
Y = random.random((6, 3)).astype("float32")


def with_stdp():
    """Traces, membrane potentials and the optimizer all go on."""
    synapse = keras.layers.Dense(3, name="synapse")
    neurons = layers.LIFLayer(stateful=True, name="neurons")
    rate = layers.FiringRate()
    model = keras.Sequential([keras.Input((5, 4), 3), synapse, neurons, rate])
    functions = (lambda w: 0.1 * w, lambda w: 1.0 - w)
    learn = callbacks.STDP("synapse", "neurons", 3.0, 2.0, *functions, 0.01)
    return model, [learn]


def trained_online():
    """Running averages of weights and states of a method go on."""
    stack = [keras.layers.Dense(6), layers.LIFLayer(), keras.layers.Dense(3)]
    model = online.FPTT(stack)
    model.build((3, 5, 4))
    return model, []


class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def fit(model, learn, *others, **kwargs):
    arguments = {"batch_size": 3, "epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(X, Y, **arguments, callbacks=[*others, *learn], **kwargs)
    return [to_numpy(v.value) for v in model.variables]


@pytest.mark.parametrize(
    "make",
    [with_stdp, trained_online],
    ids=["STDP", "FPTT"],
)
def test_resumed_training_equals_an_uninterrupted_one(make, tmp_path):
    def compiled():
        keras.utils.set_random_seed(1)
        model, learn = make()
        model.compile(keras.optimizers.Adam(0.05), "mse")
        return model, learn

    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    expected = fit(*compiled(), checkpoint)

    backup = functools.partial(keras.callbacks.BackupAndRestore, tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(*compiled(), backup(), Interruption())
    restored = fit(*compiled(), backup())

    loaded = keras.models.load_model(tmp_path / "1.keras")
    reloaded = fit(loaded, make()[1], initial_epoch=1)
    for value, again, once_more in zip(expected, restored, reloaded, strict=True):
        np.testing.assert_allclose(again, value, atol=1e-6)
        np.testing.assert_allclose(once_more, value, atol=1e-6)
