"""The nodes and edges of a NIR graph, collected from the stages of a model."""

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.conversion.folding import FOLDABLE
from keras_spiking.export import network
from keras_spiking.export import to_nir_neurons as neurons
from keras_spiking.export import to_nir_pooling as pooling
from keras_spiking.export import to_nir_synapses as synapses
from keras_spiking.export import walk
from keras_spiking.export.nir_graph import check_values
from keras_spiking.export.nir_package import nir
from keras_spiking.layers.containers.recurrent_graph import _break_cycles

_FLATTENING = (keras.layers.Permute, keras.layers.Flatten)


class Writer:
    """Collects nodes and edges.

    Attributes:
        dt, approximate, at_threshold: As in `to_nir`.
        nodes: Dictionary from names to NIR nodes.
        edges: List of pairs of names.
        delayed: List of those of the edges that carry the step before.
        maxima: Set of the names of the Thresholds that tell whether there is a spike.
        soft_reset: Boolean, whether the neurons of the reader subtract their threshold.
    """

    def __init__(self, dt, approximate, at_threshold, soft_reset=False):
        self.dt = dt
        self.soft_reset = soft_reset
        self.maxima = set()
        self.approximate = approximate
        self.at_threshold = at_threshold
        self.nodes = {}
        self.edges = []
        self.delayed = []

    def add_network(self, stages, before):
        """Adds the stages of a `Network`, after the nodes `before`.

        Returns:
            A list of the names of the nodes that give the output.
        """
        # What follows them changes how they are written, or whether they can be.
        stages.copy_for_each_use((*synapses.PADDINGS, *_FLATTENING))
        names = {id(stages.source): before}
        for segment in stages.segments():
            first, last = segment[0], segment[-1]
            sources = [name for x in first.inputs for name in names[id(x)]]
            add = self._sum if first.sums else self._segment
            names[id(last)] = add(segment, sources)
        return names[id(stages.output)]

    def _sum(self, segment, sources):
        """Nodes get the sum of all that has an edge to them, each once."""
        once = []
        for source in sources:
            if source in once:
                layer = segment[0].layer
                source = self.identity(layer.name, segment[0].output_shape, [source])
            once.append(source)
        return once

    def identity(self, name, shape, before):
        """Adds a node that does nothing; returns its name."""
        return self._put(name, synapses.identity(shape), before)[0]

    def _segment(self, segment, before):
        stages = list(segment)
        while stages:
            stage = stages.pop(0)
            layer = stage.layer
            if isinstance(layer, layers.RecurrentGraph):
                before = self._graph(stage, before)
            elif isinstance(layer, layers.ElementwiseRecurrent):
                before = self._feedback(stage, before)
            elif isinstance(layer, _FLATTENING):
                before = self._flatten(stage, stages, before)
            elif isinstance(layer, layers.TemporalLayer):
                before = self._neurons(stage, stages, before)
            else:
                before = self._stateless(stage, stages, before)
        return before

    def _put(self, name, node, before):
        try:
            check_values(node)
        except ValueError as error:
            raise ValueError(f"The layer '{name}' cannot be written: {error}") from None
        if name in ("input", "output"):  # the ends of the graph
            name = f"{name}_layer"
        name = self._unused(name)
        self.nodes[name] = node
        self.edges += [(b, name) for b in before]
        return [name]

    def _unused(self, name):
        """The name, with a number if a layer is used again or has the same one."""
        found, number = name, 1
        while found in self.nodes:
            number += 1
            found = f"{name}_{number}"
        return found

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
            if not stages or not network.is_a(
                stages[0].layer, (*synapses.CONVOLUTIONS, *pooling.PADDED)
            ):
                raise ValueError(
                    f"{stage} must be followed by a convolution or a pooling, whose "
                    "padding it becomes."
                )
            stage = stages.pop(0)
        layer = network.inner(stage.layer)
        name = stage.layer.name
        if isinstance(layer, keras.layers.Rescaling):
            return self._put(name, synapses.scale(stage), before)
        if isinstance(layer, (layers.Delay, layers.LearnableDelay)):
            return self._put(name, neurons.delay(stage, self.dt), before)
        if isinstance(layer, layers.DelayedDense):
            return self._delayed_dense(stage, stages, before)
        if network.is_a(layer, pooling.POOLINGS):
            return self._pool(stage, stages, before, padding)
        if isinstance(layer, layers.Voting):
            return self._put(name, synapses.voting(stage), before)
        if network.is_a(layer, FOLDABLE):
            return self._put(name, synapses.normalization(stage), before)
        if not network.is_a(layer, (keras.layers.Dense, *synapses.CONVOLUTIONS)):
            raise ValueError(
                f"NIR has no {stage}. It takes Dense, Conv1D, Conv2D, "
                "DepthwiseConv1D, DepthwiseConv2D, average pooling, maximum pooling "
                "of spikes, Flatten, BatchNormalization, Rescaling, Voting, Add, "
                "Subtract, Average, Concatenate, Delay, LearnableDelay, DelayedDense, "
                "IFLayer, LIFLayer, ParametricLIFLayer, LILayer, CubaLayer, "
                "Integrator, RecurrentGraph, ElementwiseRecurrent and Dropout. "
                "Encoders and readouts are not part of a graph: export what is between "
                'them, with `strip="io"`.'
            )
        if getattr(layer, "activation", None) not in (None, keras.activations.linear):
            raise ValueError(f"{stage}: NIR has no activation functions.")
        _check_channels_last(stage)
        kernel, bias = self._weights(stage, stages)
        if isinstance(layer, keras.layers.Dense):
            node = synapses.dense(stage, kernel, bias, self.pixels)
            self.pixels = None
        else:
            node = synapses.convolution(stage, kernel, bias, padding)
        return self._put(name, node, before)

    def _weights(self, stage, stages):
        normalization = None
        if stages and network.is_a(stages[0].layer, FOLDABLE):
            normalization = stages.pop(0)
        return synapses.weights(stage, normalization)

    def _delayed_dense(self, stage, stages, before):
        """A Delay and a Linear for the synapses of each delay, which add up."""
        name, steps = stage.layer.name, network.delays(stage)
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

    def _pool(self, stage, stages, before, padding):
        _check_channels_last(stage)
        layer, name = stage.layer, stage.layer.name
        summed = bool(stages) and pooling.is_sum(layer, stages[0].layer)
        if summed:
            stages.pop(0)
        before = self._put(name, pooling.pool(stage, padding, summed), before)
        if network.is_a(layer, pooling.MAXIMUM):
            node = pooling.any_spike(stage)
            before = self._put(f"{name}_any", node, before)
            self.maxima.update(before)
        if pooling.flattens(layer):
            node = synapses.flatten(pooling.pooled_shape(stage))
            before = self._put(f"{name}_flatten", node, before)
        return before

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
        elif sum(n > 1 for n in shape[:-1]):
            dense = (keras.layers.Dense, layers.DelayedDense)
            if not stages or not isinstance(network.inner(stages[0].layer), dense):
                raise ValueError(
                    f"{stage} must be followed by Dense: NIR flattens with channels "
                    "first, and only its weights can be reordered."
                )
            self.pixels = shape
        return self._put(stage.layer.name, synapses.flatten(shape), before)

    def _feedback(self, stage, before):
        layer = stage.layer
        if layer.function is not keras.ops.add:
            raise ValueError(f"{stage}: only `function='add'` can be exported.")
        firsts, lasts = self._inside(layer.layers, stage.input_shape, layer.name)
        self.edges += [(b, first) for b in before for first in firsts]
        self._delay(lasts, firsts, stage.input_shape, layer.name)
        return lasts

    def _delay(self, sources, targets, shape, name):
        """Adds edges that carry the step before."""
        if min(len(sources), len(targets)) > 1:
            # Of cycles that cross each other, readers would delay a few edges only.
            join = self.identity(name, shape, [])
            self.edges += [(join, target) for target in targets]
            targets = [join]
        edges = [(source, target) for source in sources for target in targets]
        self.edges += edges
        self.delayed += edges

    def _inside(self, contents, shape, name):
        """Adds layers of one step, without what comes before them.

        Returns:
            Lists of the names of the nodes that get the input, and of those that give
            the output.
        """
        stages = walk.of_layers(contents, shape)
        entry = object()  # in the place of what comes before
        lasts = self.add_network(stages, [entry])
        firsts = [b for a, b in self.edges if a is entry]
        self.edges = [edge for edge in self.edges if edge[0] is not entry]
        if entry in lasts:  # the input is part of the output, but edges need a node
            node = self.identity(name, shape, [])
            self.edges += [(node, first) for first in firsts]
            firsts, lasts = [node], [node if n is entry else n for n in lasts]
        return firsts, lasts

    def _graph(self, stage, before):
        layer = stage.layer
        shapes = {"input": stage.input_shape}
        shapes |= {n: s[1:] for n, s in zip(layer.order, layer.node_shapes)}
        starts, stops = {}, {"input": before}
        for name, node in layer.nodes.items():
            source = next(a for a, b in layer.edges if b == name)
            starts[name], stops[name] = self._inside(node, shapes[source], name)
        for source, after in layer.edges:
            if (source, after) in layer.delayed_edges:
                name = f"{source}_{after}"
                self._delay(stops[source], starts[after], shapes[source], name)
            elif after != "output":
                self.edges += [(a, b) for a in stops[source] for b in starts[after]]
        return [s for a, b in layer.edges if b == "output" for s in stops[a]]

    def check_delays(self):
        """Raises a `ValueError` if `from_nir` would delay other edges of cycles."""
        if not self.delayed:
            return
        neurons = {k for k, n in self.nodes.items() if isinstance(n, _over_time())}
        delayed, _ = _break_cycles(self.edges, neurons)
        if set(delayed) != set(self.delayed):
            raise ValueError(
                f"The model delays the edges {self.delayed} by a time step. NIR does "
                f"not note that, and a reader would delay {delayed}, the edges that "
                "leave the last neurons of a cycle: let neurons be the last layer of "
                "their node, or of an ElementwiseRecurrent."
            )


def _check_channels_last(stage):
    if getattr(network.inner(stage.layer), "data_format", None) == "channels_first":
        raise ValueError(f"{stage}: export takes `data_format='channels_last'`.")


def _over_time():
    names = ("CubaLI", "CubaLIF", "Delay", "I", "IF", "LI", "LIF", "Threshold")
    return tuple(getattr(nir(), name) for name in names)
