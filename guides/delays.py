"""
Title: Delays that are learned
Description: Synapses learn when their spikes arrive; delays are rounded, and exported.

Usage: python guides/delays.py

Neurons that forget within a few steps cannot compare what is further apart. A delay
for each synapse can: it lets an early spike wait for a late one.
"""

import os
import tempfile

import keras
import numpy as np

from keras_spiking import callbacks
from keras_spiking import export
from keras_spiking import layers
from keras_spiking import utils

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
SAMPLES = 200 if SHORT else 2000
EPOCHS = 4 if SHORT else 20
TIMESTEPS = 40

"""
## The task

One of two inputs fires, some time in the first steps. 20 steps later one of two others
does. Was it the other way round? This is an exclusive or: neither spike alone says
anything about the answer.
"""


def delayed_xor(samples, seed):
    random = np.random.default_rng(seed)
    first, second = random.integers(2, size=(2, samples))
    start = random.integers(6, size=samples)
    spikes = np.zeros((samples, TIMESTEPS, 4), "float32")
    spikes[np.arange(samples), start, first] = 1.0
    spikes[np.arange(samples), start + 20, 2 + second] = 1.0
    return spikes, first ^ second


x_train, y_train = delayed_xor(SAMPLES, seed=0)
x_test, y_test = delayed_xor(1000, seed=1)

"""
## The network

Its neurons lose half of their potential in each step. What differs is the layer of
weights before them: `Dense`, or `DelayedDense`, which has a delay from 0 to 30 steps
for each of its weights.
"""

weights = keras.initializers.RandomUniform(0.0, 1.0)


def network(synapses):
    model = keras.Sequential(
        [
            keras.Input((TIMESTEPS, 4)),
            synapses,
            layers.LIFLayer(2.0, decay_input=False, v_reset=None, surrogate="atan"),
            keras.layers.Dense(2),
            layers.FiringRate(),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.03),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def accuracy(model):
    return model.evaluate(x_test, y_test, verbose=0)[1]


keras.utils.set_random_seed(0)
without = network(keras.layers.Dense(16, kernel_initializer=weights))
without.fit(x_train, y_train, batch_size=50, epochs=EPOCHS, verbose=0)
print(f"without delays: accuracy {accuracy(without):.1%}")

"""
## Learning delays

In training each delay is a Gaussian over the steps. It starts with a width of 15 steps,
so that a synapse feels spikes far away, and `DelayAnnealing` narrows it to half a
step. `round_at_inference=False` lets `evaluate` use these delays as well.
"""

keras.utils.set_random_seed(0)
synapses = layers.DelayedDense(
    16, max_delay=30, kernel_initializer=weights, round_at_inference=False
)
model = network(synapses)
learned = EPOCHS * 3 // 4
annealing = callbacks.DelayAnnealing(learned, round_delays=True)
model.fit(
    x_train,
    y_train,
    batch_size=50,
    epochs=learned,
    callbacks=[annealing],
    verbose=0,
)
print(f"learned delays: accuracy {accuracy(model):.1%}")

"""
## Rounding

Hardware delays by whole steps. `round_delays` rounds the delays of a model and reports
what that changes: accuracy falls by no more than the share of decisions that change.
Here it may be large, since a neuron may count on two spikes that meet within a step.
"""

report = utils.round_delays(model, x_test)
print(report)
print(f"rounded delays: accuracy {accuracy(model):.1%}")

"""
Weights make up for it. With `round_delays=True`, `DelayAnnealing` keeps delays rounded
from its last epoch on, so that training just goes on.
"""

model.fit(
    x_train,
    y_train,
    batch_size=50,
    initial_epoch=learned,
    epochs=EPOCHS,
    callbacks=[annealing],
    verbose=0,
)
print(f"rounded, weights trained on: accuracy {accuracy(model):.1%}")
assert utils.round_delays(model, x_test).changed_decisions == 0.0
assert SHORT or accuracy(model) > 0.95 > 0.6 > accuracy(without)

"""
## What was learned

Spikes that are 20 steps apart have to arrive together: in a neuron that sees a pair of
inputs, the delay of the early one is 20 steps longer than that of the late one.
"""

delay = keras.ops.convert_to_numpy(synapses.delay)
weight = keras.ops.convert_to_numpy(synapses.kernel)
strongest = np.abs(weight).min(axis=0).argsort()[-4:]
for neuron in strongest:
    print(f"neuron {neuron}: delays {delay[:, neuron].astype(int)} of the four inputs")

"""
## Export

NIR has delays of neurons, not of synapses: the layer becomes a `Delay` and a `Linear`
for each delay that occurs. It has no soft reset either: `approximate=True` writes
neurons with a hard one, and notes the exact layer for `from_nir`.
"""

core = keras.Sequential([keras.Input((TIMESTEPS, 4)), *model.layers[:-1]])
try:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "delays.nir")
        export.to_nir(core, path, approximate=True)
        again = export.from_nir(path)
    difference = again.predict(x_test, verbose=0) - core.predict(x_test, verbose=0)
    print(f"read back from NIR: outputs differ by {np.abs(difference).max():.1g}")
except ImportError as error:
    print(error)
