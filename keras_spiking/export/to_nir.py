"""Keras models as NIR graphs."""

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.export import chain
from keras_spiking.export import to_nir_neurons as neurons
from keras_spiking.export import to_nir_synapses as synapses
from keras_spiking.export.files import complete_file
from keras_spiking.export.nir_package import nir
from keras_spiking.validation import check_number


def to_nir(model, path=None, dt=1e-4, approximate=False):
    """Makes a NIR graph of a model.

    What can be written: Dense, Conv1D, Conv2D, DepthwiseConv1D and 2D,
    ZeroPadding1D and 2D in front of these and BatchNormalization behind them,
    AveragePooling2D, Flatten, Rescaling, Dropout, `Delay`, `LearnableDelay`, the
    neurons `IFLayer`, `LIFLayer`, `ParametricLIFLayer`, `CubaLayer`, `LILayer` and
    `Integrator`, and around them `ElementwiseRecurrent` (with `"add"`) and
    `RecurrentGraph`. Arrays are written with channels first, as NIR wants them, and
    kernels without groups and square, with zeros where there was nothing.

    An `LILayer` in front of leaky neurons is their synaptic current: both become
    CubaLI or CubaLIF. An `LIFLayer` with `tau=1` becomes Threshold, and the average
    of a pooling that is rescaled to the sum SumPool2d.

    A time constant of `tau` steps becomes `tau * dt`. The resistance `r` is 1 for
    `decay_input=True`, `tau` for `False`, and `1 / dt` for `IFLayer`, so that Euler
    steps of `dt` compute what the model does. `dt` is noted in the metadata of the
    graph.

    NIR has no soft reset and no fixed-point arithmetic. Such neurons raise, unless
    `approximate=True`: then they are written as the nearest NIR neuron (hard reset to
    0, real numbers), and the exact layer is noted in the metadata of its node, from
    where `from_nir` restores it. Other readers run the approximation.

    Args:
        model: Keras model over `(batch, time, ...)`.
        path: Where to write a NIR file, or `None`. A file that exists is replaced
            once the new one is complete.
        dt: Float > 0, the duration of a time step. Defaults to `1e-4`, which is
            what snnTorch takes for granted.
        approximate: Boolean, whether neurons that NIR cannot express are
            approximated. Defaults to `False`.

    Returns:
        The `nir.NIRGraph`.

    Raises:
        ValueError: before anything is written, if a layer cannot be expressed.
        ImportError: if the package `nir` is missing.

    References:
        - [Pedersen et al., 2024](https://doi.org/10.1038/s41467-024-52259-9)
    """
    writer = _Writer(check_number("dt", dt, above=0.0), approximate)
    stages = chain.chain(model)
    shape = chain.channels_first(stages[0].input_shape)
    writer.nodes["input"] = nir().Input({"input": np.array(shape)})
    last = writer.add_all(stages, ["input"])
    shape = chain.channels_first(stages[-1].output_shape)
    writer.nodes["output"] = nir().Output({"output": np.array(shape)})
    writer.edges += [(name, "output") for name in last]
    graph = nir().NIRGraph(writer.nodes, writer.edges, metadata={"dt": dt})
    if path is not None:
        with complete_file(path) as temporary:
            nir().write(temporary, graph)
    return graph


class _Writer:
    """Collects nodes and edges."""

    def __init__(self, dt, approximate):
        self.dt = dt
        self.approximate = approximate
        self.nodes = {}
        self.edges = []

    def add_all(self, stages, before):
        """Adds stages that follow one another behind the nodes `before`.

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
            node = neurons.current_based(synapse, stage, self.dt)
        else:
            node = neurons.neurons(stage, self.dt, self.approximate)
        return self._put(stage.layer.name, node, before)

    def _stateless(self, stage, stages, before):
        padding = (0, 0)
        if isinstance(stage.layer, synapses.PADDINGS):
            padding = synapses.symmetric_padding(stage)
            if not stages or not isinstance(
                chain.inner(stages[0].layer), (*synapses.CONVOLUTIONS, synapses.POOLING)
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
        if isinstance(layer, synapses.POOLING):
            summed = bool(stages) and synapses.is_sum(layer, stages[0].layer)
            if summed:
                stages.pop(0)
            return self._put(name, synapses.pool(stage, padding, summed), before)
        if not isinstance(layer, (keras.layers.Dense, *synapses.CONVOLUTIONS)):
            raise ValueError(
                f"NIR has no {stage}. It takes Dense, Conv1D, Conv2D, "
                "DepthwiseConv1D, DepthwiseConv2D, AveragePooling2D, Flatten, "
                "BatchNormalization behind one of these, Rescaling, Delay, "
                "LearnableDelay, IFLayer, LIFLayer, LILayer, CubaLayer, Integrator, "
                "RecurrentGraph and Dropout. Encoders and readouts are not part of a "
                "graph: export what is between them."
            )
        if getattr(layer, "activation", None) not in (None, keras.activations.linear):
            raise ValueError(f"{stage}: NIR has no activation functions.")
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(f"{stage}: export takes `data_format='channels_last'`.")
        normalization = None
        if stages and isinstance(stages[0].layer, keras.layers.BatchNormalization):
            normalization = stages.pop(0).layer
        kernel, bias = synapses.weights(stage.layer, normalization)
        if isinstance(layer, keras.layers.Dense):
            node = synapses.dense(stage, kernel, bias, self.pixels)
            self.pixels = None
        else:
            node = synapses.convolution(stage, kernel, bias, padding)
        return self._put(name, node, before)

    # The shape that a Flatten in front of the next Dense layer has flattened with
    # channels last.
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
            if not stages or not isinstance(
                chain.inner(stages[0].layer), keras.layers.Dense
            ):
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
        known = set(self.nodes)
        last = self.add_all(chain.stages_of(layer.layers, stage.input_shape), before)
        first = next(name for name in self.nodes if name not in known)
        self.edges += [(name, first) for name in last]
        return last

    def _graph(self, stage, before):
        layer = stage.layer
        if layer.reduce is not None:
            raise ValueError(f"{stage}: only `reduce=None` can be exported.")
        shapes = {"input": stage.input_shape}
        shapes |= {n: s[1:] for n, s in zip(layer.order, layer.node_shapes)}
        starts, stops = {"output": "output"}, {"input": before}
        for name, node in layer.nodes.items():
            source = next(a for a, b in layer.edges if b == name)
            known = set(self.nodes)
            stops[name] = self.add_all(chain.stages_of(node, shapes[source]), [])
            starts[name] = next(n for n in self.nodes if n not in known)
        self.edges += [
            (stop, starts[after])
            for source, after in layer.edges
            if after != "output"
            for stop in stops[source]
        ]
        return [s for a, b in layer.edges if b == "output" for s in stops[a]]
