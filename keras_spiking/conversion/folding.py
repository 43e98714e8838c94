"""Prepares the graph of an ANN: copies layers, splits off activations, folds
normalisations into weights."""

import keras
import numpy as np
from keras import layers
from keras import ops

from keras_spiking.conversion import rules
from keras_spiking.conversion.graph import Call
from keras_spiking.layers.normalization.batch_normalization import (
    ThresholdDependentBatchNormalization,
)

_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
# Normalisations whose scale is the same at all time steps. `TemporalEffective...` and
# `...ThroughTime` would need other weights in the layer before at each of them.
FOLDABLE = (layers.BatchNormalization, ThresholdDependentBatchNormalization)
WEIGHTED = (layers.Dense, *_CONVOLUTIONS, *_TRANSPOSED, *_DEPTHWISE, *_SEPARABLE)


def copy_layer(operation, **changes):
    """A copy of a layer or operation, with its weights."""
    config = operation.get_config()
    if not isinstance(operation, keras.layers.Layer):
        # Some functions take no name.
        changes = {key: changes[key] for key in changes if key in config}
        return type(operation).from_config({**config, **changes})
    try:
        copy = type(operation).from_config({**config, **changes})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The layer '{operation.name}' ({type(operation).__name__}) cannot be "
            "copied: its `get_config` must return the arguments of its `__init__`. "
            f"Received: {error}"
        ) from error
    if operation.built:
        copy.build_from_config(operation.get_build_config())
        weights = operation.get_weights()
        if len(copy.get_weights()) == len(weights) + 1:  # `use_bias` was added
            weights.append(np.zeros(copy.bias.shape, copy.bias.dtype))
        copy.set_weights(weights)
    return copy


def prepare(graph):
    """Brings a graph into the form that is converted.

    Afterwards all layers are copies, activations that neurons can replace are
    `Rectifier`s, calls without effect are gone, and normalisations are folded into
    weights where that is exact.
    """
    for call in list(graph.calls):
        if rules.is_identity(call.operation):
            graph.remove(call)
            continue
        call.kwargs.pop("training", None)
        rectifier = rules.as_rectifier(call)
        if rectifier is not None:
            (tensor,) = call.inputs
            call.operation, call.args, call.kwargs = rectifier, (tensor,), {}
        elif rules.is_maximum(call) and len(call.inputs) > 1:
            # The layer takes a list, as `CumulativeMaximum` does, the function not.
            call.operation = layers.Maximum(name=call.name)
            call.args, call.kwargs = (call.inputs,), {}
        elif rules.is_known(call):
            call.operation = copy_layer(call.operation, name=call.name)
    for call in list(graph.calls):
        affine = _affine(call)
        if affine is not None:
            _fold(graph, call, *affine)


def split_activations(graph):
    """Activations that layers apply at their end become calls of their own."""
    calls = []
    for call in graph.calls:
        calls.append(call)
        activation = getattr(call.operation, "activation", None)
        has_own = rules.is_affine(call) and activation is not None
        if not has_own or activation is keras.activations.linear:
            continue
        (output,) = call.outputs
        current = keras.KerasTensor(output.shape, dtype=output.dtype)
        call.operation = copy_layer(call.operation, activation="linear")
        call.outputs = [current]
        if not isinstance(activation, keras.layers.Layer):
            activation = layers.Activation(activation)
        name = f"{call.name}_activation"
        calls.append(Call(activation, (current,), {}, [output], name, call.place))
    graph.calls = calls


def _affine(call):
    """Scale and shift for each channel, and the axis of channels, or `None`."""
    layer = call.operation
    # One that takes integers turns them into the floats that others need.
    takes_floats = keras.backend.is_float_dtype(call.inputs[0].dtype)
    if not rules.is_affine(call) or not takes_floats:
        return None
    if isinstance(layer, layers.Rescaling):
        scale, shift = np.asarray(layer.scale), np.asarray(layer.offset)
        axis = len(call.inputs[0].shape) - 1
    elif isinstance(layer, layers.BatchNormalization):
        scale, shift = scale_and_shift(layer)
        axis = layer.axis % len(call.inputs[0].shape)
    elif isinstance(layer, layers.Normalization) and not layer.invert:
        # As the layer does it, which bounds the deviation from below.
        shape = (1, *call.inputs[0].shape[1:])
        if None in shape:
            return None
        shift = _array(layer(np.zeros(shape, "float32")))
        scale = _array(layer(np.ones(shape, "float32"))) - shift
        axis = len(shape) - 1
        scale, shift = _by_last_axis(scale), _by_last_axis(shift)
        if scale is None or shift is None:
            return None
    else:
        return None
    if scale.ndim > 1 or shift.ndim > 1:
        return None
    channels = call.inputs[0].shape[axis]
    return np.broadcast_to(scale, channels), np.broadcast_to(shift, channels), axis


