"""Representations: arrays over time, made from the events of one recording."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import cell_index
from keras_spiking.datasets.events import check_order
from keras_spiking.datasets.events import check_sensor_shape
from keras_spiking.validation import check_number
from keras_spiking.validation import check_timesteps


class Representation:
    """Base class of representations: `(time, ...)` arrays made from events.

    Subclasses implement `represent(events, sensor_shape)`, and `get_config()` if
    they take arguments: a cache recognises its entries by it. `cell_index` gives
    the place of each event in the array.

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

    def __call__(self, events: Any, sensor_shape: Sequence[int]) -> np.ndarray:
        sensor_shape = check_sensor_shape(sensor_shape)
        events = as_events(events)
        check_order(events)
        return self.represent(events, sensor_shape)

    def represent(
        self, events: np.ndarray, sensor_shape: tuple[int, ...]
    ) -> np.ndarray:
        raise NotImplementedError(
            f"{type(self).__name__} must implement `represent(events, sensor_shape)`."
        )

    def get_config(self) -> dict[str, Any]:
        return {}

    def __repr__(self):
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class VoxelGrid(Representation):
    """Signed events, shared between the two nearest steps in time.

        V[b, y, x] = sum_i s_i max(0, 1 - |b - b_i|),
        b_i = (B - 1) (t_i - t_0) / (t_{N-1} - t_0),    s_i = 2 p_i - 1

    Events all at one time are in the first step; no events make an empty grid.

    Args:
        timesteps: Integer >= 1, the number `B` of steps.

    Call arguments:
        events: Events in order of time, see `as_events`.
        sensor_shape: `(height, width, polarities)`, or `(units,)`.

    Output shape:
        `(timesteps, height, width, 1)` or `(timesteps, units)`, float32.

    References:
        - [Zhu et al., 2019](https://arxiv.org/abs/1812.08156)
    """

    def __init__(self, timesteps: int):
        self.timesteps = check_timesteps(timesteps)

    def represent(self, events, sensor_shape):
        merged = (*sensor_shape[:2], 1) if len(sensor_shape) == 3 else sensor_shape
        grid = np.zeros((self.timesteps, int(np.prod(merged))), "float32")
        cells = grid.shape[1]
        if len(events):
            time = (events["t"] - events["t"][0]).astype("float64")
            position = time * ((self.timesteps - 1) / max(time[-1], 1))
            step = position.astype("int64")
            later = position - step
            sign = events["p"] * 2.0 - 1.0
            index = step * cells + cell_index(events, merged)
            size = grid.size + cells  # `later` is 0 for events at the very end
            total = np.bincount(index, sign * (1 - later), minlength=size)
            total += np.bincount(index + cells, sign * later, minlength=size)
            grid[:] = total[: grid.size].reshape(grid.shape)
        return grid.reshape(self.timesteps, *merged)

    def get_config(self):
        return {"timesteps": self.timesteps}


class TimeSurface(Representation):
    """How recently every cell saw an event, at regular times.

        S[j, y, x, p] = exp(-(T_j - t_last(y, x, p)) / tau),
        T_j = t_0 + (t_{N-1} - t_0) (j + 1) / timesteps

    It is 0 where no event came until `T_j`.

    Args:
        timesteps: Integer >= 1, number of surfaces.
        tau: Float > 0, time constant in microseconds.

    Call arguments:
        events: Events in order of time, see `as_events`.
        sensor_shape: `(height, width, polarities)`, or `(units,)`.

    Output shape:
        `(timesteps, *sensor_shape)`, float32.

    References:
        - [Lagorce et al., 2017](https://doi.org/10.1109/TPAMI.2016.2574707)
    """

    def __init__(self, timesteps: int, tau: float):
        self.timesteps = check_timesteps(timesteps)
        self.tau = check_number("tau", tau, above=0.0)

    def represent(self, events, sensor_shape):
        surfaces = np.zeros((self.timesteps, *sensor_shape), "float32")
        if not len(events):
            return surfaces
        time = events["t"]
        first, last = int(time[0]), int(time[-1])
        ends = first + (last - first) * np.arange(1, self.timesteps + 1) / len(surfaces)
        latest = np.full(int(np.prod(sensor_shape)), -np.inf)
        index = cell_index(events, sensor_shape)
        start = 0
        for surface, end in zip(surfaces, ends):
            stop = np.searchsorted(time, end, side="right")
            # In order of time: of several events in a cell the latest stays.
            latest[index[start:stop]] = time[start:stop]
            surface[:] = np.exp((latest - end) / self.tau).reshape(sensor_shape)
            start = stop
        return surfaces

    def get_config(self):
        return {"timesteps": self.timesteps, "tau": self.tau}


def configuration(representation):
    """What tells a representation from others of its class, as JSON can express it.

    Raises:
        ValueError: if that is not known.
    """
    if isinstance(representation, Representation):
        return representation.get_config()
    if dataclasses.is_dataclass(representation):  # most of Tonic's transforms
        found = vars(representation)
    elif isinstance(getattr(representation, "transforms", None), (list, tuple)):
        found = [
            [type(t).__module__, type(t).__qualname__, configuration(t)]
            for t in representation.transforms
        ]
    else:
        found = None
    try:
        if found is None:
            raise TypeError("it tells none")
        json.dumps(found)
    except TypeError as error:
        raise ValueError(
            "A cache recognises its entries by the configuration of a "
            "`Representation`: derive from that class. Received: representation="
            f"{representation!r} ({error})"
        ) from None
    return found
