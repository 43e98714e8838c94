"""Neurons between functions and synapses: what synapses receive is spikes."""

import keras
from keras import layers

from keras_spiking.conversion import rules
from keras_spiking.conversion.folding import WEIGHTED
from keras_spiking.conversion.graph import Call
from keras_spiking.conversion.graph import fill_in
from keras_spiking.conversion.rules import Rectifier

SYNAPSES = (*WEIGHTED, layers.EinsumDense)
_SYNAPSE_OPERATIONS = {"Conv", "Einsum", "Matmul"}


def is_weighted(call):
    """Whether a call applies weights that mix its inputs."""
    if isinstance(call.operation, keras.layers.Layer):
        return isinstance(call.operation, SYNAPSES)
    is_synapse = type(call.operation).__name__ in _SYNAPSE_OPERATIONS
    return is_synapse and len(call.inputs) == 1


def insert_neurons(graph):
    """Inserts neurons of both signs in front of weights and products.

    `Differences` computes functions, such as layer normalisation, with real numbers.
    Where these reach weights, neurons follow on the function; both factors of a
    product, as the query and the key of attention, become spikes as well. They are
    `Rectifier`s of slope 1: the ANN stays the same.
    """
    producers = {id(x): call for call in graph.calls for x in call.outputs}
    found = {}  # tensors, and the calls that take spikes in their place
    for call in graph.calls:
        product = rules.is_product(call)
        if not product and not is_weighted(call):
            continue
        for x in call.inputs:
            if not keras.backend.is_float_dtype(x.dtype):
                continue
            functions, others = _sources(x, producers)
            if product and others:
                found.setdefault(id(x), (x, []))[1].append(call)
            else:
                for y in functions:
                    found[id(y)] = (y, graph.consumers(y))
    for tensor, consumers in found.values():
        _insert(graph, tensor, consumers, producers)


def _sources(tensor, producers):
    """Where a tensor comes from: the outputs of functions, and whether there are
    others that are no spikes."""
    call = producers.get(id(tensor))
    if call is not None and isinstance(call.operation, Rectifier):
        return [], False
    if call is not None and rules.is_function(call):
        return [tensor], False
    passes = call is not None and (rules.is_affine(call) or rules.is_maximum(call))
    if not passes or is_weighted(call):
        return [], True
    found = [_sources(x, producers) for x in call.inputs]
    return sum((f for f, _ in found), []), any(others for _, others in found)


def _insert(graph, tensor, consumers, producers):
    before = producers.get(id(tensor))
    spikes = keras.KerasTensor(tensor.shape, dtype=tensor.dtype)
    for call in consumers:
        values = {id(tensor): spikes}
        call.args, call.kwargs = fill_in((call.args, call.kwargs), values)
    name = "inputs" if before is None else before.name
    place = tensor.name if before is None else before.place
    neurons = Call(
        Rectifier(negative_slope=1.0),
        (tensor,),
        {},
        [spikes],
        f"{name}_neurons",
        place,
    )
    index = 0 if before is None else graph.calls.index(before) + 1
    graph.calls.insert(index, neurons)
