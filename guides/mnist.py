"""
Title: MNIST with one spiking layer
Description: Poisson spikes, one layer of weights, and ten neurons.

The smallest network that reads MNIST, and the one that other frameworks for
spiking neural networks show first: it makes them comparable.

    python guides/mnist.py                        # downloads MNIST
    python guides/mnist.py --data mnist.npz       # x_train, y_train, x_test, y_test
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from keras_spiking.layers import FiringRate
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import PoissonEncoder

short = os.environ.get("KERAS_SPIKING_SHORT") == "1"
parser = argparse.ArgumentParser()
parser.add_argument("--data", help="npz file, in place of a download")
parser.add_argument("--timesteps", type=int, default=2 if short else 100)
parser.add_argument("--epochs", type=int, default=1 if short else 20)
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()
keras.utils.set_random_seed(arguments.seed)

"""
## Data

Images become probabilities of spikes, so they must lie between 0 and 1. The short
mode, which only shows that the script runs, makes do with noise.
"""


def load():
    if arguments.data:
        with np.load(arguments.data) as data:
            names = ("x_train", "y_train", "x_test", "y_test")
            x_train, y_train, x_test, y_test = (data[name] for name in names)
            return (x_train, y_train), (x_test, y_test)
    if short:
        images = np.random.default_rng(0).integers(0, 256, (64, 28, 28), "uint8")
        return ((images, np.arange(64) % 10),) * 2
    return keras.datasets.mnist.load_data()


def prepare(images, labels):
    return images.astype("float32") / 255.0, keras.utils.to_categorical(labels, 10)


(x_train, y_train), (x_test, y_test) = (prepare(*part) for part in load())

"""
## Model

A layer such as `Dense`, which works on the last axis, needs no container. The mean
squared error between firing rates and one-hot labels asks the right neuron to fire
at every step, and the others never to.
"""

model = keras.Sequential(
    [
        keras.Input((28, 28)),
        keras.layers.Flatten(),
        PoissonEncoder(arguments.timesteps),
        keras.layers.Dense(10, use_bias=False),
        LIFLayer(tau=2.0, surrogate="atan"),
        FiringRate(),
    ]
)
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse", metrics=["accuracy"])
history = model.fit(
    x_train,
    y_train,
    batch_size=64,
    epochs=arguments.epochs,
    validation_data=(x_test, y_test),
    verbose=2,
)

"""
## Accuracy

Spikes are random, also in the test: the mean over the last epochs says more than
the last one alone.
"""

last = history.history["val_accuracy"][-5:]
print(
    f"{keras.config.backend()}: mean test accuracy of the last {len(last)} epochs "
    f"{np.mean(last):.2%}, T = {arguments.timesteps}, {len(x_train)} training and "
    f"{len(x_test)} test images"
)
