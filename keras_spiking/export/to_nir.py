"""Keras models as NIR graphs."""

import os
from typing import Any

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.conversion.folding import FOLDABLE
from keras_spiking.export import chain
from keras_spiking.export import to_nir_neurons as neurons
from keras_spiking.export import to_nir_synapses as synapses
from keras_spiking.export.files import complete_file
from keras_spiking.export.nir_graph import check_values
from keras_spiking.export.nir_package import nir
from keras_spiking.layers.containers.recurrent_graph import _break_cycles
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number


def to_nir(
    model: keras.Model,
    path: str | os.PathLike | None = None,
    dt: float = 1e-4,
    *,
    approximate: bool = False,
    at_threshold: bool = False,
) -> Any:
    """Makes a NIR graph of a model.

    What can be written: Dense, Conv1D, Conv2D, DepthwiseConv1D and 2D,
    ZeroPadding1D and 2D before these and BatchNormalization after them,
    AveragePooling2D, Flatten, Rescaling, `Delay`, `LearnableDelay`, `DelayedDense`,
    the neurons `IFLayer`, `LIFLayer`, `ParametricLIFLayer`, `CubaLayer`, `LILayer` and
    `Integrator`, and around them `ElementwiseRecurrent` (with `"add"`) and
    `RecurrentGraph`. Layers that do nothing at inference, such as dropout and noise,
    are left out. Arrays are written with channels first, as NIR defines them, and
    kernels without groups and square, padded with zeros.

    An `LILayer` before leaky neurons is their synaptic current: both become CubaLI or
    CubaLIF. An `LIFLayer` with `tau=1` becomes Threshold, and the average of a pooling
    that is rescaled to the sum SumPool2d. A `DelayedDense` becomes a Delay and a Linear
    for each delay of its synapses, side by side.

    A time constant of `tau` steps becomes `tau * dt`. The resistance `r` is 1 for
    `decay_input=True`, `tau` for `False`, and `1 / dt` for `IFLayer`, so that Euler
    steps of `dt` compute what the model does. `dt` is noted in the metadata of the
    graph.

    The neurons of this package fire where `v >= v_threshold`, NIR's where `v >
    v_threshold`: the thresholds that are written are the next smaller floats, so that
    a reader that follows NIR gets the same spikes. `at_threshold=True` writes them as
    they are, for readers whose neurons fire at the threshold, such as SpikingJelly.

    NIR has no soft reset and no fixed-point arithmetic. Such neurons raise, unless
    `approximate=True`: then they are written as the nearest NIR neuron (hard reset to
    0, real numbers), and the exact layer is noted in the metadata of its node, from
    where `from_nir` restores it. Other readers run the approximation.

    Args:
        model: Keras model over `(batch, time, ...)`.
        path: Where to write a NIR file, or `None`. A file that exists is replaced
            once the new one is complete.
        dt: Float > 0, the duration of a time step. Defaults to `1e-4`, which is
            the value that snnTorch assumes.
        approximate: Boolean, whether neurons that NIR cannot express are
            approximated. Defaults to `False`.
        at_threshold: Boolean, whether the neurons of the reader fire at their
            threshold, too. Read such a file with `from_nir(..., at_threshold=True)`.
            Defaults to `False`, NIR's definition.

    Returns:
        The `nir.NIRGraph`.

    Raises:
        ValueError: before anything is written, if a layer cannot be expressed.
        ImportError: if the package `nir` is missing.

    References:
        - [Pedersen et al., 2024](https://doi.org/10.1038/s41467-024-52259-9)
    """
    writer = _Writer(
        dt=check_number("dt", dt, above=0.0),
        approximate=check_bool("approximate", approximate),
        at_threshold=check_bool("at_threshold", at_threshold),
    )
    stages = chain.chain(model)
    shape = chain.channels_first(stages[0].input_shape)
    writer.nodes["input"] = nir().Input({"input": np.array(shape)})
    last = writer.add_all(stages, ["input"])
    shape = chain.channels_first(stages[-1].output_shape)
    writer.nodes["output"] = nir().Output({"output": np.array(shape)})
    writer.edges += [(name, "output") for name in last]
    writer.check_delays()
    graph = nir().NIRGraph(writer.nodes, writer.edges, metadata={"dt": dt})
    if path is not None:
        with complete_file(path) as temporary:
            nir().write(temporary, graph)
    return graph


