"""Weights of which few are not 0, row by row."""

import numpy as np

PARTS = 4  # rows have multiples of as many weights, which are added in one go

# What was measured, in times of adding a vector of 16 weights from a cache.
_ROW, _WEIGHT = 16, 0.7
_LARGE = 2**23  # bytes of weights that no cache near the core holds
_FROM_MEMORY = 2.5


def pays(op, vector_bytes):
    """Whether adding the weights that are not 0, one by one, takes less time.

    Args:
        op: `Product`.
        vector_bytes: Integer, bytes of the processor's vectors.
    """
    if op.depthwise:
        return False
    counts = np.count_nonzero(op.kernel, axis=-1)
    counts = counts[counts > 0]
    padded = np.mean(-(-counts // PARTS) * PARTS) if counts.size else 0.0
    all_of_row = op.filters / 16 * 64 / vector_bytes
    if 4 * op.kernel.size > _LARGE:
        all_of_row *= _FROM_MEMORY
    return _ROW + _WEIGHT * padded < all_of_row


def rows_of(op):
    """The weights that are not 0.

    Returns:
        Three arrays: how many entries there are before each row; of each entry the
        output, which is one behind the last output where a row is filled up; and the
        weight.
    """
    rows = op.kernel.reshape(-1, op.filters)
    row, place = np.nonzero(rows)
    counts = np.bincount(row, minlength=len(rows))
    ends = np.cumsum(-(-counts // PARTS) * PARTS)
    starts = np.concatenate([[0], ends]).astype("int32")
    kind = "uint16" if op.filters < 2**16 else "uint32"
    places = np.full(starts[-1], op.filters, kind)
    weights = np.zeros(starts[-1], "float32")
    index = starts[row] + np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    places[index], weights[index] = place, rows[row, place]
    return starts, places, weights
