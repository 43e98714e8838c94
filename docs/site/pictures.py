"""Draws the pictures of `docs/concepts.md` and `docs/gallery.md` into `docs/pictures/`.

KERAS_BACKEND=numpy python docs/site/pictures.py
"""

import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "numpy")

import keras
import numpy as np

import keras_spiking
from keras_spiking.visualization import plot_neuron
from keras_spiking.visualization import plot_spikes
from keras_spiking.visualization.figure import BLUE
from keras_spiking.visualization.figure import GREEN
from keras_spiking.visualization.figure import GREY
from keras_spiking.visualization.figure import ORANGE
from keras_spiking.visualization.figure import new_figure

FOLDER = pathlib.Path(__file__).parents[1] / "pictures"


def save(figure, name):
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=110, metadata={"Software": None})


def response(neurons, current, before_reset=True):
    """Potential, before the reset or after it, and spikes of one neuron."""
    monitor = keras_spiking.callbacks.StateMonitor(before_reset=before_reset)
    inputs = keras.ops.convert_to_tensor(current[None, :, None])
    v = monitor.record(neurons, inputs)[neurons.name][0, :, 0]
    return v, keras.ops.convert_to_numpy(neurons(inputs))[0, :, 0]


def neuron(current):
    lif = keras_spiking.layers.LIFLayer(tau=5.0, name="lif")
    title = "A leaky integrate-and-fire neuron"
    h, spikes = response(lif, current)
    v, _ = response(lif, current, before_reset=False)
    save(plot_neuron(v, spikes, h=h, title=title, figsize=(8, 3.6)), "neuron")


def three_neurons(current):
    """The same current through neurons that forget and reset differently."""
    figure = new_figure((8, 4.8))
    layers = keras_spiking.layers
    neurons = {
        "IF: forgets nothing": layers.IFLayer(name="if"),
        "LIF: leaks": layers.LIFLayer(tau=5.0, decay_input=False, name="lif"),
        "LIF, soft reset: keeps the rest": layers.LIFLayer(
            tau=5.0, decay_input=False, v_reset=None, name="soft"
        ),
    }
    current = current / 4
    for axis, (title, layer) in zip(
        figure.subplots(len(neurons), sharex=True, sharey=True), neurons.items()
    ):
        v, spikes = response(layer, current)
        axis.plot(v, color=BLUE)
        axis.axhline(1.0, color=ORANGE, linestyle="--", linewidth=1)
        axis.vlines(np.flatnonzero(spikes), 1.5, 1.8, color=BLUE)
        axis.set_title(f"{title} ({int(spikes.sum())} spikes)", loc="left", fontsize=10)
        axis.grid(color=GREY, alpha=0.3)
    axis.set(xlabel="Time (steps)", xlim=(-0.5, len(current) - 0.5))
    figure.supylabel("Membrane potential before the reset", fontsize=10)
    save(figure, "three_neurons")


def codes():
    layers, x = keras_spiking.layers, np.linspace(0, 1, 16, endpoint=False)[None]
    encoders = {
        "rate": (
            "Poisson: the larger, the more often",
            layers.PoissonEncoder(24, seed=1),
        ),
        "latency": ("Latency: the larger, the earlier", layers.LatencyEncoder(24)),
        "phase": (
            "Phase: binary digits, repeated",
            layers.WeightedPhaseEncoder(24, bits=8),
        ),
    }
    for name, (title, encoder) in encoders.items():
        spikes = keras.ops.convert_to_numpy(encoder(x.astype("float32")))[0]
        save(plot_spikes(spikes, title=title, figsize=(8, 3)), f"code_{name}")


def surrogate():
    x = np.linspace(-2, 2, 401).astype("float32")
    figure = new_figure((8, 3))
    forward, backward = figure.subplots(1, 2, sharex=True)
    forward.plot(x, x >= 0, color=GREY)
    forward.set_title("Forward: a spike or none", fontsize=10)
    colours = {"atan": BLUE, "sigmoid": ORANGE, "rect": GREEN}
    for name, colour in colours.items():
        slope = keras_spiking.surrogates.get(name).derivative(
            keras.ops.convert_to_tensor(x)
        )
        backward.plot(x, keras.ops.convert_to_numpy(slope), color=colour, label=name)
    backward.set_title("Backward: the slope of a surrogate", fontsize=10)
    backward.legend()
    for axis in (forward, backward):
        axis.set(xlabel="Membrane potential - threshold")
        axis.grid(color=GREY, alpha=0.3)
    save(figure, "surrogates")


def containers():
    """What is computed in which order: steps to the right, layers upwards."""
    figure = new_figure((8, 2.8))
    left, right = figure.subplots(1, 2, sharey=True)
    names = ["Conv2D", "LIF", "Dense", "LIF"]
    for axis, title in (
        (left, "SeqToBatch: layer by layer"),
        (right, "StepByStep: step by step"),
    ):
        for layer in range(4):
            for step in range(6):
                order = layer if axis is left else step
                last = 3 if axis is left else 5
                axis.add_patch(_box(step, layer, order / last))
                axis.text(
                    step, layer, str(order + 1), ha="center", va="center", fontsize=9
                )
        axis.set(xlim=(-0.6, 5.6), ylim=(-0.6, 3.6), xlabel="Time (steps)")
        axis.set_xticks(range(6))
        axis.set_yticks(range(4), names)
        axis.set_title(title, fontsize=10)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    save(figure, "containers")


def energies():
    x = keras.random.uniform((8, 10, 40), seed=0)
    model = keras.Sequential(
        [
            keras.Input((10, 40)),
            keras.layers.Dense(64, name="dense_1"),
            keras_spiking.layers.LIFLayer(),
            keras.layers.Dense(32, name="dense_2"),
            keras_spiking.layers.LIFLayer(),
            keras.layers.Dense(10, name="readout"),
        ]
    )
    keras_spiking.calibrate(model, x)
    report = keras_spiking.energy.report(model, x)
    save(report.plot(figsize=(9, 3.6)), "energy")


def _box(x, y, lightness):
    from matplotlib.patches import Rectangle

    return Rectangle(
        (x - 0.45, y - 0.4),
        0.9,
        0.8,
        color=BLUE,
        alpha=0.15 + 0.45 * lightness,
        linewidth=0,
    )


def main():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(4)
    current = np.repeat(rng.uniform(0.2, 2.6, 12), 5).astype("float32")
    neuron(current)
    three_neurons(current)
    codes()
    surrogate()
    containers()
    energies()


if __name__ == "__main__":
    main()