class _Writer:
    """Collects nodes and edges."""

    def __init__(self, dt, approximate, at_threshold):
        self.dt = dt
        self.approximate = approximate
        self.at_threshold = at_threshold
        self.nodes = {}
        self.edges = []
        self.delayed = []  # those of the edges that carry the step before

    def add_all(self, stages, before):
        """Adds stages that follow one another, after the nodes `before`.

        Returns:
            A list of the names of the nodes that give the output.
        """
        stages = list(stages)
        while stages:
            stage = stages.pop(0)
            layer = stage.layer
            if isinstance(layer, layers.RecurrentGraph):
                before = self._graph(stage, before)
            elif isinstance(layer, layers.ElementwiseRecurrent):
                before = self._feedback(stage, before)
            elif isinstance(layer, (keras.layers.Permute, keras.layers.Flatten)):
                before = self._flatten(stage, stages, before)
            elif isinstance(layer, layers.TemporalLayer):
                before = self._neurons(stage, stages, before)
            else:
                before = self._stateless(stage, stages, before)
        return before

    def _put(self, name, node, before):
        if name in ("input", "output"):  # the ends of the graph
            name = f"{name}_layer"
        try:
            check_values(node)
        except ValueError as error:
            raise ValueError(f"The layer '{name}' cannot be written: {error}") from None
        if name in self.nodes:
            raise ValueError(
                f"The layer '{name}' is used more than once, or two layers have this "
                "name: a NIR graph needs a node for each."
            )
        self.nodes[name] = node
        self.edges += [(b, name) for b in before]
        return [name]

    def _neurons(self, stage, stages, before):
        if neurons.is_synapse(stage, stages):
            synapse, stage = stage, stages.pop(0)
            node = neurons.current_based(synapse, stage, self)
        else:
            node = neurons.neurons(stage, self)
        return self._put(stage.layer.name, node, before)

    def _stateless(self, stage, stages, before):
        padding = (0, 0)
        if isinstance(stage.layer, synapses.PADDINGS):
            padding = synapses.symmetric_padding(stage)
            if not stages or not chain.is_a(
                stages[0].layer, (*synapses.CONVOLUTIONS, synapses.POOLING)
            ):
                raise ValueError(
                    f"{stage} must be followed by a convolution or AveragePooling2D, "
                    "whose padding it becomes."
                )
            stage = stages.pop(0)
        layer = chain.inner(stage.layer)
        name = stage.layer.name
        if isinstance(layer, keras.layers.Rescaling):
            return self._put(name, synapses.scale(stage), before)
        if isinstance(layer, (layers.Delay, layers.LearnableDelay)):
            return self._put(name, neurons.delay(stage, self.dt), before)
        if isinstance(layer, layers.DelayedDense):
            return self._delayed_dense(stage, stages, before)
        if isinstance(layer, synapses.POOLING):
            summed = bool(stages) and synapses.is_sum(layer, stages[0].layer)
            if summed:
                stages.pop(0)
            return self._put(name, synapses.pool(stage, padding, summed), before)
        if not chain.is_a(layer, (keras.layers.Dense, *synapses.CONVOLUTIONS)):
            raise ValueError(
                f"NIR has no {stage}. It takes Dense, Conv1D, Conv2D, "
                "DepthwiseConv1D, DepthwiseConv2D, AveragePooling2D, Flatten, "
                "BatchNormalization after one of these, Rescaling, Delay, "
                "LearnableDelay, DelayedDense, IFLayer, LIFLayer, LILayer, CubaLayer, "
                "Integrator, RecurrentGraph and Dropout. Encoders and readouts are not "
                "part of a graph: export what is between them."
            )
        if getattr(layer, "activation", None) not in (None, keras.activations.linear):
            raise ValueError(f"{stage}: NIR has no activation functions.")
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(f"{stage}: export takes `data_format='channels_last'`.")
        kernel, bias = self._weights(stage, stages)
        if isinstance(layer, keras.layers.Dense):
            node = synapses.dense(stage, kernel, bias, self.pixels)
            self.pixels = None
        else:
            node = synapses.convolution(stage, kernel, bias, padding)
        return self._put(name, node, before)

    def _weights(self, stage, stages):
        normalization = None
        if stages and chain.is_a(stages[0].layer, FOLDABLE):
            normalization = stages.pop(0)
        return synapses.weights(stage, normalization)

    def _delayed_dense(self, stage, stages, before):
        """A Delay and a Linear for the synapses of each delay, which add up."""
        name, steps = stage.layer.name, chain.delays(stage)
        kernel, bias = self._weights(stage, stages)
        shortest = steps.min()

        def delay(steps):
            delays = synapses.per_neuron(steps * self.dt, stage.input_shape)
            return nir().Delay(delays)

        # All begin with the shortest delay: what comes before has one way in.
        start = self._put(f"{name}_delay", delay(shortest), before)
        last = []
        for d in np.unique(steps):
            late = start
            if d > shortest:
                late = self._put(f"{name}_delay_{d:.0f}", delay(d - shortest), start)
            weight = np.where(steps == d, kernel, 0).astype(kernel.dtype)
            node = synapses.dense(stage, weight, bias, self.pixels)
            last += self._put(f"{name}_after_{d:.0f}", node, late)
            bias = None
        self.pixels = None
        return last

    # The shape that a Flatten before the next Dense layer has flattened with channels
    # last.
    pixels = None

    def _flatten(self, stage, stages, before):
        shape = stage.input_shape
        if isinstance(stage.layer, keras.layers.Permute):
            to_front = (len(shape), *range(1, len(shape)))
            follows = stages and isinstance(stages[0].layer, keras.layers.Flatten)
            if tuple(stage.layer.dims) != to_front or not follows:
                raise ValueError(
                    f"{stage}: NIR cannot permute. Only moving channels to the front "
                    "of a Flatten can be exported."
                )
            stage = stages.pop(0)
        elif len(shape) > 1:
            dense = (keras.layers.Dense, layers.DelayedDense)
            if not stages or not isinstance(chain.inner(stages[0].layer), dense):
                raise ValueError(
                    f"{stage} must be followed by Dense: NIR flattens with channels "
                    "first, and only its weights can be reordered."
                )
            self.pixels = shape
        node = nir().Flatten(
            input_type={"input": np.array(chain.channels_first(shape))},
            start_dim=0,
            end_dim=-1,
        )
        return self._put(stage.layer.name, node, before)

    def _feedback(self, stage, before):
        layer = stage.layer
        if layer.function is not keras.ops.add or layer.reduce is not None:
            raise ValueError(
                f"{stage}: only `function='add'` and `reduce=None` can be exported."
            )
        first, last = self._chain(layer.layers, stage.input_shape, layer.name, before)
        back = [(name, first) for name in last]
        self.edges += back
        self.delayed += back
        return last

    def _chain(self, contents, shape, name, before):
        """Adds layers of one step; returns the first node and a list of the last."""
        stages = chain.stages_of(contents, shape)
        if not stages:  # they do nothing at inference, but edges need a node
            shape = chain.channels_first(shape)
            before = self._put(name, nir().Scale(np.ones(shape)), before)
            return name, before
        known = set(self.nodes)
        last = self.add_all(stages, before)
        return next(n for n in self.nodes if n not in known), last

    def _graph(self, stage, before):
        layer = stage.layer
        if layer.reduce is not None:
            raise ValueError(f"{stage}: only `reduce=None` can be exported.")
        shapes = {"input": stage.input_shape}
        shapes |= {n: s[1:] for n, s in zip(layer.order, layer.node_shapes)}
        starts, stops = {"output": "output"}, {"input": before}
        for name, node in layer.nodes.items():
            source = next(a for a, b in layer.edges if b == name)
            starts[name], stops[name] = self._chain(node, shapes[source], name, [])
        for source, after in layer.edges:
            if after != "output":
                edges = [(stop, starts[after]) for stop in stops[source]]
                self.edges += edges
                if (source, after) in layer.delayed_edges:
                    self.delayed += edges
        return [s for a, b in layer.edges if b == "output" for s in stops[a]]

    def check_delays(self):
        """Raises a `ValueError` if `from_nir` would delay other edges of cycles."""
        neurons = {k for k, n in self.nodes.items() if isinstance(n, _over_time())}
        delayed, _ = _break_cycles(self.edges, neurons)
        if set(delayed) != set(self.delayed):
            raise ValueError(
                f"The model delays the edges {self.delayed} by a time step. NIR does "
                f"not note that, and a reader would delay {delayed}, the edges that "
                "leave the last neurons of a cycle: let neurons be the last layer of "
                "their node, or of an ElementwiseRecurrent."
            )


def _over_time():
    names = ("CubaLI", "CubaLIF", "Delay", "I", "IF", "LI", "LIF", "Threshold")
    return tuple(getattr(nir(), name) for name in names)
