import importlib.util
import re
from typing import Any

import keras
import numpy as np

from keras_spiking.callbacks.monitors import StateMonitor
from keras_spiking.energy.counting import Inputs
from keras_spiking.energy.counting import Outputs
from keras_spiking.energy.counting import batches
from keras_spiking.energy.counting import build
from keras_spiking.energy.fan_out import CELLS
from keras_spiking.energy.fan_out import CONVOLUTIONS
from keras_spiking.energy.fan_out import DEPTHWISE
from keras_spiking.energy.fan_out import is_counted
from keras_spiking.energy.fan_out import kernels
from keras_spiking.energy.observation import observe
from keras_spiking.energy.observation import to_array
from keras_spiking.inspection.selection import all_layers
from keras_spiking.inspection.selection import check_spiking_model
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.validation import check_choice

_KNOWN = (keras.layers.Dense, *CONVOLUTIONS, *DEPTHWISE)


def run(
    model: keras.layers.Layer,
    data: Any,
    *,
    batch_size: int = 32,
    harness: str = "auto",
) -> dict[str, Any]:
    """NeuroBench's metrics of complexity, for a spiking model.

    - `"ParameterCount"`: trainable numbers.
    - `"Footprint"`: bytes of all weights and states.
    - `"ConnectionSparsity"`: the share of the synapses' weights that are 0, in four
      decimals.
    - `"ActivationSparsity"`: the share of outputs of neurons (and of layers that are
      only an activation) that are 0, over all steps.
    - `"SynapticOperations"`, per sample: those of which input and weight are not 0,
      `"Effective_ACs"` if the inputs of a layer are all -1, 0 or 1, else
      `"Effective_MACs"`; and all, `"Dense"`.
    - `"MembraneUpdates"`, per sample: how often a membrane potential changes. The first
      step counts for all neurons.

    Args:
        model: Keras model with spiking neurons.
        data: Array of inputs, or a structure of arrays as the model takes it.
        batch_size: Integer >= 1. Defaults to `32`.
        harness: Whether the package `neurobench` computes the metrics: `"auto"`, where
            it is installed, Keras runs on PyTorch, and it knows all layers of weights;
            `"always"` or `"never"`. Defaults to `"auto"`.

    Returns:
        A dictionary of these metrics, and of `"harness"`: whether the package has
        computed them.

    Raises:
        ImportError: if `harness="always"` and the package is not installed.
        ValueError: if the model has no spiking neurons, the data does not fit it, or
            the harness is to compute what it cannot, see `to_neurobench_model`.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4, 3)),
    ...         keras_spiking.layers.IFLayer(),
    ...         keras.layers.Dense(10, use_bias=False),
    ...     ]
    ... )
    >>> found = keras_spiking.neurobench.run(model, keras.ops.ones((2, 4, 3)))
    >>> found["Footprint"], found["SynapticOperations"]["Effective_ACs"]
    (120, 120.0)

    References:
        - [Yik et al., 2025](https://doi.org/10.1038/s41467-025-56739-4)
    """
    check_choice("harness", harness, ("auto", "always", "never"))
    check_spiking_model(model)
    parts = list(batches(model, data, batch_size))
    build(model, parts[0])
    if harness == "auto":
        harness = "never" if _obstacle(model) else "always"
    if harness == "always":
        adapter = to_neurobench_model(model)
        return {**adapter.benchmark(parts), "harness": True}
    totals = _Totals(model)
    for batch in parts:
        totals.add(batch)
    return {**totals.results(), "harness": False}


def to_neurobench_model(model: keras.layers.Layer) -> Any:
    """A model as NeuroBench's harness takes it, for a `Benchmark` of your own.

    The harness counts in layers of PyTorch: each layer of weights has a stand-in there,
    of the same weights, which is shown the inputs of the layer.

    Args:
        model: Keras model of one input, on the backend PyTorch, that has been built.

    Returns:
        A `neurobench.models.NeuroBenchModel`.

    Raises:
        ImportError: if the package `neurobench` is not installed.
        ValueError: if Keras does not run on PyTorch, the model has several inputs, or
            layers of weights that NeuroBench does not know: it knows dense layers and
            convolutions, depthwise ones included.

    Example:

        adapted = keras_spiking.neurobench.to_neurobench_model(model)
        metrics = [[Footprint], [SynapticOperations, ClassificationAccuracy]]
        Benchmark(adapted, loader, [], [to_class], metrics).run()
    """
    if obstacle := _obstacle(model):
        raise obstacle
    from keras_spiking.backends.torch_neurobench import Adapter

    return Adapter(model)


