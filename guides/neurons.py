"""
Title: Neurons
Description: What spiking layers compute, how to write your own, how to learn tau.
"""

"""
## Setup
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import ops

import keras_spiking

short = os.environ.get("KERAS_SPIKING_SHORT") == "1"
keras.utils.set_random_seed(0)

"""
## A neuron over time

A spiking layer takes currents `(batch, time, ...)` and returns spikes of the same
shape: 0 or 1. In every time step a neuron charges, fires and resets.

    H[t] = charge(X[t], V[t-1])
    S[t] = heaviside(H[t] - v_threshold)
    V[t] = H[t] (1 - S[t]) + v_reset S[t]

An integrate-and-fire neuron adds up its input. With 0.4 in every step, it reaches the
threshold of 1 in every third one.
"""


def show(title, spikes):
    steps = ops.convert_to_numpy(spikes)[0, :, 0]
    print(f"{title:<34}", " ".join(str(int(s)) for s in steps))


current = 0.4 * ops.ones((1, 12, 1))
show("IF", keras_spiking.layers.IFLayer()(current))

"""
A leaky neuron forgets with the time constant `tau`: 0.4 is too little to ever fire,
1.2 is enough.
"""

leaky = keras_spiking.layers.LIFLayer(tau=2.0)
show("LIF", leaky(current))
show("LIF, three times the current", leaky(3 * current))

"""
The hard reset, to `v_reset=0.0`, discards what exceeds the threshold. The soft one,
`v_reset=None`, subtracts the threshold and so keeps it: the neuron fires at a rate of
0.4.
"""

show("IF, soft reset", keras_spiking.layers.IFLayer(v_reset=None)(current))

"""
## State

Every call starts from a fresh state, so there is nothing to reset between batches. A
layer returns its final states if you ask for them, and starts from states of your own:
two halves of a sequence, one after the other, give what the whole sequence gives.
"""

neurons = keras_spiking.layers.IFLayer(return_state=True)
first, state = neurons(current[:, :6])
second, state = neurons(current[:, 6:], initial_state=state)
show("IF, in two halves", ops.concatenate([first, second], axis=1))

"""
The same, one time step at a time: `step` is a function of the input of one step and of
the states.
"""

x = current[:, 0]
states = neurons.get_initial_state(x)
spikes = []
for _ in range(12):
    spike, states = neurons.step(x, states)
    spikes.append(spike)
show("IF, step by step", ops.stack(spikes, axis=1))

"""
## A neuron of your own

Override `charge`. Everything else is there: gradients through the spikes, resets,
masks, precision, state, saving.
"""


@keras.saving.register_keras_serializable("my_project")
class SquareIF(keras_spiking.layers.SpikingLayer):
    """Adds up the square of its input."""

    def charge(self, x, v):
        return v + ops.square(x)


show("SquareIF", SquareIF()(current))

"""
A neuron with parameters declares them. They are checked, saved and, if you like,
learned. One with more states than the membrane potential names them and overrides
`step`. In this one, every spike raises the threshold for a while.
"""


@keras.saving.register_keras_serializable("my_project")
class AdaptiveIF(keras_spiking.layers.SpikingLayer):
    """Integrate-and-fire neurons that tire: spikes raise the threshold."""

    state_names = ("v", "adaptation")
    tau_adaptation = keras_spiking.layers.Parameter(minimum=1.0)

    def __init__(self, tau_adaptation=8.0, **kwargs):
        super().__init__(**kwargs)
        self.tau_adaptation = tau_adaptation

    def step(self, x, states):
        v, adaptation = states
        h = v + x
        spikes = self.fire(h - adaptation)
        adaptation = adaptation - adaptation / self.tau_adaptation + 0.3 * spikes
        return spikes, (self.reset(h, spikes), adaptation)


show("AdaptiveIF", AdaptiveIF()(current))

"""
## Surrogate gradients

The derivative of a step is zero almost everywhere, so nothing could be learned. In the
backward pass a smooth function takes its place: choose one by its name, with arguments
of its own, or pass a function that computes the derivative.
"""


@keras.saving.register_keras_serializable("my_project")
def triangle(x):
    return ops.relu(1.0 - ops.abs(x))


surrogates = {
    "arctangent": "atan",
    "sigmoid": keras_spiking.surrogates.Sigmoid(alpha=8.0),
    "triangle": triangle,
}
for name, surrogate in surrogates.items():
    neurons = keras_spiking.layers.LIFLayer(surrogate=surrogate)
    slope = neurons.surrogate.derivative(ops.convert_to_tensor([-0.5, 0.0, 0.5]))
    print(f"slope at -0.5, 0, 0.5: {name:<11}", ops.convert_to_numpy(slope))

"""
## Learning tau

`learnable` names the parameters that `fit` trains, and how they are shared: one value
for the `"layer"`, for each `"channel"`, or for each `"neuron"`. They stay within their
valid range.

Here, a neuron that starts with a time constant of 2 learns to imitate one of 6.
"""

steps = 20
generator = np.random.default_rng(0)
currents = generator.uniform(0.0, 3.0, (256, steps, 1)).astype("float32")
target = keras_spiking.layers.LIFLayer(tau=6.0)(ops.convert_to_tensor(currents))

student = keras_spiking.layers.LIFLayer(
    tau=2.0, learnable={"tau": "layer"}, surrogate="atan"
)
model = keras.Sequential([keras.Input((steps, 1)), student])
model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
model.fit(
    currents,
    ops.convert_to_numpy(target),
    batch_size=32,
    epochs=2 if short else 20,
    verbose=0,
)
print(f"tau, learned: {ops.convert_to_numpy(student.tau):.2f}")
