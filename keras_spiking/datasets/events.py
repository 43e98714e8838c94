"""Events: one structured NumPy array with the fields t, x, y and p."""

import numpy as np

# Aligned: fields at their natural offsets are read twice as fast as packed ones.
event_dtype = np.dtype(
    [("t", "int64"), ("x", "uint16"), ("y", "uint16"), ("p", "uint8")], align=True
)


def make_events(t, x, y=0, p=0):
    """An array of events from arrays of their coordinates.

    Args:
        t: Array of integers, timestamps in microseconds.
        x: Array of integers >= 0, columns (or units of a sensor in one dimension).
        y: Array of integers >= 0, rows. Defaults to `0`.
        p: Array of polarities, 0 and 1 or booleans. Defaults to `0`.

    Returns:
        A structured array of dtype `event_dtype`.

    Raises:
        ValueError: if a coordinate or polarity is negative or too large.

    Example:

    >>> events = keras_spiking.datasets.make_events([0, 10], [3, 4], [1, 1], [0, 1])
    >>> events["x"].tolist()
    [3, 4]
    """
    t = np.atleast_1d(t)
    events = np.empty(len(t), event_dtype)
    events["t"] = t
    for name, values in (("x", x), ("y", y), ("p", p)):
        values = np.asarray(values)
        largest = np.iinfo(event_dtype[name]).max if name != "p" else 1
        if values.size and not 0 <= values.min() <= values.max() <= largest:
            raise ValueError(
                f"The events' `{name}` must lie in [0, {largest}]. Received values "
                f"from {values.min()} to {values.max()}."
            )
        events[name] = values
    return events


def as_events(events):
    """Events in any of the usual containers as an array of `event_dtype`.

    Args:
        events: Structured array with the fields t, x, p, and y unless the sensor
            has one dimension (what Tonic's datasets return), or a dictionary of
            arrays with these keys, or an open `.npz` file.
    """
    if isinstance(events, np.ndarray) and events.dtype == event_dtype:
        return events
    if isinstance(events, np.ndarray):
        names = events.dtype.names or ()
    else:
        names = tuple(events.keys()) if hasattr(events, "keys") else ()
    if not {"t", "x"} <= set(names):
        raise ValueError(
            "Events must be a structured array or a dictionary with the fields t, "
            f"x, y, p. Received: {type(events).__name__} with the fields {names}"
        )
    return make_events(
        events["t"], events["x"], *(events[k] if k in names else 0 for k in "yp")
    )


def check_events(events, sensor_shape, previous=None):
    """Raises a `ValueError` unless events are in order and on the sensor.

    Args:
        events: Array of `event_dtype`.
        sensor_shape: `(height, width, polarities)` or `(units,)`.
        previous: Integer, the timestamp before the first of these events, if they
            continue others. Defaults to `None`.
    """
    if not len(events):
        return
    t = events["t"]
    backwards = np.flatnonzero(t[1:] < t[:-1])
    if previous is not None and t[0] < previous:
        backwards, before, after = [0], previous, t[0]
    elif len(backwards):
        before, after = t[backwards[0]], t[backwards[0] + 1]
    if len(backwards):
        raise ValueError(
            f"Timestamps run backwards: {before} is followed by {after}. If that is "
            "known of this recording, order its events by `sort_by_time(events)`."
        )
    height, width = sensor_shape[:2] if len(sensor_shape) == 3 else (1, *sensor_shape)
    for name, size in (("x", width), ("y", height)):
        largest = events[name].max()
        if largest >= size:
            raise ValueError(
                f"An event lies outside the sensor of shape {tuple(sensor_shape)}: "
                f"{name}={largest}, allowed are 0 to {size - 1}. Is the shape "
                "(height, width, polarities) that of the camera?"
            )


def check_sensor_shape(sensor_shape):
    """Returns `(height, width, polarities)` or `(units,)` as a tuple of integers."""
    shape = tuple(int(n) for n in sensor_shape)
    if len(shape) not in (1, 3) or min(shape) < 1 or (len(shape) == 3 and shape[2] > 2):
        raise ValueError(
            "`sensor_shape` must be (height, width, polarities) with 1 or 2 "
            "polarities, or (units,) for a sensor in one dimension. "
            f"Received: sensor_shape={sensor_shape}"
        )
    return shape


def sort_by_time(events):
    """The events ordered by time; those at the same time keep their order."""
    return events[np.argsort(events["t"], kind="stable")]


def cell_index(events, sensor_shape):
    """The index of each event's cell in a flattened array of `sensor_shape`.

    A sensor shape with one polarity merges both.
    """
    index = events["x"].astype("int32")
    if len(sensor_shape) == 1:
        return index
    _, width, polarities = sensor_shape
    index += events["y"] * np.int32(width)
    if polarities == 2:
        index *= 2
        index += events["p"]
    return index
