"""PyTorch: layers of Keras by single operations, on memory as it lies.

The channels of an image lie last in memory if its tensor `(images, rows, columns,
channels)` is contiguous. A view of that with the channels in front is what PyTorch
calls `channels_last`: its operations take and return it without a copy.
"""

import math

import torch
from keras import ops

from keras_spiking.backends.torch_processes import BatchNorm
from keras_spiking.backends.torch_processes import processes


def conv(x, kernel, *, data_format, **options):
    """`keras.ops.conv`."""
    if data_format == "channels_first":
        return ops.conv(x, kernel, data_format=data_format, **options)
    y = ops.conv(x.movedim(-1, 1), kernel, data_format="channels_first", **options)
    return y.movedim(1, -1)


def max_pool(x, **options):
    """`keras.ops.max_pool`."""
    return _pool(ops.max_pool, x, **options)


def average_pool(x, **options):
    """`keras.ops.average_pool`."""
    return _pool(ops.average_pool, x, **options)


def _pool(function, x, data_format, **options):
    if data_format == "channels_first":
        return function(x, data_format=data_format, **options)
    y = function(x.movedim(-1, 1), data_format="channels_first", **options)
    return y.movedim(1, -1)


def batch_norm(x, gamma, beta, axis, epsilon, mask=None):
    """Normalises by mean and variance of the batch, that of all processes.

    Args:
        x: Tensor.
        gamma, beta: Tensors `(channels,)` or `None`.
        axis: Integer, that of the channels.
        epsilon: Float.
        mask: See `Backend.batch_norm`.

    Returns:
        The output, and the mean and the biased variance of each channel, which are
        without connection to any gradient.
    """
    flat, back = _with_channels_second(x, axis)
    if processes() > 1:
        if mask is not None:
            mask, _ = _with_channels_second(mask.to(x.dtype).expand_as(x), axis)
        y, mean, variance = BatchNorm.apply(flat, gamma, beta, epsilon, mask)
        return back(y), mean, variance
    y, mean, scale = torch.native_batch_norm(
        flat, gamma, beta, None, None, True, 0.0, epsilon
    )
    variance = (scale.detach() ** -2 - epsilon).clamp_min(0.0)
    return back(y), mean.detach(), variance


def normalize(x, mean, variance, gamma, beta, axis, epsilon):
    """Normalises by a given mean and variance of each channel."""
    flat, back = _with_channels_second(x, axis)
    return back(
        torch.batch_norm(flat, gamma, beta, mean, variance, False, 0.0, epsilon, False)
    )


def _with_channels_second(x, axis):
    """A view of `x` with its channels on axis 1, and a function that undoes it."""
    shape, axis = x.shape, axis % x.ndim
    if axis == x.ndim - 1:
        flat = x.reshape(1, -1, 1, shape[-1]).permute(0, 3, 1, 2)
        return flat, lambda y: y.permute(0, 2, 3, 1).reshape(shape)
    flat = x.reshape(math.prod(shape[:axis]), shape[axis], -1)
    return flat, lambda y: y.reshape(shape)
