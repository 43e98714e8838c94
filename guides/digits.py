"""
Title: Reading handwritten digits with spikes
Description: Train a spiking convolutional network with `model.fit`, and look inside.

Runs in about a minute on a laptop: `make demo`, or `python guides/digits.py`.
"""

"""
## Setup

Keras reads the name of its backend from the environment. Any of them will do.
"""

import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_spiking.layers import FiringRate
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import PoissonEncoder
from keras_spiking.layers import SeqToBatch

matplotlib.use("Agg")
import matplotlib.pyplot as plt

backend = keras.config.backend()
short = os.environ.get("KERAS_SPIKING_SHORT") == "1"
timesteps = 4 if short else 16
epochs = 1 if short else 8
keras.utils.set_random_seed(0)

"""
## Data

scikit-learn ships 1,797 images of handwritten digits, 8 x 8 pixels each. A fifth
of them is kept for the test.
"""

digits = load_digits()
images = (digits.images / 16.0).astype("float32")[..., np.newaxis]
x_train, x_test, y_train, y_test = train_test_split(
    images, digits.target, test_size=0.2, stratify=digits.target, random_state=0
)

"""
## The network

`PoissonEncoder` adds the time axis: at every step a pixel spikes with its
brightness as the probability. Ordinary Keras layers come inside of `SeqToBatch`,
which applies them to all time steps at once. Leaky integrate-and-fire neurons take
the place of activation functions, and the class whose output neuron fires most
often wins.
"""


def neurons(name):
    return LIFLayer(tau=2.0, surrogate="atan", detach_reset=True, name=name)


def convolution(filters):
    convolution = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
    return SeqToBatch([convolution, keras.layers.BatchNormalization(momentum=0.9)])


model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        PoissonEncoder(timesteps, name="input_spikes"),
        convolution(16),
        neurons("spikes_1"),
        SeqToBatch(keras.layers.MaxPooling2D()),
        convolution(32),
        neurons("spikes_2"),
        SeqToBatch([keras.layers.Flatten(), keras.layers.Dense(10)]),
        neurons("output_spikes"),
        FiringRate(),
    ],
    name="digits",
)
model.summary()

"""
## Training

Nothing about it is special. The firing rates are to come close to the one-hot
labels.
"""

model.compile(
    optimizer=keras.optimizers.Adam(5e-3),
    loss="mse",
    metrics=["accuracy"],
)
started = time.perf_counter()
model.fit(
    x_train, keras.utils.to_categorical(y_train, 10), batch_size=64, epochs=epochs
)
seconds = time.perf_counter() - started
_, accuracy = model.evaluate(x_test, keras.utils.to_categorical(y_test, 10), verbose=0)

"""
## What the neurons do

A second model with the same layers returns their spikes, too.
"""

spiking = [layer for layer in model.layers if "spikes" in layer.name]
inside = keras.Model(
    model.inputs, [layer.output for layer in spiking] + [spiking[-1].input]
)
*spikes, currents = inside.predict(x_test, verbose=0)

print(f"\nBackend:        {backend}")
print(f"Test accuracy:  {accuracy:.1%} of {len(x_test)} images")
print(f"Training time:  {seconds:.0f} s for {epochs} epochs")
print("Firing rates, in spikes per neuron and time step:")
for layer, layer_spikes in zip(spiking, spikes):
    print(f"  {layer.name:<14}{np.mean(layer_spikes):.3f}")

"""
Neurons can be run step by step as well: `step` takes the input of one time step
and the state that the last step left. So we see the membrane potentials of the
output neurons for one image.
"""

sample = 0
output = model.get_layer("output_spikes")
states = output.get_initial_state(currents[[sample], 0])
potentials = []
for t in range(timesteps):
    current = keras.ops.convert_to_tensor(currents[[sample], t])
    before_reset = output.charge(current, *states)
    _, states = output.step(current, states)
    potentials += [before_reset[0], states[0][0]]
potentials = keras.ops.convert_to_numpy(keras.ops.stack(potentials))

"""
## A picture of it
"""

figure, (top, middle, bottom) = plt.subplots(
    3, 1, figsize=(9, 10), sharex=True, height_ratios=[3, 2, 3], layout="constrained"
)
label = y_test[sample]
figure.suptitle(
    f"A handwritten {label}, in spikes ({backend}, test accuracy {accuracy:.1%})"
)


def raster(axes, spikes, color):
    axes.eventplot([np.flatnonzero(train) for train in spikes.T], colors=color)
    axes.set_ylim(spikes.shape[1] - 0.5, -0.5)


raster(top, spikes[0][sample].reshape(timesteps, -1), "black")
top.set(title="Input spikes", ylabel="pixel, row by row")
image = top.inset_axes([1.02, 0.6, 0.2, 0.4])
image.imshow(x_test[sample, ..., 0], cmap="gray_r")
image.set(title="Image", xticks=[], yticks=[])

raster(middle, spikes[-1][sample], "tab:red")
middle.set(title="Output spikes", ylabel="class", yticks=range(10))

steps = np.repeat(np.arange(timesteps), 2)
others = np.arange(10) != label
bottom.plot(steps, potentials[:, others], color="silver")
bottom.plot([], color="silver", label="the others")
bottom.plot(steps, potentials[:, label], color="tab:red", label=f"class {label}")
bottom.axhline(output.v_threshold, color="black", linestyle="--", label="threshold")
bottom.set(
    title="Membrane potentials of the output neurons, before and after the reset",
    xlabel="time step",
    ylabel="membrane potential",
)
bottom.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

path = f"digits_{backend}.png"
figure.savefig(path, dpi=120)
print(f"Picture:        {path}")
