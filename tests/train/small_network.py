"""A network that is trained in a moment, for the command line.

As a script it is `python -m keras_spiking.train` with that network, and kills itself
where the environment variable `KILL_AT` says: `"batch 7"`, before the seventh batch of
the process is trained on, or `"save 2"`, while it writes the second checkpoint.
"""

import io
import os
import signal
import sys

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking import models
from keras_spiking.models import options
from keras_spiking.train import checkpoint
from keras_spiking.train import progress
from keras_spiking.train.__main__ import main


def small_network(
    input_shape,
    *,
    classes=10,
    timesteps=4,
    neuron="lif",
    surrogate="atan",
    return_sequences=False,
    weights=None,
    units=6,
):
    cls = {"lif": layers.LIFLayer, "if": layers.IFLayer}[neuron]
    stack = [] if len(input_shape) == 4 else [layers.DirectEncoder(timesteps)]
    convolution = keras.layers.Conv2D(4, 3, strides=2, name="convolution")
    stack += [
        layers.SeqToBatch([convolution, keras.layers.BatchNormalization()]),
        cls(surrogate=surrogate, name="spikes_1"),
        layers.SeqToBatch(
            [keras.layers.Flatten(), keras.layers.Dense(units, name="hidden")]
        ),
        cls(surrogate=surrogate, name="spikes_2"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(classes, name="scores"),
    ]
    inputs = x = keras.Input(input_shape)
    for layer in stack:
        x = layer(x)
    if not return_sequences:
        x = layers.FiringRate(name="rate")(x)
    model = keras.Model(inputs, x, name="small")
    if weights:
        models.load_weights(model, weights)
    return model


def write_images(path, samples=44, classes=3):
    """Images that differ by class, as an `.npz`."""
    rng = np.random.default_rng(0)
    y = np.arange(samples) % classes
    x = rng.integers(0, 128, (samples, 7, 9))
    x[np.arange(samples), y] += 127
    np.savez(path, x=x.astype("uint8"), y=y)
    return path


def killing(function, count):
    """The function, at the given call of which the process dies."""
    calls = 0

    def call(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return call


def half_written(file, **arrays):
    """Writes a file, half of it before `finish` is called."""
    whole = io.BytesIO()
    np.savez(whole, **arrays)
    half = len(whole.getvalue()) // 2
    file.write(whole.getvalue()[:half])
    file.flush()
    finish(file, whole.getvalue()[half:])


def finish(file, rest):
    file.write(rest)


if __name__ == "__main__":
    options.networks["SmallNetwork"] = small_network
    place, count = os.environ["KILL_AT"].split()
    cls = progress.MoreLogs
    if place == "batch":
        cls.on_train_batch_begin = killing(cls.on_train_batch_begin, int(count))
    else:
        finish = killing(finish, int(count))
        checkpoint.savez = half_written
    sys.exit(main(sys.argv[1:]))
