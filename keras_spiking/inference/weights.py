"""Weights of eight bits."""

import numpy as np

LARGEST = 127


def quantize(kernel, trained=False):
    """Integers and a scale for each output, of a kernel.

    Weights become multiples of their output's largest one over 127. Those that were
    trained as at most 8 bits of multiples of something stay what they are.

    Args:
        kernel: Array `(groups, rows, columns, channels, filters)`.
        trained: Boolean, whether its weights were quantised before.

    Returns:
        An int8 array of the kernel's shape, and a float32 array `(groups, filters)`.
    """
    largest = np.max(np.abs(kernel), axis=(1, 2, 3), initial=0.0)
    scale = np.where(largest > 0, largest / LARGEST, 1.0)
    if trained:
        grid = _grid(kernel)
        scale = np.where(np.isnan(grid), scale, grid)
    scale = scale.astype("float32")
    levels = np.rint(kernel / _of_kernel(scale).astype("float64"))
    return np.clip(levels, -LARGEST - 1, LARGEST).astype("int8"), scale


def _grid(kernel):
    """What each output's weights are multiples of, in at most 8 bits, or NaN.

    It is looked for among the fractions of the output's smallest weight.
    """
    size = np.abs(kernel)
    smallest = np.where(size > 0, size, np.inf).min(axis=(1, 2, 3), initial=np.inf)
    smallest = np.where(np.isfinite(smallest), smallest, 1.0)
    grid = np.full(smallest.shape, np.nan)
    for part in range(1, LARGEST + 1):
        levels = kernel * part / _of_kernel(smallest)
        fits = (np.abs(levels - np.rint(levels)) < 1e-3) & (np.rint(levels) <= LARGEST)
        fits = (fits & (np.rint(levels) >= -LARGEST - 1)).all(axis=(1, 2, 3))
        grid = np.where(np.isnan(grid) & fits, smallest / part, grid)
        if not np.isnan(grid).any():
            break
    return grid


def _of_kernel(scale):
    return scale[:, None, None, None]
