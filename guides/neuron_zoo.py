"""
Title: The neuron zoo
Description: Firing patterns of neurons with adaptation and resonance.

One equation, many personalities: a handful of parameters determines how a neuron
responds to a constant current. This guide draws four of them.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import matplotlib
import numpy as np
from keras import ops

import keras_spiking

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"

"""
## Izhikevich's neurons

Izhikevich (2003) gives his model in millivolts and milliseconds:

    dv/dt = 0.04 v^2 + 5 v + 140 - u + I,    spike at 30 mV: v = c, u += d
    du/dt = a (b v - u)

The square has its roots at -82.66 and -42.34 mV: these are `v_rest` and `v_c` of
an `IzhikevichLayer`, whose adaptation is `W = u - b v_rest`, so that the current
is `I - b v_rest`. With steps of `DT` milliseconds, `tau = 1 / DT` and
`tau_w = 1 / (a DT)`; the layer's `a` and `b` are his `b` and `d`.
"""

DT = 0.1
STEPS = 1_000 if SHORT else 3_000
V_REST, V_C, V_START = -82.656, -42.344, -70.0


def izhikevich(a, b, c, d):
    return keras_spiking.layers.IzhikevichLayer(
        tau=1 / DT,
        a0=0.04,
        v_rest=V_REST,
        v_c=V_C,
        v_threshold=30.0,
        v_reset=c,
        w_rest=b * (V_START - V_REST),
        tau_w=1 / (a * DT),
        a=b,
        b=d,
    )


"""
The published sets of parameters, each with a constant current of 10 from 20 ms on.
"""

NEURONS = {
    "adapting (regular spiking)": izhikevich(a=0.02, b=0.2, c=-65, d=8),
    "bursting (intrinsically bursting)": izhikevich(a=0.02, b=0.2, c=-55, d=4),
    "chattering": izhikevich(a=0.02, b=0.2, c=-50, d=2),
}


def trace(layer, x, v_start):
    """Membrane potentials and spikes of one neuron, step by step in one loop."""

    def step(x, states):
        spikes, states = layer.step(x, states)
        return (states[0], spikes), states

    x = ops.reshape(ops.convert_to_tensor(x, "float32"), (1, -1, 1))
    v, w = layer.get_initial_state(x[:, 0])
    states = (ops.full_like(v, v_start), w)
    (v, spikes), _ = keras_spiking.ops.time_loop(step, x, states)
    return (ops.convert_to_numpy(y).ravel() for y in (v, spikes))


def draw(axis, time, v, spikes, peak, title):
    v = np.where(spikes > 0, peak, v)
    axis.plot(time, v, linewidth=0.8)
    axis.set_title(title, loc="left", fontsize=10)


def main():
    figure, axes = plt.subplots(4, 1, figsize=(9, 9), layout="constrained")
    time = np.arange(STEPS) * DT
    for axis, (name, layer) in zip(axes, NEURONS.items()):
        x = np.where(time < 20, 0.0, 10.0) - layer.a * V_REST
        v, spikes = trace(layer, x, V_START)
        intervals = np.diff(time[spikes > 0])
        print(f"{name}: {int(spikes.sum())} spikes, intervals {intervals[:8].round(1)}")
        draw(axis, time, v, spikes, float(layer.v_threshold), name)
        axis.set_ylabel("v (mV)")
    axes[2].set_xlabel("time (ms)")

    # A neuron that resonates responds to pulses one period apart.
    layer = keras_spiking.layers.ResonateAndFireLayer(period=20, tau=25, v_reset=0.0)
    x = np.zeros(300)
    x[[20, 30, 120, 140, 220, 250]] = 1.0
    v, spikes = trace(layer, x, 0.0)
    title = "resonating: pulses half a period, one period, one and a half apart"
    draw(axes[3], np.arange(300), v, spikes, 1.0, title)
    axes[3].vlines(np.flatnonzero(x), -1.2, -1.0, color="tab:red", label="pulses")
    axes[3].legend(loc="upper right")
    axes[3].set_xlabel("time step (period: 20 steps)")
    axes[3].set_ylabel("v")
    print(f"resonating: spikes at {np.flatnonzero(spikes)}")
    figure.savefig("neuron_zoo.png", dpi=120)


if __name__ == "__main__":
    main()
