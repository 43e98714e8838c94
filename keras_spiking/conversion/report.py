"""Measurements of a converted network: rates, errors, operations, energy."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking.conversion.calibration import batches
from keras_spiking.conversion.calibration import check_data
from keras_spiking.conversion.calibration import run_graph
from keras_spiking.conversion.convert import analog_graph
from keras_spiking.conversion.folding import WEIGHTED
from keras_spiking.conversion.measure import means_over_time
from keras_spiking.conversion.measure import neuron_layers
from keras_spiking.conversion.measure import step_of
from keras_spiking.conversion.spiking_model import SpikingModel
from keras_spiking.conversion.spiking_model import check_spiking_model
from keras_spiking.energy.costs import COSTS
from keras_spiking.parameter import current_value
from keras_spiking.validation import check_number

ENERGY_45NM = {"mac": COSTS["45nm"].mac, "ac": COSTS["45nm"].ac}
"""Joules for one 32-bit floating point operation in 45 nm: multiply-accumulate
and accumulate (Horowitz, 2014)."""


@dataclasses.dataclass
class LayerReport:
    """One layer of neurons.

    Attributes:
        name: String.
        scale: Float, the threshold (the mean over channels).
        firing_rate: Float, share of neurons that fire in a step.
        spikes: Float, number of spikes per inference.
        error: Float, root mean square of the difference between ANN activation
            and SNN rate, relative to that of the activation.
    """

    name: str
    scale: float
    firing_rate: float
    spikes: float
    error: float


@dataclasses.dataclass
class Report:
    """What `report` returns; printing it shows a table.

    Attributes:
        layers: List of `LayerReport`s.
        timesteps: Integer.
        spikes: Float, number of spikes per inference.
        synaptic_operations: Float per inference: accumulations that spikes cause.
        snn_macs: Integer per inference: multiplications before the first neurons.
        ann_macs: Integer per inference of the ANN.
        energy: Dictionary, joules for one `"mac"` and one `"ac"`.
    """

    layers: list
    timesteps: int
    spikes: float
    synaptic_operations: float
    snn_macs: int
    ann_macs: int
    energy: dict

    @property
    def ann_energy(self):
        """Joules per inference of the ANN."""
        return self.ann_macs * self.energy["mac"]

    @property
    def snn_energy(self):
        """Joules per inference of the SNN."""
        spiking = self.synaptic_operations * self.energy["ac"]
        return spiking + self.snn_macs * self.energy["mac"]

    def __str__(self):
        lines = [f"{'layer':32}{'scale':>10}{'rate':>9}{'spikes':>14}{'error':>9}"]
        lines += [
            f"{x.name[:31]:32}{x.scale:10.4g}{x.firing_rate:9.4f}{x.spikes:14,.0f}"
            f"{x.error:9.4f}"
            for x in self.layers
        ]
        lines += [
            "",
            f"per inference, T = {self.timesteps:<12}{'ANN':>14}{'SNN':>14}",
            f"{'spikes':32}{'':>14}{self.spikes:14,.0f}",
            f"{'accumulations':32}{'':>14}{self.synaptic_operations:14,.0f}",
            f"{'multiply-accumulations':32}{self.ann_macs:14,}{self.snn_macs:14,}",
            f"{'energy (microjoules)':32}{self.ann_energy * 1e6:14.4g}"
            f"{self.snn_energy * 1e6:14.4g}",
        ]
        return "\n".join(lines)


def report(
    snn: SpikingModel,
    ann: keras.Model,
    data: Any,
    *,
    energy: dict[str, float] | None = None,
    batch_size: int = 32,
) -> Report:
    """Measures rates, errors, operations and energy of a converted network.

    A synaptic operation is one accumulation: a spike that arrives at a neuron. A
    layer of weights performs the ANN's number of multiply-accumulations, times
    the share of its inputs that are not zero, in each step. Weights before the
    first neurons are applied to the analog input once.

    Args:
        snn: `SpikingModel`, as `convert` returns it.
        ann: The model that it was converted from.
        data: Array of inputs, or a structure of arrays as the models take it.
        energy: Dictionary, joules for one `"mac"` and one `"ac"`. Defaults to
            `None`, the figures for 45 nm in `ENERGY_45NM`.
        batch_size: Integer >= 1. Defaults to `32`.

    Returns:
        A `Report`.

    Raises:
        TypeError: if `snn` is not a converted network, such as one that was trained
            with spiking neurons.
        ValueError: if `snn` was not converted from `ann`.

    Example:

    >>> ann = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu")])
    >>> x = keras.random.uniform((16, 4))
    >>> snn = keras_spiking.conversion.convert(ann, x, timesteps=32)
    >>> result = keras_spiking.conversion.report(snn, ann, x)
    >>> result.ann_macs
    12

    References:
        - [Horowitz, 2014](https://doi.org/10.1109/ISSCC.2014.6757323)
    """
    check_spiking_model(snn)
    energy = ENERGY_45NM if energy is None else energy
    if not isinstance(energy, dict) or set(energy) != {"mac", "ac"}:
        raise ValueError(
            "`energy` must have the joules for one 'mac' and one 'ac'. "
            f"Received: energy={energy}"
        )
    for name, value in energy.items():
        check_number(f"energy[{name!r}]", value, minimum=0.0)
    graph = analog_graph(ann)
    data = check_data(graph, data)
    neurons = neuron_layers(snn)
    weighted = [x for x in step_of(snn).layers if isinstance(x, WEIGHTED)]
    names = {call.name for call in graph.calls}
    if unknown := [x.name for x in (*neurons, *weighted) if x.name not in names]:
        raise ValueError(
            f"`snn` must have been converted from `ann`: '{ann.name}' has no layers "
            f"of the names {unknown}."
        )
    tensors = [x.output for x in neurons]
    tensors += [_share(x.output) for x in neurons]
    tensors += [_share(x.input) for x in weighted]
    means = means_over_time(snn, tensors, data, batch_size)
    n = len(neurons)
    rates, firing = means[:n], [float(np.mean(m)) for m in means[n : 2 * n]]
    shares = [float(np.mean(m)) for m in means[2 * n :]]
    errors = _errors(graph, [x.name for x in neurons], rates, data, batch_size)
    reports = [
        LayerReport(
            name=layer.name,
            scale=float(np.mean(current_value(layer.layer, "v_threshold"))),
            firing_rate=share,
            spikes=share * snn.timesteps * np.prod(rate.shape[1:]),
            error=error,
        )
        for layer, rate, share, error in zip(neurons, rates, firing, errors)
    ]
    costs = _costs(graph, data)
    in_step = [costs[x.name] for x in weighted]
    return Report(
        layers=reports,
        timesteps=snn.timesteps,
        spikes=sum(x.spikes for x in reports),
        synaptic_operations=snn.timesteps * float(np.dot(in_step, shares)),
        snn_macs=sum(costs.values()) - sum(in_step),
        ann_macs=sum(costs.values()),
        energy=energy,
    )


def _costs(graph, data):
    """Multiply-accumulations of the layers of weights, by the names of their calls."""
    # From values, since a model may leave open how large its inputs are.
    values = run_graph(graph, [x[:1] for x in data])
    return {
        call.name: macs(
            call.operation,
            values[id(call.inputs[0])].shape,
            values[id(call.outputs[0])].shape,
        )
        for call in graph.calls
        if isinstance(call.operation, WEIGHTED)
    }


def macs(layer, input_shape, output_shape):
    """Multiply-accumulations of a layer of weights for one sample."""
    kernels = [w for w in layer.weights if "kernel" in w.name]
    first = getattr(layer, "data_format", "channels_last") == "channels_first"

    def places(shape):
        return int(np.prod(shape[2:] if first else shape[1:-1]))

    # A transposed convolution applies its kernel at every place of its input.
    transposed = "Transpose" in type(layer).__name__
    positions = places(input_shape if transposed else output_shape)
    return positions * sum(int(np.prod(w.shape)) for w in kernels)


def _share(x):
    """The share of elements that are not 0, for each sample."""
    axes = tuple(range(1, len(x.shape)))
    return ops.mean(ops.cast(ops.not_equal(x, 0.0), "float32"), axis=axes)


def _errors(graph, names, rates, data, batch_size):
    """Relative root mean square errors of rates, for each layer of neurons."""
    calls = {c.name: c for c in graph.calls}
    squares, differences = np.zeros(len(names)), np.zeros(len(names))
    start = 0
    for batch in batches(data, batch_size):
        values = run_graph(graph, batch)
        stop = start + len(batch[0])
        for i, name in enumerate(names):
            y = ops.convert_to_numpy(values[id(calls[name].outputs[0])])
            squares[i] += np.sum(y**2)
            differences[i] += np.sum((rates[i][start:stop] - y) ** 2)
        start = stop
    return np.sqrt(differences / np.maximum(squares, 1e-12)).tolist()
