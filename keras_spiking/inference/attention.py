"""Attention of spikes, and the functions that networks with it have between layers."""

import numpy as np

from keras_spiking.inference.graph import Attention
from keras_spiking.inference.refusal import Refusal
from keras_spiking.inference.shapes import concatenate
from keras_spiking.inference.shapes import sum_of_pixels
from keras_spiking.layers import LinearAttention


def _linear_attention(builder, layer, values, over_time):
    first = layer.data_format == "channels_first"
    values = [
        value.view(np.moveaxis(value.positions, 0, -1) if first else value.positions)
        for value in values
    ]
    sizes = [value.shape[-1] for value in values]
    if len(values) == 1:
        sizes = [sizes[0] // 3] * 3
        side_by_side = values[0]
    else:
        side_by_side = concatenate(builder, layer.name, values, 2)
    rows, columns, _ = side_by_side.shape
    memory = builder.add(
        Attention,
        layer.name,
        [builder.in_order(layer.name, side_by_side)],
        rows * columns * sizes[2],
        *(layer.num_heads, rows * columns, sizes[0], sizes[2], layer.scale),
    )
    positions = np.arange(memory.size).reshape(rows, columns, sizes[2])
    result = values[0].view(np.moveaxis(positions, -1, 0) if first else positions)
    result.memory = memory
    return result


def function(builder, call, values, folded):
    """The values of a function of `keras.ops`, or `None` if it is none of these."""
    rule = _FUNCTIONS.get(type(call.operation).__name__)
    if rule is None or len(values) != 1:
        return None
    (value,) = values
    lead = 1 + (value.time and not folded)
    return rule(builder, call, value, lead)


def _feature_axis(axis, value, lead):
    axis = axis % (len(value.shape) + lead) - lead
    if axis < 0:
        raise Refusal("it works on time steps or samples. Let it work on features")
    return axis


def _split(builder, call, value, lead):
    axis = _feature_axis(call.operation.axis, value, lead)
    parts = np.split(value.positions, call.operation.indices_or_sections, axis)
    return [value.view(part) for part in parts]


def _repeat(builder, call, value, lead):
    axis = _feature_axis(call.operation.axis, value, lead)
    return value.view(value.positions.repeat(call.operation.repeats, axis))


def _sum(builder, call, value, lead):
    axes = call.operation.axis
    if not isinstance(axes, (tuple, list)) or not call.operation.keepdims:
        return None
    axes = {_feature_axis(axis, value, lead) for axis in axes}
    (left,) = set(range(len(value.shape))) - axes or {None}
    if left is None or len(axes) != len(value.shape) - 1:
        raise Refusal("it sums over channels as well. Let it sum over pixels only")
    return sum_of_pixels(builder, call.name, value, left)


_FUNCTIONS = {"Split": _split, "Repeat": _repeat, "Sum": _sum}
RULES = [(LinearAttention, _linear_attention)]
