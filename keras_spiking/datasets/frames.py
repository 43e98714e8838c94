"""Frames: how many events every cell of the sensor saw in a stretch of time."""

import math
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spiking.datasets.counting import count_events
from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import check_order
from keras_spiking.datasets.events import check_sensor_shape
from keras_spiking.datasets.representations import Representation
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer

_LARGEST = 2**34  # bytes of a recording's frames


class Frames(Representation):
    """Events counted in frames.

    Frame `j` of `M` counts the events `i` with `l_j <= i < r_j`. Given `number`,
    a recording of `N` events is cut into `M = number` frames of as many events or
    as much time; whatever the division leaves over goes to the last frame:

        l_j = floor(N / M) j,  r_j = floor(N / M) (j + 1)       (split_by="count")
        l_j = min {k: t_k >= t_0 + dt j},  dt = floor((t_{N-1} - t_0) / M)
        r_j = max {k: t_k < t_0 + dt (j + 1)} + 1               (split_by="time")

    Given `duration`, frames last `dt = duration`, and there are as many as the
    recording needs: `ceil((t_{N-1} - t_0) / dt)`, the last of which includes its
    end. Given `events_per_frame`, frames have that many events, the last one
    those that are left.

    A stretch of time without events is an empty frame. With fewer events, or less
    microseconds, than frames, the division gives 0, and all events are in the last
    frame. Without events, there are `number` empty frames, or one.

    Args:
        number: Integer >= 1, the number of frames. Defaults to `None`.
        duration: Integer >= 1, microseconds of a frame. Defaults to `None`.
        events_per_frame: Integer >= 1. Defaults to `None`. Exactly one of these
            three must be given.
        split_by: `"time"` or `"count"`, how to make a given number of frames.
            Defaults to `"time"`.

    Call arguments:
        events: Events in order of time, see `as_events`.
        sensor_shape: `(height, width, polarities)`, or `(units,)`. With one
            polarity, those of the events are merged.

    Output shape:
        `(time, *sensor_shape)`, int32.

    Example:

    >>> events = keras_spiking.datasets.make_events(range(100), x=[5] * 100)
    >>> frames = keras_spiking.datasets.Frames(number=4)(events, (10, 10, 2))
    >>> frames.shape
    (4, 10, 10, 2)
    >>> frames[:, 0, 5, 0].tolist()
    [24, 24, 24, 28]

    References:
        - [Fang et al., 2023](https://arxiv.org/abs/2310.16620)
    """

    def __init__(
        self,
        number: int | None = None,
        *,
        duration: int | None = None,
        events_per_frame: int | None = None,
        split_by: str = "time",
    ):
        given = {
            "number": number,
            "duration": duration,
            "events_per_frame": events_per_frame,
        }
        chosen = {name: n for name, n in given.items() if n is not None}
        if len(chosen) != 1:
            raise ValueError(
                "Frames need exactly one of `number`, `duration` (microseconds) and "
                f"`events_per_frame`, an integer of at least 1. Received: {given}"
            )
        for name, value in chosen.items():
            given[name] = check_integer(name, value, minimum=1)
        self.number = given["number"]
        self.duration = given["duration"]
        self.events_per_frame = given["events_per_frame"]
        self.split_by = check_choice("split_by", split_by, ("time", "count"))

    def __call__(self, events: Any, sensor_shape: Sequence[int]) -> np.ndarray:
        events = as_events(events)
        return self.from_chunks(lambda: [events], sensor_shape)

    def from_chunks(
        self,
        chunks: Callable[[], Iterable[np.ndarray]],
        sensor_shape: Sequence[int],
    ) -> np.ndarray:
        """Frames of a recording that need not fit into memory.

        Args:
            chunks: Callable without arguments that returns an iterator over the
                recording's events in several arrays. It is called twice: where
                frames begin is known when the recording's end is.
            sensor_shape: As in a call.

        Returns:
            The same array as a call with all events at once.
        """
        sensor_shape = check_sensor_shape(sensor_shape)
        count, first, last = 0, 0, None
        for chunk in chunks():
            check_order(chunk, previous=last)
            if len(chunk):
                first = int(chunk["t"][0]) if count == 0 else first
                last = int(chunk["t"][-1])
                count += len(chunk)
        steps, by_time = self._steps(count, 0 if last is None else last - first)
        size = 4 * steps[0] * math.prod(sensor_shape)
        if size > _LARGEST:
            raise ValueError(
                f"{steps[0]:,} frames would take {size:,} bytes, more than "
                f"{_LARGEST:,}. The recording goes from {first} to {last} us: "
                "if that is not a damaged timestamp, choose a longer `duration`, or "
                "cut the recording."
            )
        frames = np.zeros((steps[0], *sensor_shape), "int32")
        starts = np.arange(1, steps[0]) * steps[1]
        seen = 0
        for chunk in chunks() if count else ():
            if by_time:
                cuts = np.searchsorted(chunk["t"], first + starts)
            else:
                cuts = np.clip(starts - seen, 0, len(chunk))
            cuts = np.concatenate([[0], cuts, [len(chunk)]])
            for j in np.flatnonzero(np.diff(cuts)):
                count_events(chunk[cuts[j] : cuts[j + 1]], sensor_shape, frames[j])
            seen += len(chunk)
        return frames

    def _steps(self, count, time):
        """How many frames, their length, and whether in time or in events."""
        if self.number is not None:
            by_time = self.split_by == "time"
            total = time if by_time else count
            return (self.number, total // self.number), by_time
        length = self.duration or self.events_per_frame
        total = time if self.duration else count
        return (max(1, -(-total // length)), length), self.duration is not None

    def get_config(self):
        return {
            "number": self.number,
            "duration": self.duration,
            "events_per_frame": self.events_per_frame,
            "split_by": self.split_by,
        }
