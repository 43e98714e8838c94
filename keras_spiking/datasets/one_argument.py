"""Transforms of one argument, as Tonic has them: events to events, or to frames.

They know the sensor by themselves, and draw from the global random numbers of NumPy and
Python. Tonic's layout of events and frames is converted to ours and back.
"""

import contextlib
import inspect
import random
import threading

import numpy as np

from keras_spiking.datasets.events import as_events

# Signed: transforms move events out of the sensor, and drop them afterwards.
_dtype = np.dtype([("x", "int32"), ("y", "int32"), ("t", "int64"), ("p", "bool")])
_global = threading.Lock()


@contextlib.contextmanager
def seeded(rng):
    """Decides the global random numbers, and restores them afterwards.

    One thread at a time can do so.
    """
    with _global:
        before = np.random.get_state(), random.getstate()
        seed = int(rng.integers(2**32))
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before[0])
            random.setstate(before[1])


def adapt(name, function, arguments):
    """A callable of `(events, sensor_shape, rng)` made from one of the user's.

    Args:
        name: Name of the argument, for messages.
        function: Callable that takes `arguments`, or the events alone.
        arguments: Tuple of names, beginning with `"events"`.
    """
    if _takes(function, len(arguments)):
        return _Ours(function, len(arguments))
    if _takes(function, 1):
        return _Alone(function)
    raise TypeError(
        f"`{name}` must be a callable of ({', '.join(arguments)}), or of the events "
        f"alone. Received: {name}={function!r}"
    )


def _takes(function, count):
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # built-in functions do not tell
        return count > 1
    return True


class _Ours:
    def __init__(self, function, count):
        self.function = function
        self.count = count

    def __call__(self, events, sensor_shape, rng):
        return self.function(*(events, sensor_shape, rng)[: self.count])


class _Alone:
    def __init__(self, function):
        self.function = function

    def __call__(self, events, sensor_shape, rng):
        flat = sensor_shape is not None and len(sensor_shape) == 1
        # A copy: some transforms write to their argument.
        theirs = np.empty(len(events), _dtype[["x", "t", "p"]] if flat else _dtype)
        for name in theirs.dtype.names:
            theirs[name] = events[name]
        with seeded(rng):
            found = np.asarray(self.function(theirs))
        if found.dtype.names is None:
            return frames_of(found, sensor_shape)
        return as_events(found)


def frames_of(array, sensor_shape):
    """Arrays over time with the channels last: `(time, height, width, polarities)`.

    Args:
        array: `(time, polarities, height, width)` or `(time, 1, units)`, Tonic's
            frames; any other array over time is left as it is.
        sensor_shape: Tuple, or `None` if it is not known.
    """
    if array.shape[1:] == sensor_shape:
        return array
    if array.ndim == 4:
        return np.moveaxis(array, 1, -1)
    return array[:, 0] if array.ndim == 3 and array.shape[1] == 1 else array
