"""Reductions over time that respect masks."""

import keras
from keras import ops


def reduce_time(sequence, reduce, mask=None):
    """Reduces `(batch, time, ...)` to `(batch, ...)`.

    Args:
        sequence: Tensor `(batch, time, ...)`.
        reduce: `"mean"`, `"sum"`, `"last"`, `"max"` or `"max_abs"` (the value
            furthest from 0).
        mask: Boolean tensor `(batch, time)` or `None`. Masked steps do not count.

    Returns:
        A tensor of at least float32 precision for `"mean"` and `"sum"`, else of
        the dtype of `sequence`.
    """
    if reduce == "last":
        return _last(sequence, mask)
    if mask is not None:
        shape = ops.shape(mask) + (1,) * (len(sequence.shape) - 2)
        mask = ops.reshape(ops.cast(mask, "bool"), shape)
    if reduce in ("mean", "sum"):
        # In half precision, counting ends at 2048 (float16) or 256 (bfloat16).
        if keras.backend.standardize_dtype(sequence.dtype) != "float64":
            sequence = ops.cast(sequence, "float32")
        if mask is None:
            return (mean if reduce == "mean" else ops.sum)(sequence, axis=1)
        mask = ops.cast(mask, sequence.dtype)
        total = ops.sum(sequence * mask, axis=1)
        if reduce == "sum":
            return total
        return total / ops.maximum(ops.sum(mask, axis=1), 1.0)
    if reduce == "max":
        if mask is not None:
            sequence = ops.where(mask, sequence, _lowest(sequence.dtype))
        return ops.max(sequence, axis=1)
    size = ops.abs(sequence)
    if mask is not None:
        size = ops.where(mask, size, -1.0)
    index = ops.argmax(size, axis=1, keepdims=True)
    return ops.squeeze(ops.take_along_axis(sequence, index, axis=1), 1)


def mean(x, axis):
    """The mean, in double precision for float64 on PyTorch, too."""
    if keras.backend.standardize_dtype(x.dtype) != "float64":
        return ops.mean(x, axis=axis)
    total = ops.sum(x, axis=axis)
    return total / ops.cast(ops.size(x) / ops.size(total), "float64")


def _last(sequence, mask):
    if mask is None:
        return sequence[:, -1]
    steps = ops.shape(sequence)[1]
    order = ops.arange(1, steps + 1) * ops.cast(mask, "int32")
    index = ops.maximum(ops.max(order, axis=1) - 1, 0)
    index = ops.reshape(index, (-1,) + (1,) * (len(sequence.shape) - 1))
    return ops.squeeze(ops.take_along_axis(sequence, index, axis=1), 1)


def _lowest(dtype):
    return -6e4 if dtype == "float16" else -1e38
