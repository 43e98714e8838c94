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
        "known of this recording, order its events by `sort_by_time(events)`."
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

    Raises:
        ValueError: if an event is outside the sensor.
    """
    flat = len(sensor_shape) == 1
    height, width, polarities = (1, *sensor_shape, 1) if flat else sensor_shape
    index = _inside(events["y"].astype("int32"), "y", height, sensor_shape)
    index *= width
    index += _inside(events["x"].astype("int32"), "x", width, sensor_shape)
    p = _inside(events["p"], "p", 2, sensor_shape)
    if polarities == 2:
        index *= 2
        index += p
    return index


def _inside(values, name, size, sensor_shape):
    largest = values.max(initial=0)
    if largest >= size:
        raise ValueError(
            f"An event lies outside the sensor of shape {tuple(sensor_shape)}: "
            f"{name}={largest}, allowed are 0 to {size - 1}. Is the shape "
            "(height, width, polarities) that of the camera?"
        )
    return values
