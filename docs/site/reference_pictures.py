"""Draws a picture of each neuron, encoder, surrogate and plot, for the reference.

    KERAS_BACKEND=numpy python docs/site/reference_pictures.py [names]

Each is `docs/pictures/reference/MODULE.NAME.png`.
"""

import inspect
import io
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "numpy")

import keras
import numpy as np
from PIL import Image

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking import surrogates
from keras_spiking import visualization
from keras_spiking.visualization.figure import BLUE
from keras_spiking.visualization.figure import GREY
from keras_spiking.visualization.figure import ORANGE
from keras_spiking.visualization.figure import integer_ticks
from keras_spiking.visualization.figure import new_figure

FOLDER = pathlib.Path(__file__).parents[1] / "pictures" / "reference"

# Arguments of those that cannot be made without, or that show more with them.
FEW_SPIKES = {"theta": [2.0, 1.0, 0.5, 0.25], "d": [2.0, 1.0, 0.5, 0.25]}
FEW_SPIKES["h"] = FEW_SPIKES["theta"]
ARGUMENTS = {
    "FewSpikeLayer": FEW_SPIKES,
    "HierarchicallyGatedLayer": {
        **{name: [values, values] for name, values in FEW_SPIKES.items()},
        "gate_thresholds": [2.0],
    },
    "ILCCubaLayer": {"population": 2},
    "ILCIFLayer": {"population": 2},
    "ILCLIFLayer": {"population": 2},
    "NoisyILCCubaLayer": {"population": 2},
    "MaskedPSN": {"k": 8},
    "SlidingPSN": {"k": 8},
}

# The strength of the current, where it is not that which suits a LIF neuron.
CURRENTS = {
    "CSiLIFLayer": 0.6,
    "ComplementaryLIFLayer": 0.5,
    "ConductanceLIFLayer": 0.5,
    "CubaLIFLayer": 0.12,
    "CubaLayer": 0.55,
    "DSRIFLayer": 0.3,
    "GatedLIFLayer": 0.6,
    "HodgkinHuxleyLayer": 9.0,
    "IFLayer": 0.2,
    "ILCCubaLayer": 0.55,
    "ILCIFLayer": 0.3,
    "ILCLIFLayer": 0.8,
    "LeakyLayer": 0.4,
    "MembraneBatchNormalizationLIFLayer": 0.8,
    "MorrisLecarLayer": 80.0,
    "MultiCompartmentLIFLayer": 9.0,
    "NoisyILCCubaLayer": 0.55,
    "ResonateAndFireLayer": 0.4,
    "S5RFLayer": 0.2,
    "SEAdLIFLayer": 4.0,
    "SRMLayer": 0.15,
    "STBIFLayer": 0.2,
    "SiLIFLayer": 4.0,
    "SigmaDeltaLayer": 0.3,
    "SynapticLayer": 0.1,
    "TCLIFLayer": 0.3,
    "TernaryIFLayer": 0.2,
}
STEPS = {"HodgkinHuxleyLayer": 4000, "MorrisLecarLayer": 6000}


def save(figure, module, name):
    FOLDER.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    # Few colours: a few kilobytes.
    path = FOLDER / f"{module}.{name}.png"
    Image.open(drawn).convert("RGB").quantize(32).save(path, optimize=True)


