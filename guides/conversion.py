"""
Title: From a trained ANN to a spiking network
Description: Train a small CNN, convert it, and see how accuracy, spikes and energy
    depend on the number of time steps.

Usage:

    KERAS_BACKEND=jax python guides/conversion.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from keras_spiking import conversion

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
keras.utils.set_random_seed(0)

"""
## Train a network with ReLU

Nothing about it is special: convolutions, batch normalisation, ReLU, pooling. The
data are the 8x8 digits that come with scikit-learn.
"""

digits = load_digits()
x = (digits.images[..., None] / 16).astype("float32")
y = digits.target
x_train, y_train, x_test, y_test = x[:1400], y[:1400], x[1400:], y[1400:]


def network(activation):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            activation(),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            activation(),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3),
            layers.BatchNormalization(momentum=0.9),
            activation(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def train(model):
    model.compile(
        keras.optimizers.Adam(3e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x_train, y_train, epochs=2 if SHORT else 20, batch_size=64, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]


ann = network(layers.ReLU)
ann_accuracy = train(ann)
print(f"ANN accuracy: {100 * ann_accuracy:.2f} %")

"""
## Convert it

`convert` folds the normalisations into the weights, measures the activations on some
training data to choose thresholds, and replaces the ReLUs with integrate-and-fire
neurons. The result is a Keras model with the same inputs and outputs.
"""

timesteps = 16 if SHORT else 64
snn = conversion.convert(ann, x_train[:500], timesteps, channel_wise=True)
snn.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
snn_accuracy = snn.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
print(f"SNN accuracy: {100 * snn_accuracy:.2f} % after {timesteps} time steps")

"""
## Accuracy over time

A spiking network answers at any time, and the answer becomes better: the error of a
firing rate falls like `1 / timesteps`. `simulate` returns the outputs after every
step. Neurons that can take spikes back, and neurons that may fire several times in a
step, need fewer steps; so does an ANN that was trained with the quantised activation
`QCFS`: after as many steps as it has levels, its outputs equal those of its ANN but for
rounding, and its error leaves the picture. More steps do not improve it.
"""

curves = {
    "integrate-and-fire": snn,
    "signed": conversion.convert(
        ann, x_train[:500], timesteps, channel_wise=True, neuron="signed"
    ),
    "bursts": conversion.convert(
        ann, x_train[:500], timesteps, channel_wise=True, neuron="burst"
    ),
}
quantised = network(lambda: conversion.QCFS(levels=8))
quantised_accuracy = train(quantised)
curves["QCFS, 8 levels"] = conversion.convert(quantised, x_train[:500], timesteps)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
steps = np.arange(1, timesteps + 1)
for name, model in curves.items():
    outputs = conversion.simulate(model, x_test, timesteps, batch_size=100)
    correct = np.mean(np.argmax(outputs, axis=-1) == y_test[:, None], axis=0)
    reference = quantised if name.startswith("QCFS") else ann
    expected = reference.predict(x_test, verbose=0)[:, None]
    error = np.sqrt(np.mean((outputs - expected) ** 2, axis=(0, 2)))
    left.plot(steps, 100 * correct, label=name)
    right.loglog(steps, error, label=name)
    after = {t: f"{100 * correct[t - 1]:.1f} %" for t in (4, 8, 16)}
    print(f"{name:20}", after)

left.axhline(100 * ann_accuracy, color="black", linestyle=":", label="ANN")
left.set(xlabel="time step", ylabel="test accuracy (%)", xscale="log")
left.legend()
right.loglog(steps, error[0] / steps, color="black", linestyle=":", label="1 / T")
right.set(xlabel="time step", ylabel="RMS error of the probabilities", ylim=(1e-3, 1))
right.legend()
figure.savefig("conversion.png", dpi=120)

"""
## What it costs

The report shows for every layer the threshold, the firing rate, and the error of the
rates. An ANN multiplies and accumulates; a spike only causes an accumulation, which
takes less energy. Whether the SNN wins depends on the number of spikes, and so on the
number of steps: run it only as long as the accuracy requires. The energy of an
operation is an argument.
"""

snn.timesteps = 8
print(conversion.report(snn, ann, x_test[:100]))
