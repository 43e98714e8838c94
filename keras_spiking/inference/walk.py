"""From a Keras model to a graph of operations."""

import keras
import numpy as np

from keras_spiking.conversion.cumulative_maximum import CumulativeMaximum
from keras_spiking.conversion.graph import check_graph
from keras_spiking.conversion.graph import is_graph
from keras_spiking.conversion.graph import trace
from keras_spiking.conversion.rules import computes
from keras_spiking.conversion.rules import is_identity
from keras_spiking.inference import attention
from keras_spiking.inference import elementwise
from keras_spiking.inference import products
from keras_spiking.inference import shapes
from keras_spiking.inference.graph import ONCE
from keras_spiking.inference.graph import STEP
from keras_spiking.inference.graph import Builder
from keras_spiking.inference.graph import Graph
from keras_spiking.inference.graph import Memory
from keras_spiking.inference.graph import Value
from keras_spiking.inference.refusal import Refusal
from keras_spiking.inference.refusal import refuse
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers import Delay
from keras_spiking.layers import DirectEncoder
from keras_spiking.layers import ElementwiseRecurrent
from keras_spiking.layers import Encoder
from keras_spiking.layers import Integrator
from keras_spiking.layers import LearnableDelay
from keras_spiking.layers import LinearRecurrent
from keras_spiking.layers import RecurrentGraph
from keras_spiking.layers import Rematerialize
from keras_spiking.layers import SeqToBatch
from keras_spiking.layers import SingleStep
from keras_spiking.layers import StepByStep
from keras_spiking.layers import TemporalLayer
from keras_spiking.layers.containers.contained import has_time_axis
from keras_spiking.layers.containers.contained import inner_layers
from keras_spiking.layers.readouts.rates import _Reduction
from keras_spiking.validation import check_timesteps


def graph_of(model):
    """The operations of a model.

    Raises:
        TypeError: if it is not a model.
        ValueError: if it holds what cannot be compiled, with the remedy.
    """
    _check(model)
    builder = Builder()
    presents = _presents(model)
    traced = trace(model)
    tensors = keras.tree.flatten(traced.inputs)
    inputs = [_input(model, i, x.shape, presents) for i, x in enumerate(tensors)]
    values = {id(x): v for x, v in zip(tensors, inputs)}
    outputs = _walk(builder, traced, values, folded=False)
    return Graph(inputs, outputs, builder.operations, builder.timesteps)


def _check(model):
    check_graph(model)
    if not any(map(has_time_axis, all_layers(model).values())):
        raise ValueError(
            f"The model '{model.name}' has no layer over time: there is nothing to "
            "gain from spikes. Use `model.predict`, or make a spiking network of it "
            "with `keras_spiking.conversion.convert`."
        )
    for name, layer in all_layers(model).items():
        if layer.compute_dtype != "float32" and not is_identity(layer):
            raise ValueError(
                f"The {type(layer).__name__} '{name}' computes in "
                f"{layer.compute_dtype}, compiled networks in float32. Make the model "
                'again under the dtype policy "float32" and load the weights.'
            )


def _presents(layer):
    """Whether a layer, or one inside, presents an input without a time axis."""
    if isinstance(layer, StepByStep):
        return layer.timesteps is not None
    return isinstance(layer, Encoder) or any(map(_presents, inner_layers(layer)))


def _input(model, argument, shape, presents):
    features = tuple(shape[1 if presents else 2 :])
    if None in features or len(shape) < 2:
        raise ValueError(
            f"The features of the model '{model.name}' must be of a known size. Its "
            f"input has the shape {tuple(shape)}: give `keras.Input` all sizes but "
            "those of batch and time."
        )
    size = int(np.prod(features))
    memory = Memory(size, ONCE if presents else STEP, argument=argument)
    positions = np.arange(size).reshape(features)
    return Value(memory, positions, time=not presents)


def _walk(builder, traced, values, folded):
    for call in traced.calls:
        inputs = [values[id(x)] for x in call.inputs]
        outputs = _apply_call(builder, call, inputs, folded)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        values.update({id(x): v for x, v in zip(call.outputs, outputs)})
    return [values[id(x)] for x in keras.tree.flatten(traced.outputs)]


def _apply_call(builder, call, inputs, folded):
    operation = call.operation
    if isinstance(operation, keras.layers.Layer):
        return apply(builder, operation, inputs, folded)
    try:
        values = attention.function(builder, call, inputs, folded)
        return values or shapes.function(builder, call, inputs, folded)
    except Refusal as reason:
        refuse(type(operation).__name__, call.name, reason)


def apply(builder, layer, values, folded):
    """The value of a layer's output.

    Args:
        builder: `Builder`.
        layer: Keras layer.
        values: List of `Value`s, its inputs.
        folded: Boolean, whether it is called on single steps, without a time axis.
    """
    if is_identity(layer):
        return values[0]
    if isinstance(layer, keras.Sequential):
        return _chain(builder, layer.layers, values[0], folded)
    if is_graph(layer):
        traced = trace(layer)
        tensors = keras.tree.flatten(traced.inputs)
        known = {id(x): v for x, v in zip(tensors, values)}
        outputs = _walk(builder, traced, known, folded)
        return outputs[0]
    try:
        return _apply_layer(builder, layer, values, folded)
    except Refusal as reason:
        refuse(type(layer).__name__, layer.name, reason)


def _chain(builder, layers, value, folded):
    for layer in layers:
        value = apply(builder, layer, [value], folded)
    return value