def current_of(name):
    """Nothing, a weak and a strong current, and nothing again."""
    strong = (
        -1.6 if name in ("STBIFLayer", "TernaryIFLayer", "TernaryLIFLayer") else 1.6
    )
    if name in ("FewSpikeLayer", "HierarchicallyGatedLayer"):
        return np.full(4, 2.75, "float32")  # a value, in all the steps there are
    parts = np.repeat([0.0, 1.2, strong, 0.0], [5, 25, 25, 15])
    parts = np.repeat(parts, STEPS.get(name, 70) // 70)
    return (CURRENTS.get(name, 1.0) * parts).astype("float32")


def make(name):
    return getattr(layers, name)(name=name, **ARGUMENTS.get(name, {}))


def potential_of(neurons, inputs):
    """Before the reset where there is one."""
    if not neurons.state_names:
        return None
    try:
        monitor = callbacks.StateMonitor(before_reset=True)
        return monitor.record(neurons, inputs)[neurons.name][0, :, 0]
    except ValueError:
        return callbacks.StateMonitor().record(neurons, inputs)[neurons.name][0, :, 0]


def draw_neuron(name):
    current = current_of(name)
    neurons = make(name)
    units = ARGUMENTS.get(name, {}).get("population", 1)
    inputs = keras.ops.convert_to_tensor(np.tile(current[None, :, None], units))
    potential = (
        potential_of(neurons, inputs) if hasattr(neurons, "state_names") else None
    )
    outputs = keras.ops.convert_to_numpy(neurons(inputs))[0, :, 0]

    heights = [1, 3, 1] if potential is not None else [1, 1]
    figure = new_figure((6.5, 0.8 * sum(heights) ** 0.75 + 0.4))
    above, *middle, below = figure.subplots(
        len(heights), sharex=True, height_ratios=heights
    )
    time = np.arange(len(current))
    above.fill_between(time, current, step="mid", color=GREY, alpha=0.6, linewidth=0)
    above.set_ylabel("Input", fontsize=8)
    for axis in middle:
        axis.plot(time, potential, color=BLUE, linewidth=1)
        axis.set_ylabel("Potential", fontsize=8)
        axis.grid(color=GREY, alpha=0.3)
    below.vlines(np.flatnonzero(outputs), 0, outputs[outputs != 0], color=BLUE)
    below.set_ylabel("Output", fontsize=8)
    below.set_xlabel("Time (steps)", fontsize=8)
    integer_ticks(below.xaxis)
    for axis in (above, *middle, below):
        axis.tick_params(labelsize=7)
    save(figure, "layers", name)


def draw_encoder(name):
    x = np.linspace(0.0, 1.0, 12, endpoint=False).astype("float32")
    if name == "PeriodicEncoder":
        pattern = (np.add.outer(np.arange(4), np.arange(12)) % 4 == 0).astype("float32")
        encoder, x = layers.PeriodicEncoder(24), pattern
    elif name in ("PopulationEncoder", "GaussianTuning"):
        encoder, x = getattr(layers, name)(24, neurons=12), np.float32([0.4])
    else:
        encoder = getattr(layers, name)(24)
    values = keras.ops.convert_to_numpy(encoder(x[None]))[0].reshape(24, -1)
    if np.isin(values, (0, 1)).all():
        figure = visualization.plot_spikes(values, title="", figsize=(8, 3))
    else:
        figure = visualization.plot_heat_map(values, "", "Value", figsize=(8, 3))
    save(figure, "layers", name)


def draw_surrogate(name):
    surrogate = getattr(surrogates, name)()
    reach = 8.0 if name == "FakeNumericalGradient" else 2.0
    x = np.linspace(-reach, reach, 801).astype("float32")
    figure = new_figure((6.5, 2.2))
    axis = figure.subplots()
    shown = {"derivative": BLUE}
    if surrogate.has_primitive():
        shown["primitive"] = ORANGE
    for what, colour in shown.items():
        y = getattr(surrogate, what)(keras.ops.convert_to_tensor(x))
        axis.plot(x, keras.ops.convert_to_numpy(y), color=colour, label=what)
    axis.set_xlabel("Membrane potential - threshold", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(color=GREY, alpha=0.3)
    axis.legend(fontsize=8)
    save(figure, "surrogates", name)


def plots():
    """An example of each plot."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0.02, 0.4, 20)
    spikes = (rng.uniform(size=(60, 20)) < rates).astype("float32")
    neurons = layers.LIFLayer(tau=5.0, name="lif")
    current = current_of("LIFLayer")
    outputs = neurons(current[None, :, None])
    before = potential_of(neurons, current[None, :, None])
    monitor = callbacks.StateMonitor()
    after = monitor.record(neurons, current[None, :, None])["lif"][0, :, 0]
    model = keras.Sequential(
        [
            keras.Input((20, 12)),
            keras.layers.Dense(16),
            layers.LIFLayer(v_threshold=0.3, name="hidden"),
            keras.layers.Dense(6),
            layers.LIFLayer(v_threshold=0.3, name="output"),
        ]
    )
    moving = np.zeros((6, 16, 16, 2), "float32")
    for step in range(6):
        moving[step, 4:12, 2 * step + 2, 0] = 1.0
        moving[step, 4:12, 2 * step + 1, 1] = 1.0
    size = {"figsize": (8, 3)}
    maps = rng.uniform(size=(12, 12, 8)) < np.linspace(0.05, 0.7, 8)
    inputs = (rng.uniform(size=(20, 12)) < 0.5).astype("float32")
    return {
        "plot_spikes": lambda f: f(spikes, **size),
        "plot_neuron": lambda f: f(
            after, keras.ops.convert_to_numpy(outputs)[0, :, 0], h=before, **size
        ),
        "plot_heat_map": lambda f: f(np.cumsum(spikes - rates, axis=0), **size),
        "plot_bars": lambda f: f(
            rng.uniform(size=(8, 5)), title="Firing rates", label="Firing rate"
        ),
        "plot_feature_maps": lambda f: f(maps.astype("float32")),
        "plot_frames": lambda f: f(moving),
        "plot_network_activity": lambda f: f(model, inputs[None]),
    }


def all_pictures():
    """What is drawn, by the name in the reference, and how."""
    for name, item in vars(layers).items():
        folder = getattr(item, "__module__", "").split(".")[2:3]
        if inspect.isclass(item) and folder == ["neurons"]:
            yield f"layers.{name}", draw_neuron
        elif inspect.isclass(item) and folder == ["encoders"] and name != "Encoder":
            yield f"layers.{name}", draw_encoder
    for name, item in vars(surrogates).items():
        # Those that can be made without arguments.
        if (
            inspect.isclass(item)
            and issubclass(item, surrogates.Surrogate)
            and name not in ("Surrogate", "FromDerivative")
        ):
            yield f"surrogates.{name}", draw_surrogate
    examples = plots()
    for name in visualization.__all__:
        if name.startswith("plot_"):

            def draw(name):
                save(
                    examples[name](getattr(visualization, name)), "visualization", name
                )

            yield f"visualization.{name}", draw


def main(names):
    for path, draw in all_pictures():
        if not names or path in names:
            keras.utils.set_random_seed(0)
            draw(path.split(".")[1])


if __name__ == "__main__":
    main(sys.argv[1:])
