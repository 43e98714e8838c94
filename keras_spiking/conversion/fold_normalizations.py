import keras

from keras_spiking.conversion import graph as graphs
from keras_spiking.conversion.folding import FOLDABLE
from keras_spiking.conversion.folding import WEIGHTED
from keras_spiking.conversion.folding import copy_layer
from keras_spiking.conversion.folding import scale_and_shift
from keras_spiking.conversion.folding import scale_outputs
from keras_spiking.layers.containers.elementwise_recurrent import ElementwiseRecurrent
from keras_spiking.layers.containers.recurrent_graph import RecurrentGraph
from keras_spiking.layers.containers.rematerialize import Rematerialize
from keras_spiking.layers.containers.seq_to_batch import SeqToBatch
from keras_spiking.layers.containers.step_by_step import StepByStep


def fold_normalizations(model: keras.Model) -> keras.Model:
    """A copy of a trained spiking network with its normalisations folded.

    At inference, a `BatchNormalization` or `ThresholdDependentBatchNormalization`
    after a dense or convolutional layer is part of that layer's kernel and bias.
    Outputs stay the same but for rounding. A normalisation that comes after
    anything else, or scales each time step in its own way, stays.

    Args:
        model: A built Sequential or Functional model. What is inside of containers,
            such as `SeqToBatch` and `RecurrentGraph`, is folded, too. Models inside of
            a Functional model are dissolved into their layers. A layer that is shared
            keeps its weights unless it has the same normalisation wherever it is used.

    Returns:
        A `keras.Sequential` for a `keras.Sequential`, else a `keras.Model`.

    Raises:
        TypeError: if the model is neither.
        ValueError: if it has no weights yet.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((5, 3)),
    ...         keras.layers.Dense(4),
    ...         keras_spiking.layers.ThresholdDependentBatchNormalization(),
    ...         keras_spiking.layers.LIFLayer(),
    ...     ]
    ... )
    >>> len(keras_spiking.conversion.fold_normalizations(model).layers)
    2
    """
    if not (isinstance(model, keras.Model) and graphs.is_graph(model)):
        raise TypeError(
            "`fold_normalizations` takes a keras.Sequential or a Functional model. "
            f"Received: {model!r} (of type {type(model).__name__})"
        )
    if not model.built:
        raise ValueError(
            f"The model '{model.name}' has no weights yet: start it with "
            "`keras.Input`, or call it on data first."
        )
    if not isinstance(model, keras.Sequential):
        return _fold_graph(model)
    layers = _fold(model.layers)
    folded = keras.Sequential(layers, name=model.name)
    folded.build(model.input_shape)
    return folded


def _fold_graph(model):
    graph = graphs.trace(model)
    copies = {}
    for call in graph.calls:
        operation = call.operation
        if id(operation) not in copies:
            copies[id(operation)] = _copy(operation)
        call.operation = copies[id(operation)]
    for normalization in copies.values():
        if type(normalization) in FOLDABLE:
            _absorb_calls(graph, normalization)

    def start(x):
        return keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name)

    inputs = keras.tree.map_structure(start, graph.inputs)
    old, new = keras.tree.flatten(graph.inputs), keras.tree.flatten(inputs)
    values = graphs.run(graph.calls, {id(x): y for x, y in zip(old, new)})
    outputs = graphs.fill_in(graph.outputs, values)
    return keras.Model(inputs, outputs, name=model.name)


def _absorb_calls(graph, normalization):
    """Folds a normalisation into the layer that stands before it in all its calls."""
    calls = [call for call in graph.calls if call.operation is normalization]
    before = [c for c in graph.calls if any(c.outputs[0] is x.inputs[0] for x in calls)]
    layers = {id(call.operation): call.operation for call in before}
    same = [call for call in graph.calls if id(call.operation) in layers]
    alone = all(
        len(graph.consumers(call.outputs[0])) == 1
        and not graph.is_output(call.outputs[0])
        for call in before
    )
    if len(layers) != 1 or not len(calls) == len(before) == len(same) or not alone:
        return
    folded = list(layers.values())
    if _absorb(folded, normalization):
        for call in before:
            call.operation = folded[0]
        for call in calls:
            graph.remove(call)


def _fold(layers):
    folded = []
    for layer in layers:
        if type(layer) not in FOLDABLE or not _absorb(folded, layer):
            folded.append(_copy(layer))
    return folded


def _copy(layer):
    """A copy of a layer, with what is inside of it folded."""
    kind, name = type(layer), getattr(layer, "name", None)
    if isinstance(layer, keras.Model) and graphs.is_graph(layer):
        return fold_normalizations(layer)
    if kind in (SeqToBatch, Rematerialize):
        return kind(_fold(layer.layers), name=name)
    if kind is StepByStep:
        inside, reduce = _fold(layer.layers), layer.reduce
        return StepByStep(inside, layer.timesteps, reduce=reduce, name=name)
    if kind is ElementwiseRecurrent:
        inside, reduce = _fold(layer.layers), layer.reduce
        return ElementwiseRecurrent(inside, layer.function, reduce=reduce, name=name)
    if kind is RecurrentGraph:
        nodes = {key: _fold(node) for key, node in layer.nodes.items()}
        return RecurrentGraph(nodes, layer.edges, reduce=layer.reduce, name=name)
    return copy_layer(layer)


def _absorb(folded, normalization):
    """Folds a normalisation into the last of the layers, if it can."""
    if not folded:
        return False
    layer = folded[-1]
    if isinstance(layer, SeqToBatch):
        inner = list(layer.layers)
        if not _absorb(inner, normalization):
            return False
        folded[-1] = SeqToBatch(inner, name=layer.name)
        return True
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    if (
        not isinstance(layer, WEIGHTED)
        or layer.activation is not keras.activations.linear
        or (normalization.axis == -1) == channels_first
    ):
        return False
    folded[-1] = scale_outputs(layer, *scale_and_shift(normalization))
    return True
