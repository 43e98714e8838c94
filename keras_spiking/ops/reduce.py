"""Reductions over time that respect masks."""

from typing import Any

import keras
from keras import ops


def reduce_time(sequence: Any, reduce: str, mask: Any = None) -> Any:
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
    if mask is not None:
        mask = ops.cast(mask, "bool")
    if reduce == "last":
        if mask is None:
            return sequence[:, -1]
        order = ops.arange(1, ops.shape(sequence)[1] + 1)
        return _at(sequence, ops.argmax(order * ops.cast(mask, order.dtype), axis=1))
    if mask is not None:
        shape = ops.shape(mask) + (1,) * (len(sequence.shape) - 2)
        mask = ops.reshape(mask, shape)
    if reduce in ("mean", "sum"):
        # In half precision, counting ends at 2048 (float16) or 256 (bfloat16).
        if keras.backend.standardize_dtype(sequence.dtype) != "float64":
            sequence = ops.cast(sequence, "float32")
        if mask is None:
            return (mean if reduce == "mean" else ops.sum)(sequence, axis=1)
        total = ops.sum(ops.where(mask, sequence, 0.0), axis=1)
        if reduce == "sum":
            return total
        return total / ops.maximum(ops.sum(ops.cast(mask, total.dtype), axis=1), 1.0)
    # `ops.max` takes no empty batches on PyTorch.
    size = sequence if reduce == "max" else ops.abs(sequence)
    if mask is not None:
        size = ops.where(mask, size, _lowest(size.dtype))
    return _at(sequence, ops.argmax(size, axis=1))


def mean(x, axis):
    """The mean, in double precision for float64 on PyTorch, too."""
    if keras.backend.standardize_dtype(x.dtype) != "float64":
        return ops.mean(x, axis=axis)
    total = ops.sum(x, axis=axis)
    return total / ops.cast(ops.size(x) / ops.size(total), "float64")


def _at(sequence, step):
    """The values at a step of each sample, `(batch,)`, or neuron, `(batch, ...)`."""
    missing = len(sequence.shape) - 1 - len(step.shape)
    step = ops.reshape(step, (*ops.shape(step), *(1,) * missing))
    return ops.squeeze(ops.take_along_axis(sequence, step[:, None], axis=1), 1)


def _lowest(dtype):
    return -6e4 if keras.backend.standardize_dtype(dtype) == "float16" else -1e38