def _apply_layer(builder, layer, values, folded):
    value = values[0]
    if type(layer) is SeqToBatch:
        return _chain(builder, layer.layers, value, folded=True)
    if isinstance(layer, keras.layers.TimeDistributed):
        return apply(builder, layer.layer, values, folded=True)
    if type(layer) is Rematerialize:
        return _chain(builder, layer.layers, value, folded)
    if type(layer) in (StepByStep, ElementwiseRecurrent, LinearRecurrent):
        return _step_by_step(builder, layer, values)
    if type(layer) is RecurrentGraph:
        return _recurrent_graph(builder, layer, value)
    if type(layer) in (Delay, LearnableDelay):
        return _delay(builder, layer, value)
    if isinstance(layer, Encoder):
        return _encode(builder, layer, value, folded)
    if isinstance(layer, SingleStep):
        return elementwise.neuron(builder, layer.layer, value)
    if type(layer) is CumulativeMaximum:
        return _cumulative_maximum(builder, layer, values)
    if isinstance(layer, TemporalLayer):
        return elementwise.neuron(builder, layer, value)
    if isinstance(layer, _Reduction):
        return builder.reduce(layer.name, value, layer.reduce)
    over_time = value.time and not folded
    for rules in (products, elementwise, shapes, attention):
        for kinds, rule in rules.RULES:
            kinds = kinds if isinstance(kinds, tuple) else (kinds,)
            if computes(products.inner(layer), kinds):
                return rule(builder, layer, values, over_time)
    raise Refusal(
        "it is not among the layers that can be compiled. Build it of those (see "
        "docs/inference.md), or compile the model up to it and compute it in Keras"
    )


def _cumulative_maximum(builder, layer, values):
    """The growth of the largest sum, by layers that have kernels."""
    sums = [elementwise.neuron(builder, Integrator(name=layer.name), v) for v in values]
    if not isinstance(layer.layer, keras.layers.Layer):
        raise Refusal("it takes the maximum by an operation. Use MaxPooling or Maximum")
    largest = apply(builder, layer.layer, sums, folded=True)
    return elementwise.neuron(builder, elementwise.Growth(name=layer.name), largest)


def _encode(builder, layer, value, folded):
    if not value.time:  # in a `StepByStep` it presents a step
        _fix_timesteps(builder, layer.timesteps)
    if type(layer) is not DirectEncoder:
        raise Refusal(
            "only DirectEncoder is compiled, of all encoders. Compile the model from "
            "its output on, and encode the data by calling the encoder in Keras"
        )
    return Value(value.memory, value.positions, time=True)


def _step_by_step(builder, layer, values):
    if layer.timesteps is not None:
        _fix_timesteps(builder, check_timesteps(layer.timesteps))
        values = [Value(v.memory, v.positions, time=True) for v in values]
    before = None
    if isinstance(layer, ElementwiseRecurrent):
        values, before = _recurrent(builder, layer, *values)
    if isinstance(layer, LinearRecurrent):
        values, before = _linear_recurrent(builder, layer, *values)
    for inner in layer.layers:
        values = [apply(builder, inner, values, folded=not has_time_axis(inner))]
    (value,) = values
    if before is not None:
        value = builder.feed_back(layer.name, value, before)
    if layer.reduce is None:
        return value
    return builder.reduce(layer.name, value, layer.reduce)


def _recurrent(builder, layer, value):
    """The input combined with the output a step before, and that."""
    name = getattr(layer.function, "__name__", "")
    if name not in _CODES or getattr(keras.ops, name) is not layer.function:
        raise Refusal(f"its function is not one of {', '.join(_CODES)} of keras.ops")
    value = builder.whole(layer.name, value)
    before = builder.before(value.positions)
    return [builder.combine(layer.name, [value, before], _CODES[name])], before


def _linear_recurrent(builder, layer, value):
    """The dense layer of the input and the output a step before, and that."""
    before = builder.before(_in_order(layer.step_output.shape[1:]))
    joined = shapes.concatenate(builder, layer.name, [value, before], -1)
    return [apply(builder, layer.connection, [joined], folded=True)], before


def _in_order(shape):
    return np.arange(int(np.prod(shape))).reshape(shape)


def _recurrent_graph(builder, layer, value):
    values, before, read = {"input": value}, {}, {}
    for name, _ in layer.delayed_edges:
        shape = layer.node_shapes[layer.order.index(name)][1:]
        if name not in before:
            before[name] = builder.before(_in_order(shape))
            read[name] = builder.copy(layer.name, before[name])
    for name in layer.order:
        inputs = [
            read[a] if (a, b) in layer.delayed_edges else values[a]
            for a, b in layer.edges
            if b == name
        ]
        value = inputs[0]
        if len(inputs) > 1:
            code = " + ".join(f"{{{i}}}" for i, _ in enumerate(inputs))
            value = builder.combine(f"{layer.name}, {name}", inputs, code)
        for inner in layer.nodes.get(name, []):
            value = apply(builder, inner, [value], folded=not has_time_axis(inner))
        values[name] = value
    for name, place in before.items():
        builder.feed_back(layer.name, values[name], place)
    output = values["output"]
    if layer.reduce is None:
        return output
    return builder.reduce(layer.name, output, layer.reduce)


def _delay(builder, layer, value):
    if type(layer) is Delay:
        steps = np.array(layer.delay_steps)
    else:
        learned = keras.ops.convert_to_numpy(layer.delay)
        steps = np.rint(np.clip(learned, 0, layer.max_delay)).astype("int64")
    return builder.delay(layer.name, value, steps) if steps.any() else value


_CODES = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "maximum": "MAXIMUM({0}, {1})",
    "minimum": "MINIMUM({0}, {1})",
}


def _fix_timesteps(builder, timesteps):
    if builder.timesteps not in (None, timesteps):
        raise Refusal(
            f"it has {timesteps} time steps, layers before it {builder.timesteps}. "
            "Give all the same number"
        )
    builder.timesteps = timesteps
