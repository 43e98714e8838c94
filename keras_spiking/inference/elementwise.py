"""Layers that treat every feature alone: neurons, activations, normalisation, sums."""

import keras
import numpy as np
from keras import layers
from keras import ops

from keras_spiking.backends.kernels.trace import Step
from keras_spiking.conversion.folding import scale_and_shift
from keras_spiking.inference.graph import STEP
from keras_spiking.inference.graph import Affine
from keras_spiking.inference.graph import Apply
from keras_spiking.inference.graph import Value
from keras_spiking.inference.refusal import Refusal
from keras_spiking.layers import BatchNormalizationThroughTime
from keras_spiking.layers import GatedLIFLayer
from keras_spiking.layers import LILayer
from keras_spiking.layers import TemporalEffectiveBatchNormalization
from keras_spiking.layers import TemporalLayer
from keras_spiking.layers import ThresholdDependentBatchNormalization


class Function(TemporalLayer):
    """A function of single features, for the tracer of steps."""

    state_names = ()

    def __init__(self, function, name):
        super().__init__(name=name)
        self.function = function

    def step(self, x, states):
        return self.function(x), ()


class Growth(TemporalLayer):
    """How much its input has grown in a step."""

    def step(self, x, states):
        (before,) = states
        return x - before, (x,)


def neuron(builder, layer, value):
    """A `TemporalLayer`, from the value of its input."""
    if layer.stateful:
        raise Refusal(
            "it keeps its state between calls. Make it with `stateful=False`: compiled "
            "networks keep theirs from one `step` to the next until `reset`"
        )
    if layer.return_state:
        raise Refusal("it returns its state. Make it with `return_state=False`")
    if not _is_given_by_its_step(layer):
        raise Refusal(
            "it computes more than its single steps. Choose another neuron, or run the "
            "model in Keras"
        )
    value = builder.whole(layer.name, value)
    step = Step(layer, value.shape)
    if step.refusal is not None:
        raise Refusal(
            f"{step.refusal}. Neurons are compiled if they have a fused kernel (see "
            "docs/kernels.md): choose another one, or run the model in Keras"
        )
    output = _apply(builder, layer, value, step, STEP)
    output.time = True
    if layer.return_sequences:
        return output
    own = type(layer).collapse is not TemporalLayer.collapse
    if own and type(layer).collapse is not LILayer.collapse:
        raise Refusal(
            "it has a `collapse` of its own. Make it with `return_sequences=True` and "
            "add a readout such as keras_spiking.layers.FiringRate"
        )
    return builder.reduce(layer.name, output, layer.reduce if own else "last")


def _is_given_by_its_step(layer):
    if isinstance(layer, GatedLIFLayer):
        return layer.T is None
    methods = ("call", "over_time", "run_steps")
    return all(getattr(type(layer), m) is getattr(TemporalLayer, m) for m in methods)


def _apply(builder, layer, value, step, phase=None):
    sources = [
        getattr(layer, p) if isinstance(p, str) else layer.variables[p]
        for p in step.parameters
    ]
    parameters = [_arranged(value, source) for source in sources]
    x = ops.zeros((1, *value.shape), layer.state_dtype)
    states = [_arranged(value, state) for state in layer.get_initial_state(x)]
    details = step, parameters, states
    return builder.elementwise(
        Apply, layer.name, value, *details, binary=_is_binary(step.output), phase=phase
    )


def _arranged(value, array):
    array = ops.convert_to_numpy(ops.convert_to_tensor(array)).astype("float32")
    return value.arrange(array.reshape(array.shape[array.ndim > len(value.shape) :]))


def _is_binary(expression):
    """Whether an expression is always 0 or 1."""
    if expression.op in ("spike", "to_real"):
        return True
    if expression.is_constant():
        return expression.value in (0.0, 1.0)
    if expression.op in ("where", "multiply", "maximum", "minimum", "stop_gradient"):
        operands = expression.args[1:] if expression.op == "where" else expression.args
        return all(map(_is_binary, operands))
    return False


def activation(builder, layer, like, memory):
    """The activation of a layer with weights, applied to its product."""
    value = Value(memory, like.positions, like.time)
    function = getattr(getattr(layer, "layer", layer), "activation", None)
    if function is None or function is keras.activations.linear:
        return value
    return _activate(builder, layer.name, value, function)


def _activate(builder, name, value, function):
    if function is keras.activations.softmax:
        from keras_spiking.inference.shapes import softmax

        return softmax(builder, name, value)
    if isinstance(function, keras.layers.Layer):
        function = _PIECEWISE.get(type(function), lambda layer: layer)(function)
    function = _FUNCTIONS.get(function, function)
    layer = Function(function, name)
    step = Step(layer, value.shape)
    if step.refusal is not None:
        raise Refusal(
            f"its activation has no kernel: {step.refusal}. Use ReLU, sigmoid or tanh, "
            "or compile the model up to it"
        )
    return _apply(builder, layer, builder.whole(name, value), step)


