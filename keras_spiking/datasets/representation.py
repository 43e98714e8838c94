"""What turns the events of one recording into an array over time."""

from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import check_order
from keras_spiking.datasets.events import check_sensor_shape


class Representation:
    """Base class of representations: `(time, ...)` arrays made from events.

    Subclasses implement `represent(events, sensor_shape)`, and `get_config()` if
    they take arguments: a cache recognises its entries by it. `cell_index` tells
    where in the array an event belongs.

    Call arguments:
        events: Events in order of time, see `as_events`.
        sensor_shape: `(height, width, polarities)`, or `(units,)` for a sensor in
            one dimension.

    Output shape:
        `(time, ...)`.

    Raises:
        ValueError: if timestamps run backwards, or an event is outside the sensor.

    Example:

    >>> class Ratio(keras_spiking.datasets.Representation):
    ...     def represent(self, events, sensor_shape):
    ...         return events["p"].mean(keepdims=True)
    >>> events = keras_spiking.datasets.make_events([0, 9], [1, 2], [0, 0], [0, 1])
    >>> Ratio()(events, (4, 4, 2)).tolist()
    [0.5]
    """

    def __call__(self, events, sensor_shape):
        sensor_shape = check_sensor_shape(sensor_shape)
        events = as_events(events)
        check_order(events)
        return self.represent(events, sensor_shape)

    def represent(self, events, sensor_shape):
        raise NotImplementedError(
            f"{type(self).__name__} must implement `represent(events, sensor_shape)`."
        )

    def get_config(self):
        return {}

    def __repr__(self):
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"
