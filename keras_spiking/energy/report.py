"""The report on a model: counts for each layer, energies, the ANN beside it."""

import dataclasses
import json
import os
from collections.abc import Iterable
from typing import Any

import keras

from keras_spiking.energy.costs import Cost
from keras_spiking.energy.costs import get_costs
from keras_spiking.energy.counting import Counts
from keras_spiking.energy.counting import count
from keras_spiking.files import complete_file
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.layers.encoders.encoder import Encoder
from keras_spiking.validation import check_integer


@dataclasses.dataclass
class Synapses:
    """A layer of weights, all numbers per sample.

    Attributes:
        name: String.
        inputs: `"spikes"`, `"counts"` of spikes that are added, or `"analog"`.
        active: Float, the share of inputs that are not 0.
        acs: Float, accumulations: synaptic operations that spikes cause.
        macs: Float, multiply-accumulations of analog inputs that are not 0.
        dense: Float, operations without use of zeros, over all steps.
        ann_macs: Float, multiply-accumulations of this layer in the ANN.
    """

    name: str
    inputs: str
    active: float
    acs: float
    macs: float
    dense: float
    ann_macs: float


@dataclasses.dataclass
class Neurons:
    """A layer of neurons, or another one with a state over time.

    Attributes:
        name: String.
        neurons: Integer.
        spikes: Float per sample, outputs that are not 0. Not defined, 0, for layers
            that do not spike.
        firing_rate: Float, spikes per neuron and step.
        updates: Float per sample, neurons times steps.
        states: Integer, numbers that each neuron keeps from step to step.
    """

    name: str
    neurons: int
    spikes: float
    firing_rate: float
    updates: float
    states: int