def scale_and_shift(normalization):
    """A batch normalisation at inference: the float64 arrays of `scale * x + shift`."""
    deviation = np.sqrt(_array(normalization.moving_variance) + normalization.epsilon)
    gamma = _array(normalization.gamma) if normalization.scale else 1.0
    beta = _array(normalization.beta) if normalization.center else 0.0
    scale = gamma / deviation
    return scale, beta - _array(normalization.moving_mean) * scale


def _by_last_axis(x):
    """The values along the last axis if there are no others, else `None`."""
    rows = x.reshape(-1, x.shape[-1])
    return rows[0] if np.all(rows == rows[0]) else None


def _fold(graph, call, scale, shift, axis):
    (before,), (after,) = call.inputs, call.outputs
    producer = next((c for c in graph.calls if before in c.outputs), None)
    if producer is not None and len(graph.consumers(before)) == 1:
        layer = producer.operation
        fits = isinstance(layer, WEIGHTED) and axis == channel_axis(layer, before)
        if fits and not graph.is_output(before):
            producer.operation = scale_outputs(layer, scale, shift)
            graph.remove(call)
            return
    consumers = graph.consumers(after)
    if len(consumers) == 1 and not graph.is_output(after):
        layer = consumers[0].operation
        if _takes_affine(layer, shift) and axis == channel_axis(layer, after):
            consumers[0].operation = _scale_inputs(layer, scale, shift)
            graph.remove(call)


def channel_axis(layer, tensor):
    """Where a layer that counts channels has them in its input and output."""
    if getattr(layer, "data_format", None) == "channels_first":
        return 1
    return len(tensor.shape) - 1


def scale_outputs(layer, scale, shift):
    """A copy of a layer with weights, whose outputs are scaled and shifted."""
    _check_float(layer)
    layer = copy_layer(layer, use_bias=True)
    if isinstance(layer, _SEPARABLE):
        kernel, by = layer.pointwise_kernel, scale
    elif isinstance(layer, _DEPTHWISE):
        kernel, by = layer.kernel, scale.reshape(layer.kernel.shape[-2:])
    elif isinstance(layer, _TRANSPOSED):
        kernel, by = layer.kernel, scale[:, None]
    else:
        kernel, by = layer.kernel, scale
    kernel.assign(_array(kernel) * by)
    layer.bias.assign(_array(layer.bias) * scale + shift)
    return layer


def _takes_affine(layer, shift):
    if isinstance(layer, layers.Dense):
        return True
    # Zeros that pad the input are not shifted.
    exact = getattr(layer, "padding", None) == "valid" or not np.any(shift)
    if isinstance(layer, _CONVOLUTIONS):
        return exact and layer.groups == 1
    return exact and isinstance(layer, _DEPTHWISE)


def _scale_inputs(layer, scale, shift):
    _check_float(layer)
    layer = copy_layer(layer, use_bias=True)
    kernel = _array(layer.kernel)
    spatial = tuple(range(kernel.ndim - 2))
    shifted = kernel.sum(axis=spatial) * shift[:, None]
    if isinstance(layer, _DEPTHWISE):
        shifted = shifted.reshape(-1)
    else:
        shifted = shifted.sum(axis=0)
    layer.kernel.assign(kernel * scale[:, None])
    layer.bias.assign(_array(layer.bias) + shifted)
    return layer


def _check_float(layer):
    if layer.quantization_mode is not None:
        raise ValueError(
            f"No normalisation can be folded into the weights of layer '{layer.name}', "
            f"which Keras has quantised ({layer.quantization_mode}). Fold before "
            "`model.quantize`."
        )


def _array(x):
    return ops.convert_to_numpy(x).astype("float64")
