"""Counting events: in C where a compiler works, else in NumPy."""

import ctypes
import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spiking.backends.kernels import compiler
from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import cell_index
from keras_spiking.datasets.events import check_sensor_shape
from keras_spiking.datasets.events import event_dtype

# Events counted at a time in NumPy: their cell indices stay in the cache.
_BLOCK = 65536

# The structure is that of `event_dtype`.
_SOURCE = """
#include <stdint.h>

typedef struct { int64_t t; uint16_t x, y; uint8_t p; } event;

/* Stops at the first event outside of the sensor and returns its index. */
int64_t count(const event *events, int64_t n, int64_t height, int64_t width,
              int64_t polarities, int32_t *cells)
{
    for (int64_t i = 0; i < n; i++) {
        const event *e = events + i;
        if (e->x >= width || e->y >= height || e->p > 1)
            return i;
        int64_t pixel = e->y * width + e->x;
        cells[polarities == 2 ? 2 * pixel + e->p : pixel]++;
    }
    return n;
}
"""


def count_events(
    events: Any, sensor_shape: Sequence[int], out: np.ndarray | None = None
) -> np.ndarray:
    """Counts the events of every cell of the sensor.

        F[y, x, p] = sum_i 1[(y, x, p) = (y_i, x_i, p_i)]

    Args:
        events: Events, see `as_events`.
        sensor_shape: `(height, width, polarities)` or `(units,)`.
        out: Array of shape `sensor_shape`, int32 and contiguous, to add to. Defaults
            to zeros.

    Returns:
        `out`.

    Raises:
        ValueError: if an event is outside the sensor, or `out` is another array.
    """
    events = as_events(events)
    sensor_shape = check_sensor_shape(sensor_shape)
    if out is None:
        out = np.zeros(sensor_shape, "int32")
    _check_out(out, sensor_shape)
    cells = out.reshape(-1)
    count = None if compiler.compiler() is None else _function()
    if count is None:
        for start in range(0, len(events), _BLOCK):
            index = cell_index(events[start : start + _BLOCK], sensor_shape)
            cells += np.bincount(index, minlength=cells.size)
        return out
    shape = sensor_shape if len(sensor_shape) == 3 else (1, *sensor_shape, 1)
    events = np.ascontiguousarray(events)
    counted = count(events, len(events), *shape, cells)
    if counted < len(events):
        cell_index(events[counted : counted + 1], sensor_shape)  # says what is wrong
    return out


def _check_out(out, sensor_shape):
    """Checks the memory that is written to."""
    fits = isinstance(out, np.ndarray) and out.dtype == np.int32 and out.flags.carray
    if not fits or out.shape != sensor_shape:
        kind = f"{type(out).__name__} of shape {np.shape(out)}"
        raise ValueError(
            f"`out` must be a contiguous, writeable array of shape {sensor_shape} and "
            f"dtype int32. Received: {kind}"
        )


@functools.cache
def _function():
    """The compiled function, or `None` if the compiler fails."""
    try:
        function = compiler.load(_SOURCE).count
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"Events are counted in NumPy, which is slower: {error}", stacklevel=3
        )
        return None
    function.restype = ctypes.c_int64
    function.argtypes = [
        np.ctypeslib.ndpointer(event_dtype, flags="C"),
        *[ctypes.c_int64] * 4,
        np.ctypeslib.ndpointer("int32", flags="C"),
    ]
    return function
