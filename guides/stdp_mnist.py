"""
Title: Digits without labels: STDP in a layer of competing neurons
Description: One layer learns the shapes of MNIST digits by STDP alone.
"""

"""
## Introduction

Spike-timing-dependent plasticity (STDP) changes a synapse by what it can see
itself: the spikes on its two sides. In a layer whose neurons compete, each neuron
comes to stand for one shape. No label and no gradient takes part. Only
afterwards do we look which digit each neuron likes best, to read the layer out.

The network follows [Diehl and Cook,
2015](https://doi.org/10.3389/fncom.2015.00099): lateral inhibition, thresholds that
adapt, and weights that are normalised. Run it with `--data mnist10k.npz`, a file with
`x_train`, `y_train`, `x_test` and `y_test`; without, Keras downloads MNIST and the
first 10,000 digits are taken.
"""

"""
## Setup
"""

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np
from keras import ops

import keras_spiking

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
SIDE = 4 if SHORT else 16
EPOCHS = 1
BATCH = 50
TIMESTEPS = 10
keras.utils.set_random_seed(0)

parser = argparse.ArgumentParser()
parser.add_argument("--data", help="an .npz file with the digits")
arguments = parser.parse_known_args()[0]


def load_digits():
    if arguments.data:
        with np.load(arguments.data) as file:
            names = ("x_train", "y_train", "x_test", "y_test")
            return [file[name] for name in names]
    if SHORT:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        x = np.kron(x.reshape(-1, 8, 8) * (255 / 16), np.ones((3, 3)))
        x = np.pad(x, ((0, 0), (2, 2), (2, 2)))
        return x[:300], y[:300], x[300:400], y[300:400]
    (x, y), _ = keras.datasets.mnist.load_data()
    return x[:8000], y[:8000], x[8000:10000], y[8000:10000]


x_train, y_train, x_test, y_test = load_digits()
x_train, x_test = (
    x.reshape(len(x), -1).astype("float32") / 255.0 for x in (x_train, x_test)
)

"""
## Neurons that compete

In every time step only the neuron that is furthest above its threshold fires. It
takes the charge of all others away, so they start over: lateral inhibition.
Between batches, the thresholds of those that have fired more than their share rise,
and those of the others fall, so that all find something to stand for.
"""


class CompetingNeurons(keras_spiking.layers.LIFLayer):
    def __init__(self, adaptation=0.0, **kwargs):
        super().__init__(**kwargs)
        self.adaptation = adaptation

    def build(self, inputs_shape):
        super().build(inputs_shape)
        self.threshold = self.add_weight(
            name="threshold",
            shape=inputs_shape[2:],
            initializer=keras.initializers.Constant(self.v_threshold),
            trainable=False,
            autocast=False,
        )

    def step(self, x, states):
        (v,) = states
        h = self.charge(x, v)
        margin = h - ops.convert_to_tensor(self.threshold)
        winner = ops.one_hot(ops.argmax(margin, axis=-1), margin.shape[-1])
        spikes = winner * ops.cast(margin >= 0.0, h.dtype)
        somebody_fired = ops.sum(spikes, axis=-1, keepdims=True)
        return spikes, (h * (1.0 - somebody_fired),)

    def call(self, inputs, initial_state=None, mask=None):
        spikes = super().call(inputs, initial_state, mask)
        if self.adaptation:
            share = ops.mean(spikes, axis=(0, 1))
            excess = share / (ops.mean(share) + 1e-6) - 1.0
            self.threshold.assign(self.threshold + self.adaptation * excess)
        return spikes


"""
## The model

Pixels are rates of spikes, drawn again every time. The synapse is a plain `Dense`
layer.
"""

neurons = SIDE * SIDE
model = keras.Sequential(
    [
        keras.Input((x_train.shape[1],)),
        keras_spiking.layers.PoissonEncoder(TIMESTEPS, seed=1),
        keras.layers.Dense(
            neurons,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomUniform(0.0, 0.3, seed=2),
            name="synapse",
        ),
        CompetingNeurons(
            tau=10.0,
            decay_input=False,
            v_threshold=80.0,
            adaptation=2.0,
            name="neurons",
        ),
    ]
)

"""
## Learning

A spike strengthens what came in shortly before; the weaker a synapse, the more.
Since the weights of a neuron are normalised after each batch, the other synapses
grow weaker. The model has no loss: STDP is all that changes the weights.
"""


class Normalize(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        kernel = self.model.get_layer("synapse").kernel
        weights = ops.convert_to_numpy(kernel)
        kernel.assign(weights * (78.4 / weights.sum(axis=0)))


stdp = keras_spiking.callbacks.STDP(
    synapse="synapse",
    neuron="neurons",
    tau_pre=5.0,
    tau_post=5.0,
    f_pre=lambda w: 0.1 * w,
    f_post=lambda w: 1.0 - w,
    learning_rate=0.02,
    bounds=(0.0, 1.0),
)
model.compile(optimizer="sgd")
start = time.time()
model.fit(
    x_train,
    batch_size=BATCH,
    epochs=EPOCHS,
    callbacks=[
        stdp,
        Normalize(),
        keras_spiking.callbacks.FiringRateLogger("neurons"),
    ],
    verbose=2,
)

"""
## What the neurons have learned

The weights of a neuron, laid out as the image: its receptive field.
"""

weights = ops.convert_to_numpy(model.get_layer("synapse").kernel)
fields = weights.T.reshape(SIDE, SIDE, 28, 28).swapaxes(1, 2).reshape(SIDE * 28, -1)
figure, axes = plt.subplots(figsize=(7.5, 7), layout="constrained")
image = axes.imshow(fields, cmap="inferno", vmin=0.0, vmax=np.quantile(weights, 0.995))
axes.set_title(f"Receptive fields of {neurons} neurons after STDP")
axes.set_xticks([])
axes.set_yticks([])
figure.colorbar(image, label="weight", shrink=0.8)
figure.savefig("stdp_mnist.png", dpi=120)

"""
## Reading out

Each neuron is assigned the digit that it fires for most often. A new image
is the digit whose neurons fire most.
"""


model.get_layer("neurons").adaptation = 0.0  # from now on


def spike_counts(x):
    return model.predict(x, batch_size=200, verbose=0).sum(axis=1)


counts = spike_counts(x_train)
preference = np.stack([counts[y_train == digit].mean(axis=0) for digit in range(10)])
assigned = preference.argmax(axis=0)
of_digit = np.eye(10)[assigned]
votes = spike_counts(x_test) @ of_digit / np.maximum(of_digit.sum(axis=0), 1)
accuracy = float((votes.argmax(axis=1) == y_test).mean())
print(f"Accuracy of the assigned labels: {accuracy:.1%} ({time.time() - start:.0f} s)")
