"""Layers that move features, pool them, or reduce over time."""

import math

import numpy as np
from keras import layers

from keras_spiking.inference import elementwise
from keras_spiking.inference.graph import Pool
from keras_spiking.inference.graph import Softmax
from keras_spiking.inference.products import geometry
from keras_spiking.inference.refusal import Refusal
from keras_spiking.layers import AdaptiveAveragePooling2D
from keras_spiking.layers import CenteredMaxPooling2D
from keras_spiking.layers import ChannelPooling
from keras_spiking.layers import Voting
from keras_spiking.layers.transforms.adaptive_pooling import windows


def _reshape(builder, layer, values, over_time):
    (value,) = values
    _check_folded(over_time)
    target = getattr(layer, "target_shape", (-1,))
    return value.view(value.positions.reshape(target))


def _permute(builder, layer, values, over_time):
    (value,) = values
    _check_folded(over_time)
    return value.view(value.positions.transpose([d - 1 for d in layer.dims]))


def _pad(builder, layer, values, over_time):
    (value,) = values
    _check_folded(over_time)
    positions, axes, amounts = _spatial(layer, value, layer.padding)
    width = [(0, 0)] * positions.ndim
    for axis, amount in zip(axes, amounts):
        width[axis] = amount
    padded = np.pad(positions, width, constant_values=-1)
    return builder.in_order(layer.name, value.view(padded))


def _crop(builder, layer, values, over_time):
    (value,) = values
    _check_folded(over_time)
    positions, axes, amounts = _spatial(layer, value, layer.cropping)
    for axis, (start, end) in zip(axes, amounts):
        kept = range(start, positions.shape[axis] - end)
        positions = positions.take(kept, axis)
    return value.view(positions)


def _repeat(builder, layer, values, over_time):
    (value,) = values
    _check_folded(over_time)
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise Refusal('it interpolates. Use `interpolation="nearest"`')
    positions, axes, sizes = _spatial(layer, value, layer.size)
    for axis, size in zip(axes, np.ravel(sizes)):
        positions = positions.repeat(size, axis)
    return value.view(positions)


def _spatial(layer, value, amounts):
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    count = len(value.shape) - 1
    amounts = amounts if np.ndim(amounts) and count > 1 else [amounts]
    return value.positions, range(first, first + count), amounts


def _concatenate(builder, layer, values, over_time):
    rank = len(values[0].shape) + 1 + over_time
    axis = layer.axis % rank - 1 - over_time
    if axis < 0:
        raise Refusal("it joins time steps or samples. Join features instead")
    return concatenate(builder, layer.name, values, axis)


def concatenate(builder, name, values, axis):
    """Values next to one another along an axis of the features."""
    offsets = np.cumsum([0, *(v.positions.size for v in values)])
    parts = [
        np.arange(v.positions.size).reshape(v.shape) + start
        for v, start in zip(values, offsets)
    ]
    # Logical indices of the joined features, and where each comes from.
    joined = np.concatenate(parts, axis)
    like = values[0].view(joined)
    order = np.empty(joined.size, "int64")
    order[joined.ravel()] = np.arange(joined.size)
    result = builder.concatenate(name, values, like, order)
    result.time = any(v.time for v in values)
    # Channels last in memory is what convolutions take.
    return result


def _pool(mode):
    def rule(builder, layer, values, over_time):
        (value,) = values
        _check_folded(over_time)
        first = layer.data_format == "channels_first"
        positions = np.moveaxis(value.positions, 0, -1) if first else value.positions
        one = positions.ndim == 2
        if one:
            positions = positions[None]
        rows, columns, channels = positions.shape
        window = tuple(int(v) for v in np.atleast_1d(layer.pool_size))
        window = (1, *window) if one else window
        (strides, _, padding), out = geometry(layer, (rows, columns), window)
        pooled = _pooled(
            builder,
            layer.name,
            value.view(positions),
            mode,
            window,
            strides,
            padding,
            out,
        )
        if one:
            pooled = pooled.view(pooled.positions[0])
        if first:
            pooled = pooled.view(np.moveaxis(pooled.positions, -1, 0))
        return pooled

    return rule


def _global_pool(mode):
    def rule(builder, layer, values, over_time):
        (value,) = values
        if over_time:
            if len(value.shape) != 1:
                _check_folded(over_time)
            if layer.data_format != "channels_last":
                raise Refusal(
                    "it reduces over features, and is called on a sequence. Use "
                    '`data_format="channels_last"` to reduce over time'
                )
            return builder.reduce(layer.name, value, mode)
        first = layer.data_format == "channels_first"
        axis = 0 if first else len(value.shape) - 1
        pooled = _over_pixels(builder, layer.name, value, mode, axis)
        return pooled if layer.keepdims else pooled.view(pooled.positions.ravel())

    return rule


