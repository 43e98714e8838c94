"""What a report says in words and numbers: the same on its page and in TensorBoard."""

import dataclasses
import math

import keras
import numpy as np

from keras_spiking.energy.report import Report
from keras_spiking.inspection.selection import layer_tree
from keras_spiking.visualization.accuracy import Accuracy
from keras_spiking.visualization.observation import Activity
from keras_spiking.visualization.observation import Observation

RANGES = 60  # of silent or saturated neurons of a layer, as text
_INDENT = "\u2003"  # a space as wide as a letter, which HTML and Markdown keep

_REMEDIES = {
    "not finite": "outputs are not finite. See keras_spiking.config.set_check_finite.",
    "silent": "silent, at least 99 % of the neurons never fire on this data, and pass "
    "on nothing. Call keras_spiking.calibrate(model, x), put a BatchNormalization in "
    "front of the neurons, or use LIFLayer(decay_input=False).",
    "saturated": "saturated, at least 90 % of the neurons fire in nearly every step, "
    "whatever the input. Scale inputs to [0, 1], or call "
    "keras_spiking.calibrate(model, x).",
}


@dataclasses.dataclass
class Table:
    """Rows of texts under a caption. Columns named #... hold numbers."""

    caption: str
    columns: list
    rows: list


def key_numbers(
    found: Observation, energy: Report, accuracy: Accuracy | None
) -> list[tuple[str, str]]:
    """Pairs of a name and a value."""
    layers = found.neurons.values()
    neurons = sum(x.size for x in layers)
    silent = sum(len(x.silent) for x in layers)
    spikes = sum(float(x.spikes.sum()) for x in layers)
    rate = sum(x.rate * x.size for x in layers) / neurons
    numbers = [
        ("Weights", f"{found.model.count_params():,}"),
        ("Neurons", f"{neurons:,}"),
        ("Spikes per sample", f"{spikes / found.samples:,.4g}"),
        ("Spikes per neuron and step", f"{rate:.3g}"),
        ("Silent neurons", f"{silent / neurons:.1%}"),
    ]
    ratios = [(c, energy.ratio(c)) for c in energy.costs]
    for cost, ratio in [(c, r) for c, r in ratios if r is not None][:1]:
        numbers.append((f"Energy, SNN / ANN ({cost.name})", f"{ratio:.2f}"))
    if accuracy is not None:
        numbers.append(("Accuracy", f"{accuracy.value:.1%}"))
    return numbers


def findings(found: Observation, energy: Report) -> list[str]:
    """Sentences on what does not look right."""
    lines = []
    for state, remedy in _REMEDIES.items():
        layers = {**found.neurons, **found.readouts}
        if names := [name for name, x in layers.items() if x.state == state]:
            lines.append(f"{', '.join(names)}: {remedy}")
    # Layers without a loop over time have nothing to fuse.
    slow = [
        row["layer"]
        for row in found.explanation
        if row["implementation"] == "reference" and "no loop" not in row["reason"]
    ]
    if slow:
        lines.append(f"{', '.join(slow)}: no fused kernel. See Architecture for why.")
    if energy.uncounted:
        lines.append(f"{', '.join(energy.uncounted)}: operations are not counted.")
    return lines


def architecture(found: Observation) -> Table:
    """Every layer, with its output, its own weights, and what runs it."""
    explained = {row["layer"]: row for row in found.explanation}
    rows, counted = [], set()
    for name, depth, layer in layer_tree(found.model):
        inner = {
            id(w) for _, _, x in layer_tree(layer) if x is not layer for w in x.weights
        }
        weights = [w for w in layer.weights if id(w) not in inner | counted]
        counted.update(id(w) for w in weights)
        number = sum(math.prod(w.shape) for w in weights)
        row = explained.get(name, {"implementation": "", "reason": ""})
        rows.append(
            [
                _INDENT * depth + (name.split("/")[-1] if depth else name),
                type(layer).__name__,
                _output(name, layer, found),
                f"{number:,}" if number else "",
                row["implementation"],
                row["reason"],
            ]
        )
    caption = (
        "None is the batch. Layers inside of StepByStep and SeqToBatch see single "
        "steps, (batch, ...)."
    )
    columns = ["Layer", "Class", "Output", "#Weights", "Runs", "Why"]
    return Table(caption, columns, rows)


def _output(name, layer, found):
    if isinstance(layer, keras.layers.InputLayer):
        return str(layer.batch_shape)
    if shapes := found.shapes.get(name):
        return " ".join(str(shape) for shape in shapes)
    # A SingleStep calls the step of the neurons inside of it.
    layers = {**found.neurons, **found.readouts}
    return str((None, *layers[name].shape)) if name in layers else "not called"