def _relu(slope=0.0, maximum=None, threshold=0.0):
    """`keras.activations.relu` in operations that kernels know."""

    def function(x):
        y = ops.where(x > threshold, x, slope * (x - threshold))
        return y if maximum is None else ops.minimum(y, maximum)

    return function


_FUNCTIONS = {
    keras.activations.relu: lambda x: ops.maximum(x, 0.0),
    keras.activations.relu6: _relu(maximum=6.0),
    keras.activations.leaky_relu: _relu(0.2),
}
_PIECEWISE = {
    layers.ReLU: lambda x: _relu(x.negative_slope, x.max_value, x.threshold),
    layers.LeakyReLU: lambda x: _relu(float(x.negative_slope)),
}


def _activation_layer(builder, layer, values, over_time):
    function = layer if isinstance(layer, tuple(_PIECEWISE)) else layer.activation
    return _activate(builder, layer.name, values[0], function)


def _normalization(builder, layer, values, over_time):
    (value,) = values
    scale, shift = scale_and_shift(layer)
    rank = len(value.shape) + 1 + over_time
    axis = layer.axis % rank - 1 - over_time
    if axis < 0:
        raise Refusal(
            f"it normalises over axis {layer.axis}, the time. Put it into a "
            "keras_spiking.layers.SeqToBatch"
        )
    shape = [1] * len(value.shape)
    shape[axis] = value.shape[axis]
    pair = [np.broadcast_to(w, shape[axis]).reshape(shape) for w in (scale, shift)]
    if type(layer) is TemporalEffectiveBatchNormalization:
        per_step = ops.convert_to_numpy(layer.scale_per_step).astype("float64")
        per_step = per_step.reshape(-1, *(1,) * len(shape))
        pair = [per_step * w.reshape(shape) for w in (scale, shift)]
        return _affine_per_step(builder, layer, value, *pair)
    return _affine(
        builder, layer.name, value, scale.reshape(shape), shift.reshape(shape)
    )


def _normalization_through_time(builder, layer, values, over_time):
    gamma, mean, variance = (
        ops.convert_to_numpy(w).astype("float64")
        for w in (layer.gamma, layer.moving_mean, layer.moving_variance)
    )
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return _affine_per_step(builder, layer, values[0], scale, -mean * scale)


def _affine(builder, name, value, scale, shift):
    value = builder.whole(name, value)
    pair = [value.arrange(np.asarray(w, "float64")) for w in (scale, shift)]
    return builder.elementwise(Affine, name, value, *pair)


def _affine_per_step(builder, layer, value, scale, shift):
    if builder.timesteps not in (None, layer.T):
        raise Refusal(
            f"it has weights for {layer.T} time steps, layers before it have "
            f"{builder.timesteps}. Give all the same number"
        )
    builder.timesteps = layer.T
    value = builder.whole(layer.name, value)
    pair = [np.stack([value.arrange(w) for w in steps]) for steps in (scale, shift)]
    output = builder.elementwise(Affine, layer.name, value, *pair, phase=STEP)
    output.time = True
    return output


def _rescaling(builder, layer, values, over_time):
    return _affine(builder, layer.name, values[0], layer.scale, layer.offset)


def _merge(code, keeps_bits=False):
    def rule(builder, layer, values, over_time):
        values = _broadcast(values)
        binary = keeps_bits and all(v.memory.binary for v in values)
        text = "{0}"
        for i in range(1, len(values)):
            text = code.format(text, f"{{{i}}}")
        if isinstance(layer, layers.Average):
            text = f"({text}) / R({len(values)}.0)"
        return builder.combine(layer.name, values, text, binary)

    return rule


def _broadcast(values):
    shape = np.broadcast_shapes(*(v.shape for v in values))
    return [v.view(np.broadcast_to(v.positions, shape)) for v in values]


RULES = [
    ((layers.Activation, *_PIECEWISE), _activation_layer),
    (
        (
            layers.BatchNormalization,
            ThresholdDependentBatchNormalization,
            TemporalEffectiveBatchNormalization,
        ),
        _normalization,
    ),
    (BatchNormalizationThroughTime, _normalization_through_time),
    (layers.Rescaling, _rescaling),
    (layers.Add, _merge("{0} + {1}")),
    (layers.Subtract, _merge("{0} - {1}")),
    (layers.Multiply, _merge("{0} * {1}", keeps_bits=True)),
    (layers.Average, _merge("{0} + {1}")),
    (layers.Maximum, _merge("MAXIMUM({0}, {1})", keeps_bits=True)),
    (layers.Minimum, _merge("MINIMUM({0}, {1})", keeps_bits=True)),
]