@dataclasses.dataclass
class Report:
    """What `report` returns; printing it shows tables.

    Attributes:
        synapses: List of `Synapses`.
        neurons: List of `Neurons`.
        timesteps: Integer.
        samples: Integer, how many samples it was measured on.
        costs: List of `Cost`s.
        uncounted: List of names of layers whose products are not counted.
    """

    synapses: list
    neurons: list
    timesteps: int
    samples: int
    costs: list
    uncounted: list

    @property
    def spikes(self) -> float:
        """Spikes per sample."""
        return sum(x.spikes for x in self.neurons)

    @property
    def acs(self) -> float:
        """Accumulations per sample: synaptic operations that spikes cause."""
        return sum(x.acs for x in self.synapses)

    @property
    def macs(self) -> float:
        """Multiply-accumulations per sample, of analog inputs."""
        return sum(x.macs for x in self.synapses)

    @property
    def dense(self) -> float:
        """Operations per sample without use of zeros."""
        return sum(x.dense for x in self.synapses)

    @property
    def updates(self) -> float:
        """Updates of neurons per sample."""
        return sum(x.updates for x in self.neurons)

    @property
    def ann_macs(self) -> float:
        """Multiply-accumulations per sample of the ANN."""
        return sum(x.ann_macs for x in self.synapses)

    @property
    def accesses(self) -> dict[str, float]:
        """Accesses to memory per sample, of the SNN, without any reuse.

        An operation reads its weight. An accumulation reads and writes the state of
        its target, an update those of its neuron. A multiply-accumulation reads its
        activation, and sums in a register.
        """
        states = self.acs + sum(x.updates * x.states for x in self.neurons)
        return {
            "weights read": self.acs + self.macs,
            "activations read": self.macs,
            "states read": states,
            "states written": states,
        }

    @property
    def ann_accesses(self) -> dict[str, float]:
        """The same of the ANN, which writes an activation for each neuron."""
        return {
            "weights read": self.ann_macs,
            "activations read": self.ann_macs,
            "activations written": float(sum(x.neurons for x in self.neurons)),
        }

    def snn_energy(self, cost: Cost) -> float:
        """Joules per sample. Without multiply-accumulations if the cost has none."""
        accesses = self.accesses
        states = accesses["states read"] + accesses["states written"]
        return (
            self.acs * cost.ac
            + self.macs * (cost.mac or 0.0)
            + self.updates * cost.update
            + accesses["weights read"] * cost.weight
            + accesses["activations read"] * cost.activation
            + states * cost.state
        )

    def ann_energy(self, cost: Cost) -> float | None:
        """Joules per sample of the ANN, or `None` if the cost is none of an ANN."""
        if cost.mac is None:
            return None
        accesses = self.ann_accesses
        moved = accesses["activations read"] + accesses["activations written"]
        operations = self.ann_macs * (cost.mac + cost.weight)
        return operations + moved * cost.activation

    def ratio(self, cost: Cost) -> float | None:
        """The energy of the SNN relative to that of the ANN."""
        energy = self.ann_energy(cost)
        return self.snn_energy(cost) / energy if energy else None

    @property
    def verdict(self) -> str:
        """Whether the SNN is cheaper than the ANN, in words: for each cost of 8-bit
        weights, or if there is none, for all that an ANN has."""
        costs = [c for c in self.costs if c.quantized] or self.costs
        lines = []
        for cost in costs:
            if (ratio := self.ratio(cost)) is None:
                continue
            twin = "quantised ANN twin" if cost.quantized else "ANN twin"
            cheaper = "cheaper" if ratio < 1.0 else "not cheaper"
            lines.append(
                f"The spiking network is {cheaper} than its {twin} ({cost.name}): "
                f"{ratio:.2f} times the energy."
            )
        if not lines:
            lines = ["None of the costs is that of an ANN: there is no comparison."]
        per_mac = (self.acs + self.macs) / self.ann_macs if self.ann_macs else 0.0
        lines.append(f"It does {per_mac:.2f} operations for each one of the ANN.")
        return "\n".join(lines)

    def __str__(self):
        lines = [
            f"Per sample, measured on {self.samples}:",
            f"{'layer of weights':28}{'inputs':>8}{'active':>8}{'ACs':>15}{'MACs':>15}"
            f"{'ANN MACs':>15}",
        ]
        lines += [
            f"{x.name[-27:]:28}{x.inputs:>8}{x.active:8.3f}{x.acs:15,.0f}{x.macs:15,.0f}"
            f"{x.ann_macs:15,.0f}"
            for x in self.synapses
        ]
        lines += [
            f"{'all, per sample':44}{self.acs:15,.0f}{self.macs:15,.0f}"
            f"{self.ann_macs:15,.0f}",
            "",
            f"{'neurons':28}{'number':>12}{'rate':>8}{'spikes':>15}{'updates':>15}",
        ]
        lines += [
            f"{x.name[-27:]:28}{x.neurons:12,}{x.firing_rate:8.3f}{x.spikes:15,.0f}"
            f"{x.updates:15,.0f}"
            for x in self.neurons
        ]
        lines += [
            f"{'all, T = ' + str(self.timesteps):48}{self.spikes:15,.0f}"
            f"{self.updates:15,.0f}",
            "",
            f"{'microjoules per sample':28}{'SNN':>12}{'ANN':>12}{'SNN / ANN':>12}",
        ]
        for cost in self.costs:
            ann, ratio = self.ann_energy(cost), self.ratio(cost)
            ann = "-" if ann is None else f"{ann * 1e6:.4g}"
            ratio = "-" if ratio is None else f"{ratio:.2f}"
            snn = self.snn_energy(cost) * 1e6
            lines.append(f"{cost.name:28}{snn:12.4g}{ann:>12}{ratio:>12}")
        lines += ["", self.verdict]
        if self.macs and any(c.mac is None for c in self.costs):
            lines.append(
                f"Chips without multiplication leave {self.macs:,.0f} "
                "multiply-accumulations of analog inputs to others, not included here."
            )
        if self.uncounted:
            lines.append(f"Not counted: products of {', '.join(self.uncounted)}.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as they go into JSON."""
        sums = ("spikes", "acs", "macs", "dense", "updates", "ann_macs")
        return {
            **dataclasses.asdict(self),
            **{name: getattr(self, name) for name in sums},
            "accesses": self.accesses,
            "ann_accesses": self.ann_accesses,
            "energy": {
                c.name: {"snn": self.snn_energy(c), "ann": self.ann_energy(c)}
                for c in self.costs
            },
            "verdict": self.verdict,
        }

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes all numbers to a file."""
        with complete_file(path) as temporary, open(temporary, "w") as file:
            json.dump(self.to_dict(), file, indent=2)

    def plot(self, figsize: tuple[float, float] = (10, 5)) -> Any:
        """A picture: operations of each layer, and energies of each cost.

        Args:
            figsize: Width and height in inches. Defaults to `(10, 5)`.

        Returns:
            A `matplotlib.figure.Figure`.
        """
        from keras_spiking.visualization.energy import plot_energy

        return plot_energy(self, figsize)


def report(
    model: keras.layers.Layer,
    data: Any,
    *,
    costs: str | Cost | Iterable[str | Cost] | None = None,
    batch_size: int = 32,
    ann_steps: int | None = None,
) -> Report:
    """Counts the operations of a spiking model on data, and what they cost.

    A spike that arrives at a layer of weights causes an accumulation (AC) for each
    weight behind it that is not 0: at the border of an image, and between strides, a
    convolution has fewer of them. An analog input that is not 0 causes
    multiply-accumulations (MACs) instead.

    The ANN twin has the same layers of weights, and an activation in place of each
    neuron. It makes no use of zeros.

    Args:
        model: Keras model with spiking neurons, trained or converted.
        data: Array of inputs, or a structure of arrays as the model takes it.
        costs: Names in `keras_spiking.energy.COSTS`, `Cost`s, or a list of these.
            Defaults to `None`, all that have a name.
        batch_size: Integer >= 1. Defaults to `32`.
        ann_steps: Integer >= 1, for how many steps the ANN runs. Defaults to `None`:
            once if the model itself presents its input over and over (an encoder, or
            `StepByStep` with `timesteps`), else at every step of the data.

    Returns:
        A `Report`.

    Raises:
        TypeError: if `model` is no Keras model, or a cost none.
        ValueError: if the model has no spiking neurons, the data does not fit it or is
            not finite, or there is no cost of that name.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4, 3)),
    ...         keras_spiking.layers.IFLayer(v_threshold=2.0),
    ...         keras.layers.Dense(10),
    ...     ]
    ... )
    >>> result = keras_spiking.energy.report(model, keras.ops.ones((2, 4, 3)))
    >>> result.spikes, result.acs, result.ann_macs
    (6.0, 60.0, 120.0)

    References:
        - [Horowitz, 2014](https://doi.org/10.1109/ISSCC.2014.6757323)
        - [Davies et al., 2018](https://doi.org/10.1109/MM.2018.112130359)
    """
    costs = get_costs(costs)
    if ann_steps is not None:
        ann_steps = check_integer("ann_steps", ann_steps, minimum=1)
    return of_counts(count(model, data, batch_size), costs, ann_steps)


def of_counts(counts: Counts, costs: list[Cost], ann_steps: int | None) -> Report:
    """The report on what has been counted. See `report`."""
    steps = counts.timesteps
    if ann_steps is None:
        ann_steps = 1 if _repeats(counts.model) else steps

    def synapses(name, inputs):
        times = inputs.rows / counts.samples
        # What comes before the time axis is computed once.
        runs = times / steps * ann_steps if times % steps == 0 else times
        operations = inputs.operations(inputs.events) / counts.samples
        analog = inputs.kind == "analog"
        return Synapses(
            name=name,
            inputs=inputs.kind,
            active=inputs.share,
            acs=0.0 if analog else operations,
            macs=operations if analog else 0.0,
            dense=inputs.dense() * times,
            ann_macs=inputs.dense() * runs,
        )

    def neurons(name, outputs):
        spiking = name in counts.neurons
        return Neurons(
            name=name,
            neurons=outputs.neurons,
            spikes=outputs.active / counts.samples if spiking else 0.0,
            firing_rate=outputs.active / outputs.rows / outputs.neurons
            if spiking
            else 0.0,
            updates=outputs.neurons * outputs.rows / counts.samples,
            states=len(getattr(outputs.layer, "state_names", ())),
        )

    return Report(
        synapses=[synapses(*item) for item in counts.inputs.items()],
        neurons=[neurons(n, x) for n, x in counts.outputs.items() if x.has_state],
        timesteps=steps,
        samples=counts.samples,
        costs=costs,
        uncounted=counts.uncounted,
    )


def _repeats(model):
    """Whether a model presents its input over and over."""
    return any(
        isinstance(x, Encoder) or isinstance(x, StepByStep) and x.timesteps is not None
        for x in all_layers(model).values()
    )
