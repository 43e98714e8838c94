"""
Title: Write your own neuron
Description: From three lines of equations to a fused kernel, and how to check it.
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
batch, timesteps, features = (4, 8, 16) if short else (32, 64, 1024)
x = np.random.default_rng(0).uniform(0.0, 1.2, (batch, timesteps, features))
x = ops.convert_to_tensor(x.astype("float32"))

"""
## Three lines

A neuron is one equation: the membrane potential `H[t]` that the input `X[t]` and the
last membrane potential `V[t-1]` give. Firing, reset, gradients, masks and state are
there already.
"""


@keras.saving.register_keras_serializable("own_neuron")
class SquareIF(keras_spiking.layers.SpikingLayer):
    def charge(self, x, v):
        return v + ops.square(x)


square = SquareIF(surrogate="atan")
print("SquareIF fires at a rate of", f"{float(ops.mean(square(x))):.2f}")

"""
`explain` shows what runs it. On JAX, PyTorch and TensorFlow that is a kernel generated
from the equation, if there is a C compiler; `docs/kernels.md` describes how.
"""

print(keras_spiking.backends.explain(square))

"""
## Parameters

A `Parameter` is a number or an array that broadcasts over the features. It is checked
against its range, saved with the layer, and a weight if `learnable` names it. Declare
arrays as parameters, so that a kernel knows of them. An argument after `*` can only be
given by its name.
"""


@keras.saving.register_keras_serializable("own_neuron")
class QuadraticIF(keras_spiking.layers.SpikingLayer):
    """Inputs push the membrane potential away from a critical value."""

    tau = keras_spiking.layers.Parameter(minimum=1.0)
    v_critical = keras_spiking.layers.Parameter()

    def __init__(self, tau=4.0, *, v_critical=0.5, **kwargs):
        super().__init__(**kwargs)
        self.tau = tau
        self.v_critical = v_critical

    def charge(self, x, v):
        return v + (x + v * (v - self.v_critical)) / self.tau


"""
## More states

For a second state, name the states and override `step`, which may call `charge`,
`fire` and `reset`. States other than the membrane potential start at 0; where they do
not, override `get_initial_state`. Here every spike raises the threshold, for as long as
the learned time constant says.
"""


@keras.saving.register_keras_serializable("own_neuron")
class AdaptiveLIF(keras_spiking.layers.SpikingLayer):
    """Leaky neurons whose threshold rises with each spike and decays."""

    state_names = ("v", "rise")
    tau = keras_spiking.layers.Parameter(minimum=1.0)
    tau_threshold = keras_spiking.layers.Parameter(minimum=1.0)

    def __init__(self, tau=2.0, *, tau_threshold=10.0, **kwargs):
        super().__init__(**kwargs)
        self.tau = tau
        self.tau_threshold = tau_threshold

    def step(self, x, states):
        v, rise = states
        h = v + (x - v) / self.tau
        spikes = self.fire(h - rise)
        rise = rise - rise / self.tau_threshold + 0.2 * spikes
        return spikes, (self.reset(h, spikes), rise)


neurons = [
    QuadraticIF(v_critical=np.linspace(0.2, 0.5, features), surrogate="atan"),
    AdaptiveLIF(learnable={"tau_threshold": "channel"}, surrogate="atan"),
]
model = keras.Sequential(
    [
        keras.Input((timesteps, features)),
        square,
        *neurons,
        keras.layers.GlobalAveragePooling1D("channels_last"),
        keras.layers.Dense(1),
    ]
)
print(keras_spiking.backends.explain(model))

"""
## Is it the same?

The reference runs your equations as they stand, in a loop over time. It is always
there: `set_fused("never")`. A spike may differ where a membrane potential is within
rounding of the threshold, so compare a few neurons with little input first, or look at
how many spikes agree.
"""


def run(layer, mode):
    keras_spiking.config.set_fused(mode)
    spikes = ops.convert_to_numpy(layer(x))
    keras_spiking.config.set_fused("auto")
    return spikes


for layer in (square, *neurons):
    same = np.mean(run(layer, "auto") == run(layer, "never"))
    print(f"{type(layer).__name__:<12} {same:.4%} of the spikes agree")
    assert same > 0.999

"""
The same for training: two models from the same weights, one on kernels, one on the
reference.
"""

start = model.get_weights()
target = np.random.default_rng(1).normal(size=(batch, 1)).astype("float32")
losses = {}
for mode in ("auto", "never"):
    keras_spiking.config.set_fused(mode)
    model.set_weights(start)
    # Compiling forgets the function that was traced in the other mode.
    model.compile("sgd", "mse")
    history = model.fit(x, target, batch_size=batch, epochs=3, verbose=0)
    losses[mode] = history.history["loss"]
    print(f"{mode:<6} losses", np.round(losses[mode], 4))
keras_spiking.config.set_fused("auto")
np.testing.assert_allclose(losses["auto"], losses["never"], rtol=1e-2)

"""
## What cannot be a kernel

A kernel is one neuron's equations, so it cannot take a neuron that looks at others. In
this one, the layer's mean activity inhibits everyone. It trains all the same, on the
reference, and `explain` names what is in the way.
"""


@keras.saving.register_keras_serializable("own_neuron")
class InhibitedIF(keras_spiking.layers.SpikingLayer):
    def charge(self, x, v):
        return v + x - 0.5 * ops.mean(v, axis=-1, keepdims=True)


inhibited = InhibitedIF(surrogate="atan")
print("InhibitedIF fires at a rate of", f"{float(ops.mean(inhibited(x))):.2f}")
print(keras_spiking.backends.explain(inhibited))

"""
To be sure that nothing in a model runs on the reference, ask for kernels: then this is
an error that says the same.
"""

keras_spiking.config.set_fused("always")
try:
    inhibited(x)
except RuntimeError as error:
    print(error)
keras_spiking.config.set_fused("auto")
