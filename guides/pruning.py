"""
Title: Pruning by gradient rewiring
Description: Train MNIST with a twentieth of the connections, and run what is left.

Nineteen of twenty connections of a network can often go, without a loss of accuracy
that matters. Gradient rewiring finds out which ones while it trains: connections are
pruned, and grow again where gradients ask for them.

    python guides/pruning.py                        # downloads MNIST
    python guides/pruning.py --data mnist.npz       # x_train, y_train, x_test, y_test
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import keras_spiking
from keras_spiking.layers import DirectEncoder
from keras_spiking.layers import FiringRate
from keras_spiking.layers import LIFLayer
from keras_spiking.pruning import GradR
from keras_spiking.pruning import report

short = os.environ.get("KERAS_SPIKING_SHORT") == "1"
parser = argparse.ArgumentParser()
parser.add_argument("--data", help="npz file, in place of a download")
parser.add_argument("--epochs", type=int, default=1 if short else 20)
parser.add_argument("--units", type=int, default=20 if short else 800)
parser.add_argument("--penalty", type=float, help="of the prior of Grad R")
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

"""
## Data

The short mode, which only shows that the script runs, makes do with noise.
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
    images = images.reshape(-1, 784).astype("float32") / 255.0
    return images, keras.utils.to_categorical(labels, 10)


(x_train, y_train), (x_test, y_test) = (prepare(*part) for part in load())

"""
## Network

Two layers of neurons, as in the paper of Grad R. The images are presented at four time
steps, and the neuron that fires most often wins.
"""


def network():
    keras.utils.set_random_seed(arguments.seed)
    return keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(arguments.units, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            DirectEncoder(4),
            LIFLayer(surrogate="atan", detach_reset=True),
            keras.layers.Dense(10, use_bias=False),
            LIFLayer(surrogate="atan", detach_reset=True),
            FiringRate(),
        ]
    )


"""
## Training

An optimizer that prunes goes around another one, and nothing else changes. Each step
draws the strength of every weight towards zero, by the learning rate times `penalty`,
and further: below zero a weight is pruned. The sum over all steps decides how many are.
A good one is somewhat more than twice the largest weight at the start. Here weights
begin between -0.06 and 0.06, and a cosine schedule adds up to half of its steps.
"""

batch_size = 64
steps = arguments.epochs * -(-len(x_train) // batch_size)
schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps)
penalty = arguments.penalty
if penalty is None:
    penalty = 0.16 / (0.5 * steps * 1e-3)


def train(optimizer):
    model = network()
    model.compile(optimizer, "mse", metrics=["accuracy"])
    history = model.fit(
        x_train,
        y_train,
        batch_size=batch_size,
        epochs=arguments.epochs,
        validation_data=(x_test, y_test),
        verbose=2,
    )
    return model, 100 * np.mean(history.history["val_accuracy"][-5:])


dense, dense_accuracy = train(keras.optimizers.Adam(schedule))
sparse, accuracy = train(
    GradR(keras.optimizers.Adam(schedule), sparsity=0.95, penalty=penalty)
)
print(report(sparse))
print(
    f"{keras.config.backend()}: mean test accuracy of the last epochs {accuracy:.2f} % "
    f"with {100 * report(sparse).sparsity:.2f} % of the weights pruned, "
    f"{dense_accuracy:.2f} % with all, {len(x_train)} training images"
)

"""
## What is left

What is pruned is a weight of 0 and nothing else, so every file, export and framework
has it. Training on with `keras_spiking.pruning.KeepZeros(optimizer)` keeps it pruned.
Compiled inference walks over the connections that are there.
"""

sparse.save("sparse.keras")
loaded = keras.saving.load_model("sparse.keras")
assert report(loaded).connections == report(sparse).connections

network_in_c = keras_spiking.inference.compile(loaded, threads=1)
print(network_in_c)
same = network_in_c(x_test).argmax(-1) == loaded.predict(x_test, verbose=0).argmax(-1)
print(f"Compiled: the same class for {100 * same.mean():.2f} % of the images")
