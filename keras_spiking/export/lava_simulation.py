"""The integer dynamics of netx files, without Lava."""

import os

import numpy as np
from numpy.typing import ArrayLike

from keras_spiking import loihi
from keras_spiking.export import lava_file
from keras_spiking.export.files import MAX_BYTES
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer


def simulate_lava(
    path: str | os.PathLike,
    spikes: ArrayLike,
    pipelined: bool = False,
    *,
    max_bytes: int = MAX_BYTES,
) -> np.ndarray:
    """Runs a netx file on spikes, in the chip's integer arithmetic.

    The result equals that of Lava's fixed-point simulator.

    Args:
        path: Path of a file that `to_lava` or Lava-DL has written.
        spikes: Array of 0 and 1, `(batch, time, ...)`, images as `(height, width,
            channels)`.
        pipelined: Boolean, whether spikes reach the next layer one step later, as
            on the chip, where all layers work at the same time and start at
            step 0. With `False` a step goes through all layers, as in Keras.
            Defaults to `False`.
        max_bytes: Integer, a limit on the memory that the arrays of the file may
            take. Defaults to `2**30`.

    Returns:
        Array of spikes, `(batch, time, ...)`, in float32.

    Raises:
        ValueError: if the file is damaged, of another kind or does not fit the
            chip, or the input does not fit it.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((None, 4)),
    ...     keras_spiking.layers.Quantized(keras.layers.Dense(3, use_bias=False)),
    ...     keras_spiking.layers.CubaLIFLayer(),
    ... ])
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/network.net"
    >>> report = keras_spiking.export.to_lava(model, path)
    >>> spikes = keras.ops.ones((1, 5, 4))
    >>> keras_spiking.export.simulate_lava(path, spikes).shape
    (1, 5, 3)
    """
    check_bool("pipelined", pipelined)
    check_integer("max_bytes", max_bytes, minimum=1)
    input_shape, blocks = lava_file.read(path, max_bytes)
    x = _to_channels_first(np.asarray(spikes), input_shape)
    for block in blocks:
        if block.flattens:
            x = x.reshape(*x.shape[:2], -1)
        current = _dense(x, block) if block.is_dense else _convolution(x, block)
        if block.delay is not None:
            current = _delayed(current, block.delay)
        if pipelined:
            current = _delayed(current, np.ones(1, int))
        x = _neurons(current, block)
    x = x.astype("float32")
    return x if x.ndim == 3 else np.moveaxis(x, 2, -1)


def _to_channels_first(spikes, input_shape):
    features = spikes.shape[2:]
    if len(input_shape) == 1:
        fits = np.prod(features) == input_shape[0]
        expected = input_shape
    else:
        expected = (*input_shape[1:], input_shape[0])
        fits = features == expected
    if spikes.ndim < 3 or not fits:
        raise ValueError(
            f"The network takes spikes (batch, time, {str(expected)[1:-1]}). "
            f"Received an array of shape {spikes.shape}."
        )
    if not np.all((spikes == 0) | (spikes == 1)):
        raise ValueError("`spikes` must be 0 and 1. Received other values.")
    if len(input_shape) == 1:
        return spikes.reshape(*spikes.shape[:2], -1)
    return np.moveaxis(spikes, -1, 2)


def _dense(x, block):
    # Sums stay far below 2**53: products of floats are exact, and fast.
    return _integers(x.astype("float64") @ block.weight.T.astype("float64"))


def _convolution(x, block):
    outputs, inputs, height, width = block.weight.shape
    (top, left), (down, right) = block.padding, block.strides
    pads = ((0, 0), (0, 0), (0, 0), (top, top), (left, left))
    x = np.pad(x.astype("float64"), pads)
    x = x.reshape(*x.shape[:2], block.groups, inputs, *x.shape[3:])
    weight = block.weight.astype("float64")
    weight = weight.reshape(block.groups, -1, inputs, height, width)
    rows, columns = block.shape[1:]
    result = 0.0
    for i in range(height):
        for j in range(width):
            first, second = i * block.dilation[0], j * block.dilation[1]
            window = x[
                ...,
                first : first + (rows - 1) * down + 1 : down,
                second : second + (columns - 1) * right + 1 : right,
            ]
            result = result + np.einsum(
                "goi,btgihw->btgohw", weight[..., i, j], window, optimize=True
            )
    return _integers(result.reshape(*x.shape[:2], outputs, rows, columns))


def _integers(x):
    return np.rint(x).astype("int64")


def _delayed(x, delay):
    """Features late by `delay` steps each, `(features,)` or `(1,)`."""
    delay = np.broadcast_to(delay, x.shape[-1:])
    delayed = np.zeros_like(x)
    for steps in np.unique(delay):
        chosen = delay == steps
        delayed[:, steps:, ..., chosen] = x[:, : x.shape[1] - steps, ..., chosen]
    return delayed


def _neurons(current, block):
    bias, limit = 0, loihi.STATE_LIMIT
    if block.bias is not None:
        bias = block.bias.reshape(-1, *(1,) * (current.ndim - 3))
    u = v = np.zeros_like(current[:, 0])
    spikes = np.zeros(current.shape, bool)
    for t in range(current.shape[1]):
        u = _decayed(u, block.current_decay) + (current[:, t] << loihi.STATE_SHIFT)
        u = np.where(u > limit, u - 2 * limit, u)
        u = np.where(u <= -limit, u + 2 * limit, u)
        v = _decayed(v, block.voltage_decay) + u + (bias << loihi.STATE_SHIFT)
        v = np.clip(v, 1 - limit, limit - 1)
        spikes[:, t] = v > (block.threshold << loihi.STATE_SHIFT)
        v = np.where(spikes[:, t], 0, v)
    return spikes


def _decayed(state, decay):
    return np.sign(state) * (
        (np.abs(state) * (loihi.DECAY_SCALE - decay)) >> loihi.DECAY_SHIFT
    )