def neurons(found: Observation) -> Table:
    """Silent and saturated neurons of every layer."""
    rows = [
        [
            name,
            f"{x.size:,}",
            f"{x.rate:.3g}",
            f"{len(x.silent):,} ({len(x.silent) / x.size:.0%})",
            f"{len(x.saturated):,} ({len(x.saturated) / x.size:.0%})",
            x.state or "lively",
            _which(x),
        ]
        for name, x in found.neurons.items()
    ]
    caption = (
        "Silent neurons never fire on this data, saturated ones in at least 99 % of "
        "the steps. Neurons are numbered from 0 in the order of the flattened features."
    )
    columns = ["Layer", "#Neurons", "#Spikes per step", "#Silent", "#Saturated"]
    return Table(caption, [*columns, "Layer is", "Which"], rows)


def _which(x):
    parts = []
    for label, indices in (("silent", x.silent), ("saturated", x.saturated)):
        if len(indices) == x.size:
            parts.append(f"all {label}")
        elif len(indices):
            parts.append(f"{label}: {ranges(indices)}")
    return "; ".join(parts)


def ranges(numbers: np.ndarray) -> str:
    """Sorted numbers as text, neighbours together; how many are left out is said."""
    ends = np.flatnonzero(np.diff(numbers) > 1)
    first = numbers[np.r_[0, ends + 1]]
    last = numbers[np.r_[ends, len(numbers) - 1]]
    texts = [f"{a}" if a == b else f"{a}–{b}" for a, b in zip(first, last)]
    more = int(np.sum(last[RANGES:] - first[RANGES:] + 1))
    return ", ".join(texts[:RANGES]) + (f", and {more:,} more" if more else "")


def synapses(energy: Report) -> Table:
    """Operations of every layer of weights."""
    rows = [
        [
            x.name,
            x.inputs,
            f"{x.active:.1%}",
            f"{x.acs:,.0f}",
            f"{x.macs:,.0f}",
            f"{x.ann_macs:,.0f}",
        ]
        for x in energy.synapses
    ]
    caption = (
        "Operations per sample. Spikes cause accumulations (ACs), analog inputs "
        "multiply-accumulations (MACs). The ANN has activations for neurons."
    )
    columns = ["Layer", "Inputs", "#Not 0", "#ACs", "#MACs", "#ANN MACs"]
    return Table(caption, columns, rows)


def costs(energy: Report) -> Table:
    """Energies beside those of the ANN."""
    rows = []
    for cost in energy.costs:
        ann, ratio = energy.ann_energy(cost), energy.ratio(cost)
        rows.append(
            [
                cost.name,
                f"{energy.snn_energy(cost) * 1e6:.4g}",
                "–" if ann is None else f"{ann * 1e6:.4g}",
                "–" if ratio is None else f"{ratio:.2f}",
            ]
        )
    caption = "Microjoules per sample, see keras_spiking.energy."
    return Table(caption, ["Cost", "#SNN", "#ANN", "#SNN / ANN"], rows)


def on_accuracy(accuracy: Accuracy) -> str:
    """What the accuracy is, and what its curve shows, or why there is none."""
    curve = f"The curve: {accuracy.how}."
    if not len(accuracy.steps):
        curve = f"The curve is {accuracy.how}."
    return f"{accuracy.value:.2%} on these samples. {curve}"


def on_layer(x: Activity) -> str:
    """What is left out of the pictures of a layer, and what potentials are."""
    shape = " × ".join(f"{n:,}" for n in x.shape)
    shape = f" ({shape})" if len(x.shape) > 1 else ""
    lines = [f"{type(x.layer).__name__} of {x.size:,} neurons{shape}."]
    if x.raster is not None:
        if x.spikes is not None and len(x.neurons) < x.size:
            lines.append(f"Spikes of {len(x.neurons)} neurons, evenly spaced.")
        if len(x.raster) < x.sample_steps:
            lines.append(
                f"The first {len(x.raster):,} of {x.sample_steps:,} steps, the others "
                "are left out."
            )
    if 0 < len(x.traces) < x.size:
        which = "the first ones"
        if x.spikes is not None:
            which = "the most and the least active in this sample, and others"
        lines.append(f"Potentials of {len(x.traces)} neurons: {which}.")
    if x.traces and x.before_reset:
        lines.append("H[t] is the potential before the reset.")
    elif x.traces and x.spikes is not None:
        lines.append(
            "V[t] is the potential after the step: these neurons do not reset by a "
            "method of their own."
        )
    if x.calls > 1:
        lines.append(
            f"The model calls it {x.calls} times: spikes and potentials are those of "
            "the first call, rates are of all."
        )
    return " ".join(lines)


def to_markdown(table: Table) -> str:
    """A table as Markdown."""
    lines = [
        [c.lstrip("#") for c in table.columns],
        ["---:" if c.startswith("#") else "---" for c in table.columns],
        *([str(text).replace("|", "\\|") for text in row] for row in table.rows),
    ]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table.caption}\n\n{rows}"