def _adaptive_pool(builder, layer, values, over_time):
    """Windows of several sizes, whose features are repeated to the same number."""
    (value,) = values
    _check_folded(over_time)
    first, count = layer.data_format == "channels_first", layer.output_size
    positions = np.moveaxis(value.positions, 0, -1) if first else value.positions
    taken = []
    for size in positions.shape[:2]:
        found = [list(window) for window in windows(size, count)]
        most = math.lcm(*map(len, found))
        taken.append(np.array([np.repeat(w, most // len(w)) for w in found]))
    rows, columns = taken
    grid = positions[rows[:, None, :, None], columns[None, :, None, :]]
    grid = grid.reshape(count * count, -1, positions.shape[-1])
    window = (1, grid.shape[1])
    pooled = _pooled(
        builder,
        layer.name,
        value.view(grid),
        "mean",
        window,
        window,
        (0, 0),
        (count * count, 1),
    )
    shaped = pooled.positions.reshape(count, count, -1)
    return pooled.view(np.moveaxis(shaped, -1, 0) if first else shaped)


def sum_of_pixels(builder, name, value, axis):
    """The sum of each channel, which lie along an axis, over all others."""
    return _over_pixels(builder, name, value, "sum", axis)


def _over_pixels(builder, name, value, mode, axis):
    positions = np.moveaxis(value.positions, axis, -1)
    channels = positions.shape[-1]
    window = (1, positions.size // channels)
    pixels = value.view(positions.reshape(*window, channels))
    pooled = _pooled(builder, name, pixels, mode, window, window, (0, 0), (1, 1))
    shape = [1] * len(value.shape)
    shape[axis] = channels
    return pooled.view(pooled.positions.reshape(shape))


def _pooled(builder, name, value, mode, window, strides, padding, out):
    value = builder.in_order(name, value)
    rows, columns, channels = value.shape
    shape = (*out, channels)
    memory = builder.add(
        Pool,
        name,
        [value],
        int(np.prod(shape)),
        *(mode, rows, columns, channels, window, strides, padding, *out),
        binary=mode == "max" and value.memory.binary,
    )
    pooled = value.view(np.arange(memory.size).reshape(shape))
    pooled.memory = memory
    return pooled


def _voting(builder, layer, values, over_time):
    (value,) = values
    return _pool_groups(builder, layer, value, len(value.shape) - 1, "mean")


def _channel_pooling(builder, layer, values, over_time):
    (value,) = values
    axis = len(value.shape) - (1 if layer.data_format == "channels_last" else 3)
    return _pool_groups(builder, layer, value, axis, layer.mode)


def _pool_groups(builder, layer, value, axis, mode):
    size = getattr(layer, "voting_size", None) or layer.pool_size
    positions = np.moveaxis(value.positions, axis, -1)
    lead, groups = positions.shape[:-1], positions.shape[-1] // size
    rows = value.view(positions.reshape(-1, size, 1))
    window, out = (1, size), (rows.shape[0], 1)
    pooled = _pooled(builder, layer.name, rows, mode, window, window, (0, 0), out)
    shaped = pooled.positions.reshape(*lead, groups)
    return pooled.view(np.moveaxis(shaped, -1, axis))


def _softmax_layer(builder, layer, values, over_time):
    (value,) = values
    rank = len(value.shape) + 1 + over_time
    if layer.axis not in (-1, rank - 1):
        raise Refusal("it works over another axis than the last. Use `axis=-1`")
    return softmax(builder, layer.name, value)


def softmax(builder, name, value):
    """Softmax over the last axis of the features."""
    value = builder.in_order(name, value)
    return builder.elementwise(Softmax, name, value, value.shape[-1])


def _check_folded(over_time):
    if over_time:
        raise Refusal(
            "it works on time as if it were a feature. Put it into a "
            "keras_spiking.layers.SeqToBatch"
        )


def function(builder, call, values, folded):
    """A function of `keras.ops` in a Functional model."""
    kind = type(call.operation).__name__
    if kind in _FUNCTIONS and len(values) == 2:
        rule = elementwise._merge(*_FUNCTIONS[kind])
        return rule(builder, _Named(call.name), values, False)
    if kind in _OVER_TIME and len(values) == 1 and values[0].time and not folded:
        axis = getattr(call.operation, "axis", None)
        if axis in (1, [1], (1,)) and not getattr(call.operation, "keepdims", False):
            return builder.reduce(call.name, values[0], _OVER_TIME[kind])
    raise Refusal(
        "it is not among the functions that can be compiled. Use layers: "
        "keras.layers.Add, Concatenate, Flatten, keras_spiking.layers.FiringRate, ..."
    )


class _Named:
    def __init__(self, name):
        self.name = name


_FUNCTIONS = {
    "Add": ("{0} + {1}",),
    "Subtract": ("{0} - {1}",),
    "Multiply": ("{0} * {1}", True),
    "Maximum": ("MAXIMUM({0}, {1})", True),
    "Minimum": ("MINIMUM({0}, {1})", True),
}
_OVER_TIME = {"Mean": "mean", "Sum": "sum", "Max": "max"}

RULES = [
    ((layers.Flatten, layers.Reshape), _reshape),
    (layers.Permute, _permute),
    ((layers.ZeroPadding1D, layers.ZeroPadding2D), _pad),
    ((layers.Cropping1D, layers.Cropping2D), _crop),
    ((layers.UpSampling1D, layers.UpSampling2D), _repeat),
    (layers.Concatenate, _concatenate),
    (
        (layers.MaxPooling1D, layers.MaxPooling2D, CenteredMaxPooling2D),
        _pool("max"),
    ),
    ((layers.AveragePooling1D, layers.AveragePooling2D), _pool("mean")),
    ((layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D), _global_pool("max")),
    (
        (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
        _global_pool("mean"),
    ),
    (AdaptiveAveragePooling2D, _adaptive_pool),
    (Voting, _voting),
    (ChannelPooling, _channel_pooling),
    (layers.Softmax, _softmax_layer),
]
