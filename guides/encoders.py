"""
Title: Poisson, latency, phase: seeing encoders
Description: What three codes make of the same values, in pictures.
"""

"""
A spiking network takes spikes, most data are numbers. An encoder turns each number
into a train of spikes over time. How it does so decides how many steps a number needs,
how many spikes it costs, and how exactly it survives.

This guide encodes the same ramp of values three ways, looks at the spikes, and reads
the values back.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import keras_spiking

keras.utils.set_random_seed(0)
values = np.linspace(0.0, 1.0, 24, endpoint=False).astype("float32")
x = values[None]  # a batch of one sample with 24 features


def spikes_of(encoder):
    """One sample's spikes, (time, neurons)."""
    return keras.ops.convert_to_numpy(encoder(x))[0]


def show(name, spikes, title):
    figure = keras_spiking.visualization.plot_spikes(spikes, title=title)
    figure.savefig(name, dpi=100)


def report(code, spikes, decoded):
    error = np.abs(decoded - values).mean()
    print(
        f"{code}: {len(spikes)} steps, {spikes.sum() / len(values):.1f} spikes per "
        f"value, mean error {error:.3f}"
    )


"""
## A rate: Poisson

In every step a neuron fires with its value as probability. The raster is irregular,
denser from row to row, and the firing rates beside it approach the values slowly: the
error shrinks with the square root of the number of steps.
"""

spikes = spikes_of(keras_spiking.layers.PoissonEncoder(64, seed=1))
show("encoder_poisson.png", spikes, "Poisson code: the larger, the more often")
report("Poisson", spikes, spikes.mean(axis=0))

"""
## A time: latency

Each neuron fires once, the earlier the larger its value. The raster is a line. One
spike carries the value with a precision of one time step. The code needs a
network that looks at when spikes come: counting them shows nothing, as the equal bars
on the right show.
"""

spikes = spikes_of(keras_spiking.layers.LatencyEncoder(16))
show("encoder_latency.png", spikes, "Latency code: the larger, the earlier")
report("Latency", spikes, 1.0 - spikes.argmax(axis=0) / 15)

"""
## A number: phase

The steps of a period are the digits of a binary number, highest first: a spike in step
k is worth 2 to the power of -(k + 1). Eight steps carry a value with an error below
1/256. The first column splits the values into halves, the next into quarters, and so
on.
"""

spikes = spikes_of(keras_spiking.layers.WeightedPhaseEncoder(8))
show("encoder_phase.png", spikes, "Phase code: binary digits, highest first")
weights = 2.0 ** -np.arange(1, 9)
report("Phase", spikes, weights @ spikes)

"""
## What a neuron makes of them

A leaky neuron that sees one value of 0.75 through each code. The Poisson code drives it
all the time; the phase code repeats its two digits every eight steps, and the second
one makes the neuron fire. Of the latency code it sees a single spike: only a strong
synapse, here of weight 2, passes that on.
"""

for name, weight, encoder in (
    ("poisson", 1.0, keras_spiking.layers.PoissonEncoder(32, seed=2)),
    ("latency", 2.0, keras_spiking.layers.LatencyEncoder(32)),
    ("phase", 1.0, keras_spiking.layers.WeightedPhaseEncoder(32, bits=8)),
):
    inputs = weight * encoder(keras.ops.array([[0.75]]))
    neuron = keras_spiking.layers.LIFLayer(tau=4.0, v_threshold=0.4, name="neuron")
    monitor = keras_spiking.callbacks.StateMonitor
    v = monitor().record(neuron, inputs)["neuron"][0, :, 0]
    h = monitor(before_reset=True).record(neuron, inputs)["neuron"][0, :, 0]
    s = keras.ops.convert_to_numpy(neuron(inputs))[0, :, 0]
    figure = keras_spiking.visualization.plot_neuron(
        v,
        s,
        v_threshold=0.4,
        title=f"One neuron driven by the {name} code of 0.75",
        h=h,
    )
    figure.savefig(f"encoder_neuron_{name}.png", dpi=100)
    print(f"With the {name} code, the neuron fires {sum(s):.0f} times in 32 steps.")
