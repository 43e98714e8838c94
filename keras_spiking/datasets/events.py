"""Events: one structured NumPy array with the fields t, x, y and p."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer

# Aligned: fields at their natural offsets are read twice as fast as packed ones.
event_dtype = np.dtype(
    [("t", "int64"), ("x", "uint16"), ("y", "uint16"), ("p", "uint8")], align=True
)


class InvalidEvents(ValueError):
    """Values that events cannot have."""


# Microseconds of a unit, and units of a microsecond.
_TIME_UNITS = {"s": (1_000_000, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}
_INT64 = np.iinfo("int64")


def make_events(
    t: ArrayLike,
    x: ArrayLike,
    y: ArrayLike = 0,
    p: ArrayLike = 0,
    *,
    time_unit: str | None = None,
) -> np.ndarray:
    """Makes an array of events from arrays of their coordinates.

    The same rule holds for all containers of events (dictionaries, structured
    arrays, NumPy, HDF5 and MATLAB files): values are whole numbers, of any integer
    or floating-point type, and timestamps are microseconds unless `time_unit` says
    otherwise.

    Args:
        t: Array of timestamps.
        x: Array of integers >= 0, columns (or units of a sensor in one dimension).
        y: Array of integers >= 0, rows. Defaults to `0`.
        p: Array of polarities, 0 and 1 or booleans. Defaults to `0`.
        time_unit: `"s"`, `"ms"`, `"us"` or `"ns"`, the unit of `t`, whose values may
            then have fractions: they are rounded to microseconds. Defaults to
            `None`: whole microseconds.

    Returns:
        A structured array of dtype `event_dtype`.

    Raises:
        ValueError: if a coordinate or polarity is negative, too large or not a whole
            number, if timestamps have fractions and `time_unit` is not given, or if
            the arrays have different lengths.

    Example:

    >>> events = keras_spiking.datasets.make_events([0, 10], [3, 4], [1, 1], [0, 1])
    >>> events["x"].tolist()
    [3, 4]
    >>> events = keras_spiking.datasets.make_events([0.5], [3], time_unit="ms")
    >>> events["t"].tolist()
    [500]
    """
    columns = {"t": np.atleast_1d(t), "x": x, "y": y, "p": p}
    columns = {name: np.asarray(values) for name, values in columns.items()}
    lengths = {k: len(v) for k, v in columns.items() if v.ndim == 1}
    if any(v.ndim > 1 for v in columns.values()) or len(set(lengths.values())) > 1:
        shapes = {name: values.shape for name, values in columns.items()}
        raise InvalidEvents(
            "The events' `t`, `x`, `y` and `p` must have one dimension and the same "
            f"length. Received arrays of the shapes {shapes}"
        )
    events = np.empty(lengths["t"], event_dtype)
    events["t"] = _microseconds(columns["t"], time_unit)
    for name in "xyp":
        events[name] = _coordinates(name, columns[name])
    return events


def _microseconds(t, time_unit):
    if time_unit is None:
        remedy = (
            'whole numbers of microseconds. Say the unit by `time_unit="s"`, "ms", '
            '"us" or "ns" if they are something else'
        )
        return _whole("t", t, remedy)
    times, per = _TIME_UNITS[check_choice("time_unit", time_unit, tuple(_TIME_UNITS))]
    if t.dtype.kind == "f":  # rounded half up, as integers are below
        t = np.floor(t.astype("float64") * times / per + 0.5)
        return _whole("t", t, "finite and, in microseconds, within 64 bits")
    t = _whole("t", t, "numbers").astype("int64")
    if len(t) and not _INT64.min <= int(t.min()) * times <= int(t.max()) * times <= (
        _INT64.max
    ):
        raise InvalidEvents(
            f"The events' `t` must, in microseconds, fit into 64 bits. Received values "
            f"from {t.min()} to {t.max()} with time_unit={time_unit!r}"
        )
    return t * times if per == 1 else t // per + (t % per * 2 >= per)


def _coordinates(name, values):
    largest = 1 if name == "p" else np.iinfo(event_dtype[name]).max
    if name != "p" or values.dtype.kind != "b":
        values = _whole(name, values, "whole numbers")
    if values.size and not 0 <= values.min() <= values.max() <= largest:
        signed = name == "p" and values.min() == -1 and values.max() <= 1
        remedy = " For polarities of -1 and 1 give `(p + 1) // 2`." if signed else ""
        raise InvalidEvents(
            f"The events' `{name}` must lie in [0, {largest}].{remedy} Received values "
            f"from {values.min()} to {values.max()}."
        )
    return values


def _whole(name, values, allowed):
    """Integers equal to `values`, all within 64 bits."""
    if values.dtype.kind in "iu":
        wrong = values > _INT64.max if values.dtype == "uint64" else np.False_
    elif values.dtype.kind == "f":
        values = values.astype("float64")
        # The largest integer of 64 bits rounds up to 2^63, which is none.
        wrong = ~((values == np.floor(values)) & (abs(values) < 2.0**63))
    elif values.size:
        raise InvalidEvents(
            f"The events' `{name}` must be {allowed}. Received an array of dtype "
            f"{values.dtype}"
        )
    else:
        wrong = np.False_
    if wrong.any():
        raise InvalidEvents(
            f"The events' `{name}` must be {allowed}. Received: "
            f"{name}={np.atleast_1d(values)[np.argmax(wrong)]!s}"
        )
    return values if values.dtype.kind in "iu" else values.astype("int64")


def as_events(events: Any, *, time_unit: str | None = None) -> np.ndarray:
    """Converts events in any of the usual containers to an array of `event_dtype`.

    Args:
        events: Structured array with the fields t, x, p, and y unless the sensor
            has one dimension (what Tonic's datasets return), or a dictionary of
            arrays with these keys, or an open `.npz` file.
        time_unit: `"s"`, `"ms"`, `"us"` or `"ns"`, see `make_events`. Defaults to
            `None`: whole microseconds.

    Raises:
        ValueError: if fields are missing, or as `make_events` does.
    """
    if isinstance(events, np.ndarray):
        if events.dtype == event_dtype and events.ndim == 1 and time_unit is None:
            # Equal, but from a file: NumPy would pack what it does not know as aligned.
            return events.view(event_dtype)
        names = events.dtype.names or ()
    else:
        names = tuple(events.keys()) if hasattr(events, "keys") else ()
    if not {"t", "x"} <= set(names):
        raise InvalidEvents(
            "Events must be a structured array or a dictionary with the fields t, "
            f"x, y, p. Received: {type(events).__name__} with the fields {names}"
        )
    columns = {name: events[name] for name in "txyp" if name in names}
    return make_events(**columns, time_unit=time_unit)


def check_order(events, previous=None):
    """Raises a `ValueError` if timestamps run backwards.

    Args:
        events: Array of `event_dtype`.
        previous: Integer, the timestamp before the first of these events, if they
            continue others. Defaults to `None`.
    """
    t = events["t"]
    if len(t) and previous is not None and t[0] < previous:
        before, after = previous, t[0]
    elif (backwards := t[1:] < t[:-1]).any():
        first = int(backwards.argmax())
        before, after = t[first], t[first + 1]
    else:
        return
    raise ValueError(
        f"Timestamps run backwards: {before} is followed by {after}. If that is "
        "known of this recording, order its events by `sort_by_time(events)`, or by "
        "`EventDataset(..., sort=True)`."
    )


def check_sensor_shape(sensor_shape: Sequence[int]) -> tuple[int, ...]:
    """Returns `(height, width, polarities)` or `(units,)` as a tuple of integers."""
    wrong = ValueError(
        "`sensor_shape` must be (height, width, polarities) with 1 or 2 "
        "polarities, or (units,) for a sensor in one dimension. "
        f"Received: sensor_shape={sensor_shape!r}"
    )
    if isinstance(sensor_shape, str) or not np.iterable(sensor_shape):
        raise wrong
    shape = tuple(check_integer("sensor_shape", n) for n in sensor_shape)
    if len(shape) not in (1, 3) or min(shape) < 1 or (len(shape) == 3 and shape[2] > 2):
        raise wrong
    return shape


def sort_by_time(events: np.ndarray) -> np.ndarray:
    """Orders events by time; those at the same time keep their order."""
    return events[np.argsort(events["t"], kind="stable")]


def cell_index(events: np.ndarray, sensor_shape: Sequence[int]) -> np.ndarray:
    """Computes the index of each event's cell in a flattened array of `sensor_shape`.

    A sensor shape with one polarity merges both.

    Raises:
        ValueError: if an event is outside the sensor.
    """
    sensor_shape = check_sensor_shape(sensor_shape)
    flat = len(sensor_shape) == 1
    height, width, polarities = (1, *sensor_shape, 1) if flat else sensor_shape
    dtype = "int32" if height * width * polarities < 1 << 31 else "int64"
    index = _inside(events["y"].astype(dtype), "y", height, sensor_shape)
    index *= width
    index += _inside(events["x"].astype(dtype), "x", width, sensor_shape)
    p = _inside(events["p"], "p", 2, sensor_shape)
    if polarities == 2:
        index *= 2
        index += p
    return index


def _inside(values, name, size, sensor_shape):
    largest = values.max(initial=0)
    if largest >= size:
        raise ValueError(
            f"An event lies outside the sensor of shape {sensor_shape}: "
            f"{name}={largest}, allowed are 0 to {size - 1}. Is the shape "
            "(height, width, polarities) that of the camera?"
        )
    return values
