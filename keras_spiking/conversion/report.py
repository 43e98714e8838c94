"""Measurements of a converted network: rates, errors, operations, energy."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import layers
from keras import ops

from keras_spiking.conversion import rules
from keras_spiking.conversion.calibration import batches
from keras_spiking.conversion.calibration import check_data
from keras_spiking.conversion.calibration import run_graph
from keras_spiking.conversion.convert import analog_graph
from keras_spiking.conversion.differences import Differences
from keras_spiking.conversion.encode import SYNAPSES
from keras_spiking.conversion.folding import WEIGHTED
from keras_spiking.conversion.measure import means_over_time
from keras_spiking.conversion.measure import neuron_layers
from keras_spiking.conversion.measure import step_of
from keras_spiking.conversion.spiking_model import SpikingModel
from keras_spiking.conversion.spiking_model import check_spiking_model
from keras_spiking.energy.costs import COSTS
from keras_spiking.parameter import current_value
from keras_spiking.validation import check_number

_MAC, _AC = COSTS["45nm"].mac or 0.0, COSTS["45nm"].ac
ENERGY_45NM = {"mac": _MAC, "ac": _AC, "function": 5.0 * _MAC}
"""Joules for one 32-bit floating point operation in 45 nm: multiply-accumulate
and accumulate (Horowitz, 2014). A value of a function, such as GELU, is taken for
five multiply-accumulations, a polynomial's."""


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
        snn_functions: Integer per inference: values of functions that are no spikes,
            such as those of layer normalisation, softmax, GELU and products. The SNN
            computes them again in each step.
        ann_functions: Integer per inference of the ANN.
        energy: Dictionary, joules for one `"mac"`, one `"ac"` and one value of a
            `"function"`.
    """

    layers: list
    timesteps: int
    spikes: float
    synaptic_operations: float
    snn_macs: int
    ann_macs: int
    snn_functions: int
    ann_functions: int
    energy: dict

    @property
    def ann_energy(self):
        """Joules per inference of the ANN."""
        functions = self.ann_functions * self.energy["function"]
        return self.ann_macs * self.energy["mac"] + functions

    @property
    def snn_energy(self):
        """Joules per inference of the SNN."""
        spiking = self.synaptic_operations * self.energy["ac"]
        functions = self.snn_functions * self.energy["function"]
        return spiking + self.snn_macs * self.energy["mac"] + functions

    def __str__(self):
        width = max(32, *(len(x.name) + 1 for x in self.layers))
        titles = f"{'scale':>10}{'rate':>9}{'spikes':>14}{'error':>9}"
        lines = [f"{'layer':{width}}{titles}"]
        lines += [
            f"{x.name:{width}}{x.scale:10.4g}{x.firing_rate:9.4f}{x.spikes:14,.0f}"
            f"{x.error:9.4f}"
            for x in self.layers
        ]
        lines += [
            "",
            f"per inference, T = {self.timesteps:<12}{'ANN':>14}{'SNN':>14}",
            f"{'spikes':32}{'':>14}{self.spikes:14,.0f}",
            f"{'accumulations':32}{'':>14}{self.synaptic_operations:14,.0f}",
            f"{'multiply-accumulations':32}{self.ann_macs:14,}{self.snn_macs:14,}",
            f"{'values of functions':32}{self.ann_functions:14,}"
            f"{self.snn_functions:14,}",
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
    the share of its inputs that are not zero, in each step. The product of two spike
    trains, as in attention, does so for each of them: the spikes of one select from
    the sum of the other's. Weights before the first neurons are applied to the analog
    input once. Functions that are no neurons, such as layer normalisation, have their
    own count.

    Args:
        snn: `SpikingModel`, as `convert` returns it.
        ann: The model that it was converted from.
        data: Array of inputs, or a structure of arrays as the models take it.
        energy: Dictionary, joules for one `"mac"`, one `"ac"` and, optionally, one
            value of a `"function"`. Defaults to `None`, the figures for 45 nm in
            `ENERGY_45NM`.
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
    if not isinstance(energy, dict) or set(energy) - {"function"} != {"mac", "ac"}:
        raise ValueError(
            "`energy` must have the joules for one 'mac' and one 'ac', and may have "
            f"those for one value of a 'function'. Received: energy={energy}"
        )
    energy = {"function": ENERGY_45NM["function"], **energy}
    for name, value in energy.items():
        check_number(f"energy[{name!r}]", value, minimum=0.0)
    graph = analog_graph(ann)
    data = check_data(graph, data)
    neurons = neuron_layers(snn)
    calls = {call.name: call for call in graph.calls}
    synapses = [
        x for x in step_of(snn).layers if isinstance(x, (*SYNAPSES, Differences))
    ]
    if unknown := [x.name for x in (*neurons, *synapses) if x.name not in calls]:
        raise ValueError(
            f"`snn` must have been converted from `ann`: '{ann.name}' has no layers "
            f"of the names {unknown}."
        )
    tensors = [x.output for x in neurons]
    tensors += [_share(x.output) for x in neurons]
    functions = [x.name for x in synapses if isinstance(x, Differences)]
    synapses = [
        x
        for x in synapses
        if x.name not in functions or rules.is_product(calls[x.name])
    ]
    tensors += [
        sum(_share(factor) for factor in keras.tree.flatten(x.input)) for x in synapses
    ]
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
    costs, sizes = _costs(graph, data)
    in_step = [costs[x.name] for x in synapses]
    once = sum(sizes[name] for name in sizes if name not in functions)
    products = sum(sizes[x.name] for x in synapses if x.name in functions)
    return Report(
        layers=reports,
        timesteps=snn.timesteps,
        spikes=sum(x.spikes for x in reports),
        synaptic_operations=snn.timesteps * float(np.dot(in_step, shares)),
        snn_macs=sum(costs.values()) - sum(in_step),
        ann_macs=sum(costs.values()),
        snn_functions=once + snn.timesteps * sum(sizes[name] for name in functions),
        ann_functions=sum(sizes.values()) - products,
        energy=energy,
    )


def _costs(graph, data):
    """Multiply-accumulations of weights and products, and the numbers of values of
    functions, by the names of their calls."""
    # From values, since a model may leave open how large its inputs are.
    values = run_graph(graph, [x[:1] for x in data])
    costs, sizes = {}, {}
    for call in graph.calls:
        inputs = [values[id(x)].shape for x in call.inputs]
        output = values[id(call.outputs[0])].shape
        if isinstance(call.operation, SYNAPSES) or rules.is_product(call):
            costs[call.name] = macs(call.operation, *inputs, output)
        if rules.is_function(call):
            sizes[call.name] = int(np.prod(output))
    return costs, sizes


def macs(operation, *shapes):
    """Multiply-accumulations of a layer of weights, or of a product, for one sample.

    Args:
        operation: Layer or operation.
        *shapes: The shapes of its inputs and of its output, of one sample.
    """
    *inputs, output = shapes
    if isinstance(operation, layers.EinsumDense):
        shapes = [*inputs, operation.kernel.shape]
        return int(np.prod(output)) * _contracted(operation.equation, shapes)
    if not isinstance(operation, WEIGHTED):
        return int(np.prod(output)) * _summed(operation, inputs)
    kernels = [w for w in operation.weights if "kernel" in w.name]
    format = getattr(operation, "data_format", "channels_last")
    first = format == "channels_first"

    def places(shape):
        return int(np.prod(shape[2:] if first else shape[1:-1]))

    # A transposed convolution applies its kernel at every place of its input.
    transposed = "Transpose" in type(operation).__name__
    positions = places(inputs[0] if transposed else output)
    return positions * sum(int(np.prod(w.shape)) for w in kernels)


def _summed(operation, shapes):
    """How many products one value of a product of two inputs sums."""
    if isinstance(operation, layers.Dot):
        axes = np.ravel(operation.axes)
        return shapes[0][axes[0]]
    if hasattr(operation, "subscripts"):
        return _contracted(operation.subscripts, shapes)
    return shapes[0][-1]


def _contracted(equation, shapes):
    """The product of the sizes of all axes over which an equation sums."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    if not arrow:
        right = "".join(x for x in left if left.count(x) == 1)
    sizes = {}
    for labels, shape in zip(left.split(","), shapes):
        start, _, end = labels.partition("...")
        sizes.update(zip(start, shape))
        sizes.update(zip(end, shape[len(shape) - len(end) :]))
    return int(np.prod([size for label, size in sizes.items() if label not in right]))


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
