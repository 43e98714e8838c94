"""What a trained network does, and what it costs."""

import numpy as np

from keras_spiking.callbacks import InputMonitor
from keras_spiking.callbacks import OutputMonitor
from keras_spiking.conversion.folding import WEIGHTED
from keras_spiking.conversion.report import ENERGY_45NM
from keras_spiking.conversion.report import macs
from keras_spiking.inspection.selection import all_layers

SAMPLES = 256


def measure(model, batches, samples=SAMPLES):
    """Firing rates and operations of a network on some samples.

    A synapse that receives a spike adds its weight; one that receives another number
    multiplies it first. In place of a network of analog neurons, which is computed
    once, stands the same network at one time step.

    Args:
        model: Keras model.
        batches: Indexable of batches `(x, y)`.
        samples: Integer, of how many samples at least, if there are as many.

    Returns:
        Dictionary; numbers of operations and spikes are means over samples.
    """
    outputs = OutputMonitor(transform=_rate_and_spikes)
    inputs = InputMonitor(
        layers=lambda layer: isinstance(layer, WEIGHTED), transform=_not_zero
    )
    seen = []
    for index in range(len(batches)):
        x = batches[index][0]
        outputs.record(model, x)
        inputs.record(model, x)
        seen.append(len(x))
        if sum(seen) >= samples:
            break

    def mean(records):
        return {k: np.average(v, 0, weights=seen) for k, v in records.items()}

    layers = {
        name: {"firing_rate": float(rate), "spikes": float(spikes)}
        for name, (rate, spikes) in mean(outputs.records).items()
    }
    additions = multiplications = dense = 0.0
    synapses = all_layers(model)
    for name, (not_zero, spiking) in mean(inputs.records).items():
        # Further calls of a shared layer are recorded as "name:1" and so on.
        layer = synapses[name.partition(":")[0]]
        shape = layer.get_build_config()["input_shape"]
        size = np.prod([n or 1 for n in shape[1:]])
        once = macs(layer, shape, layer.compute_output_shape(shape))
        dense += once
        if spiking == 1.0:
            additions += once * not_zero / size
        else:
            multiplications += once * not_zero / size
    joules = ENERGY_45NM["ac"] * additions + ENERGY_45NM["mac"] * multiplications
    return {
        "samples": sum(seen),
        "layers": layers,
        "firing_rate": float(np.mean([row["firing_rate"] for row in layers.values()])),
        "spikes": sum(row["spikes"] for row in layers.values()),
        "additions": additions,
        "multiplications": multiplications,
        "multiplications_without_spikes": dense,
        "joules": joules,
        "joules_without_spikes": ENERGY_45NM["mac"] * dense,
    }


def _rate_and_spikes(outputs):
    spikes = np.abs(outputs.astype("float32"))
    return spikes.mean(), spikes.sum() / len(spikes)


def _not_zero(inputs):
    """How many inputs are not zero, over all steps, and whether these are spikes."""
    inputs = inputs.astype("float32")
    return (inputs != 0.0).sum() / len(inputs), (inputs == np.round(inputs)).all()


def table(found):
    """The report as text."""
    width = max(len(name) for name in found["layers"])
    lines = [f"{'layer':{width}}  firing rate   spikes"]
    for name, row in found["layers"].items():
        lines.append(f"{name:{width}}  {row['firing_rate']:11.4f} {row['spikes']:8.4g}")
    lines += [
        "",
        f"measured on {found['samples']} samples; for each of them:",
        f"  {found['additions']:.4g} additions where spikes arrive, "
        f"{found['multiplications']:.4g} multiplications where other numbers do: "
        f"{found['joules']:.3g} J",
        f"  without spikes, {found['multiplications_without_spikes']:.4g} "
        f"multiplications: {found['joules_without_spikes']:.3g} J",
        "  (0.9 pJ an addition, 4.6 pJ a multiplication; memory not counted)",
    ]
    return "\n".join(lines)