def _obstacle(model):
    """Why the harness cannot count a model, as an error, or `None`."""
    if keras.config.backend() != "torch":
        return ValueError(
            "NeuroBench's harness runs on PyTorch. Keras runs on "
            f"{keras.config.backend()}: use KERAS_BACKEND=torch, or `harness='never'`."
        )
    if importlib.util.find_spec("neurobench") is None:
        return ImportError(
            "NeuroBench's harness is not installed: `pip install neurobench`, or use "
            "`harness='never'`."
        )
    if len(getattr(model, "inputs", None) or [0]) > 1:
        return ValueError(
            "NeuroBench's harness takes models of one input. Received: model "
            f"'{model.name}' with {len(model.inputs)}. Use `harness='never'`."
        )
    for name, layer in all_layers(model).items():
        if is_counted(layer) and not isinstance(layer, _KNOWN):
            return ValueError(
                "NeuroBench's harness counts operations of dense layers and "
                f"convolutions. Layer '{name}' is a {type(layer).__name__}: use "
                "`harness='never'`."
            )
    return None


def membranes(model):
    """A function from a batch to potentials over time, by names of neurons."""
    names = [
        name
        for name, layer in all_layers(model).items()
        if is_spiking(layer) and isinstance(layer, TemporalLayer)
    ]
    monitor = StateMonitor(layers=names)

    def of_batch(batch):
        monitor.clear()
        found = monitor.record(model, batch) if names else {}
        # Further calls of a shared layer have a number, further states a name.
        return {k: v for k, v in found.items() if re.sub(r":\d+$", "", k) in names}

    return of_batch


def is_activation(layer):
    """Whether NeuroBench counts the zeros of what a layer returns."""
    return is_spiking(layer) or not isinstance(layer, TemporalLayer)


def connections(layer):
    """The weights of a layer whose zeros NeuroBench counts."""
    found = list(kernels(layer).values())
    if isinstance(layer, CELLS) and layer.use_bias:
        found.append(layer.bias)
    return found


class _Totals:
    """Sums over batches."""

    def __init__(self, model):
        self.model = model
        self.membranes = membranes(model)
        self.inputs = {}
        self.outputs = {}
        self.samples = self.updates = 0

    def add(self, batch):
        self.samples += len(keras.tree.flatten(batch)[0])
        observe(self.model, batch, self.at_synapses, self.at_neurons)
        for potential in self.membranes(batch).values():
            changed = int(np.count_nonzero(np.diff(potential, axis=1)))
            self.updates += potential[:, 0].size + changed

    def at_synapses(self, name, layer, part, x):
        # Each call is one of spikes or of other numbers.
        key = name, part, bool(np.isin(x, (-1, 0, 1)).all())
        self.inputs.setdefault(key, Inputs(layer, part, False)).add(x)

    def at_neurons(self, name, layer, outputs, has_time):
        if is_activation(layer):
            self.outputs.setdefault(name, Outputs(layer)).add(outputs, has_time)

    def results(self):
        model, samples = self.model, self.samples
        operations = {"Effective_MACs": 0.0, "Effective_ACs": 0.0, "Dense": 0.0}
        for (_, _, spikes), inputs in self.inputs.items():
            kind = "Effective_ACs" if spikes else "Effective_MACs"
            operations[kind] += inputs.operations(inputs.active) / samples
            operations["Dense"] += inputs.dense() * inputs.rows / samples
        weights = [
            to_array(keras.ops.convert_to_tensor(w))
            for layer in all_layers(model).values()
            if is_counted(layer) and layer.built
            for w in connections(layer)
        ]
        zeros = sum(int(np.sum(w == 0)) for w in weights)
        active = sum(x.active for x in self.outputs.values())
        every = sum(x.rows * x.neurons for x in self.outputs.values())
        return {
            "ParameterCount": sum(_size(w) for w in model.trainable_weights),
            "Footprint": sum(_size(w) * _bytes(w) for w in model.weights),
            "ConnectionSparsity": round(zeros / sum(w.size for w in weights), 4)
            if weights
            else 0.0,
            "ActivationSparsity": 1.0 - active / every,
            "SynapticOperations": operations,
            "MembraneUpdates": self.updates / samples,
        }


def _size(weight):
    return int(np.prod(weight.shape))


def _bytes(weight):
    bits = re.search(r"\d+", keras.backend.standardize_dtype(weight.dtype))
    return int(bits[0]) // 8 if bits else 1
