"""Layers and functions that are made of others are replaced by the calls inside."""

import keras
import numpy as np
from keras import layers
from keras import ops

from keras_spiking.conversion import rules
from keras_spiking.conversion.folding import copy_layer
from keras_spiking.conversion.folding import split_activations
from keras_spiking.conversion.graph import fill_in
from keras_spiking.conversion.graph import trace_inner
from keras_spiking.conversion.graph import without_traces
from keras_spiking.layers.temporal_layer import TemporalLayer

# What happens inside of these cannot be expressed by calls.
_WHOLE = (layers.Lambda, layers.Wrapper, layers.RNN, TemporalLayer)


def dissolve(graph):
    """Replaces every call of a layer that `rules` does not know by what it calls.

    That is `MultiHeadAttention`, and layers of one's own that are written with Keras
    layers and functions of `keras.ops`, such as a transformer's block. Those whose
    `call` does not run on symbolic tensors stay: `Call.trouble` tells why.
    """
    names = {call.name: 1 for call in graph.calls}
    while True:
        split_activations(graph)
        replaced = {}
        calls = []
        for call in graph.calls:
            inner = _inside(graph, call, names, replaced)
            calls += [call] if inner is None else inner
        graph.calls = calls
        if not replaced:
            return
        _replace(graph, replaced)


def _replace(graph, values):
    for call in graph.calls:
        call.args, call.kwargs = fill_in((call.args, call.kwargs), values)
    graph.outputs = fill_in(graph.outputs, values)


def _inside(graph, call, names, replaced):
    """The calls inside of one, or `None`. Its outputs are added to `replaced`."""
    function = _function(call)
    if function is None or call.trouble is not None or rules.is_head(graph, call):
        return None
    tensors = list({id(x): x for x in call.inputs}.values())
    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in tensors]
    values = {id(x): y for x, y in zip(tensors, inputs)}
    args, kwargs = fill_in((call.args, call.kwargs), values)
    tensors = [replaced.get(id(x), x) for x in tensors]
    try:
        with without_traces(call.operation):
            model = keras.Model(inputs, function(*args, **kwargs))
            calls, outputs = trace_inner(model, tensors, call, names)
        _check_shapes(calls)
    except Exception as error:  # whatever a `call` that somebody else wrote raises
        call.trouble = f"{type(error).__name__}: {error}".split("\n")[0]
        return None
    for x in calls:
        x.args, x.kwargs = keras.tree.map_structure(_constant, (x.args, x.kwargs))
    flat = zip(call.outputs, keras.tree.flatten(outputs))
    replaced.update({id(old): new for old, new in flat})
    return calls


def _check_shapes(calls):
    """Functions of `keras.ops` accept unknown sizes, and fail when they run."""
    for call in calls:
        for name in ("shape", "newshape"):
            shape = getattr(call.operation, name, None)
            if isinstance(shape, (tuple, list)) and None in shape:
                raise ValueError(
                    f"{type(call.operation).__name__} to the unknown size {shape}"
                )


def _constant(x):
    """Variables as arrays: their values, with which the network is converted."""
    is_array = isinstance(x, keras.Variable) or keras.ops.is_tensor(x)
    if is_array and not isinstance(x, keras.KerasTensor):
        return np.array(ops.convert_to_numpy(x))
    return x


def _function(call):
    """Returns what computes a call from others, or is `None` for what is to stay."""
    operation = call.operation
    if type(operation).__name__ == "DotProductAttention":
        return _attention(operation)
    if not isinstance(operation, layers.Layer) or isinstance(operation, _WHOLE):
        return None
    if rules.is_known(call):
        return None
    if isinstance(operation, layers.Activation):
        return operation.activation
    if rules.computes(operation, (layers.MultiHeadAttention,)):
        return _multi_head_attention(operation)
    return operation.call


def _multi_head_attention(layer):
    copy = copy_layer(layer, flash_attention=False)

    def function(*args, return_attention_scores=False, **kwargs):
        if kwargs.pop("use_causal_mask", False):
            query, value = (*args, kwargs.get("query"), kwargs.get("value"))[:2]
            mask = kwargs.get("attention_mask")
            kwargs["attention_mask"] = _causal(query.shape[1], value.shape[1], mask)
        # Attention scores are asked for so that the product is not one operation.
        outputs, scores = copy.call(*args, return_attention_scores=True, **kwargs)
        return (outputs, scores) if return_attention_scores else outputs

    return function


def _attention(operation):
    """Attention in the words of two products and a softmax."""

    def function(query, key, value, bias=None, mask=None, scale=None):
        if scale is None:
            scale = query.shape[-1] ** -0.5
        scores = ops.einsum("btnh,bsnh->bnts", query * scale, key)
        if operation.attn_logits_soft_cap is not None:
            cap = operation.attn_logits_soft_cap
            scores = cap * ops.tanh(scores / cap)
        if bias is not None:
            scores = scores + bias
        if operation.is_causal:
            mask = _causal(*scores.shape[-2:], mask)
        weights = layers.Softmax(dtype=query.dtype)(scores, mask=mask)
        return ops.einsum("bnts,bsnh->btnh", weights, value)

    return function


def _causal(queries, keys, mask):
    """A mask that leaves out what comes later, and what another mask leaves out."""
    if queries is None or keys is None:
        raise ValueError("causal attention needs an `Input` of known length")
    causal = np.tril(np.ones((1, queries, keys), "bool"))
    return causal if mask is None else ops.logical_and(ops.cast(mask, "bool"), causal)
