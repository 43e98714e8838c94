"""Augmentation: recordings changed at random.

Each is a callable `(events, sensor_shape, rng) -> events`, as is any function of
yours: `rng`, a `numpy.random.Generator`, decides everything random.
"""

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.described import Described
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


def _check_probability(name, value):
    return check_number(name, value, minimum=0.0, maximum=1.0)


def _size(sensor_shape):
    """Height and width; a sensor in one dimension is one row high."""
    return sensor_shape[:2] if len(sensor_shape) == 3 else (1, sensor_shape[0])


class RandomFlip(Described):
    """Mirrors recordings.

    Args:
        mode: `"horizontal"`, `"vertical"` (space), `"polarity"` (on and off), or
            `"time"`, which also exchanges on and off, as a film does when it runs
            backwards. Defaults to `"horizontal"`.
        probability: Float in [0, 1]. Defaults to `0.5`.
    """

    def __init__(self, mode: str = "horizontal", probability: float = 0.5):
        choices = ("horizontal", "vertical", "polarity", "time")
        self.mode = check_choice("mode", mode, choices)
        self.probability = _check_probability("probability", probability)

    def __call__(self, events, sensor_shape, rng) -> np.ndarray:
        if rng.random() >= self.probability or not len(events):
            return events
        height, width = _size(sensor_shape)
        events = events.copy()
        if self.mode == "horizontal":
            events["x"] = width - 1 - events["x"]
        elif self.mode == "vertical":
            events["y"] = height - 1 - events["y"]
        else:
            events["p"] ^= 1
        if self.mode == "time":
            events["t"] = events["t"][0] + events["t"][-1] - events["t"]
            events = events[::-1].copy()
        return events


class RandomShift(Described):
    """Moves a recording on the sensor; what leaves the sensor is lost.

    Args:
        height: Integer >= 0, how many rows at most. Defaults to `0`.
        width: Integer >= 0, how many columns at most. Defaults to `0`.
    """

    def __init__(self, height: int = 0, width: int = 0):
        self.height = check_integer("height", height, minimum=0)
        self.width = check_integer("width", width, minimum=0)

    def __call__(self, events, sensor_shape, rng) -> np.ndarray:
        height, width = _size(sensor_shape)
        x = events["x"] + rng.integers(-self.width, self.width + 1)
        y = events["y"] + rng.integers(-self.height, self.height + 1)
        kept = (0 <= x) & (x < width) & (0 <= y) & (y < height)
        return make_events(events["t"][kept], x[kept], y[kept], events["p"][kept])


class RandomCrop(Described):
    """Keeps a window of the sensor, and loses the events outside.

    The sensor stays as large as it is.

    Args:
        height: Integer >= 1, rows of the window.
        width: Integer >= 1, columns of the window.
    """

    def __init__(self, height: int, width: int):
        self.height = check_integer("height", height, minimum=1)
        self.width = check_integer("width", width, minimum=1)

    def __call__(self, events, sensor_shape, rng) -> np.ndarray:
        height, width = _size(sensor_shape)
        top = rng.integers(0, max(height - self.height, 0) + 1)
        left = rng.integers(0, max(width - self.width, 0) + 1)
        x, y = events["x"], events["y"]
        kept = (left <= x) & (x < left + self.width)
        kept &= (top <= y) & (y < top + self.height)
        return events[kept]


class RandomTimeCrop(Described):
    """Keeps a stretch of time.

    Args:
        fraction: Float in (0, 1], how much of the recording's duration is kept.
    """

    def __init__(self, fraction: float):
        self.fraction = check_number("fraction", fraction, above=0.0, maximum=1.0)

    def __call__(self, events, sensor_shape, rng) -> np.ndarray:
        if not len(events):
            return events
        first, last = int(events["t"][0]), int(events["t"][-1])
        length = (last - first) * self.fraction
        start = first + rng.random() * (last - first - length)
        return events[(events["t"] >= start) & (events["t"] <= start + length)]


class TimeJitter(Described):
    """Adds normally distributed noise to timestamps, and orders events again.

    Args:
        stddev: Float >= 0, in microseconds.
    """

    def __init__(self, stddev: float):
        self.stddev = check_number("stddev", stddev, minimum=0.0)

    def __call__(self, events, sensor_shape, rng) -> np.ndarray:
        events = events.copy()
        noise = rng.normal(0.0, self.stddev, len(events))
        events["t"] += np.round(noise).astype("int64")
        return sort_by_time(events)


class PolarityJitter(Described):
    """Exchanges on and off of single events.

    Args:
        probability: Float in [0, 1], of every event.
    """

    def __init__(self, probability: float):
        self.probability = _check_probability("probability", probability)

    def __call__(self, events, sensor_shape, rng) -> np.ndarray:
        events = events.copy()
        events["p"] ^= (rng.random(len(events)) < self.probability).astype("uint8")
        return events


class DropEvents(Described):
    """Loses single events.

    Args:
        probability: Float in [0, 1], of every event.
    """

    def __init__(self, probability: float):
        self.probability = _check_probability("probability", probability)

    def __call__(self, events, sensor_shape, rng) -> np.ndarray:
        return events[rng.random(len(events)) >= self.probability]


class EventMix(Described):
    """Replaces a box in space and time of one recording by that of another.

    The box takes a share of space and time drawn from a Beta distribution. Labels
    become distributions over classes: each recording counts by its share of the
    events in the mixture.

    Args:
        num_classes: Integer >= 1, number of classes.
        alpha: Float > 0, both parameters of the Beta distribution. Defaults to `1.0`.
        probability: Float in [0, 1], of a recording to be mixed. Defaults to `0.5`.

    References:
        - [Shen et al., 2023](https://arxiv.org/abs/2205.12054)
    """

    def __init__(
        self, num_classes: int, *, alpha: float = 1.0, probability: float = 0.5
    ):
        self.num_classes = check_integer("num_classes", num_classes, minimum=1)
        self.alpha = check_number("alpha", alpha, above=0.0)
        self.probability = _check_probability("probability", probability)

    def __call__(
        self, events, label: int, other_events, other_label: int, sensor_shape, rng
    ) -> tuple[np.ndarray, np.ndarray]:
        """The mixture and its label `(num_classes,)`; `other_*` may be unused."""
        last = self.num_classes - 1
        label = check_integer("label", label, minimum=0, maximum=last)
        other_label = check_integer("other_label", other_label, 0, last)
        target = np.zeros(self.num_classes, "float32")
        if rng.random() >= self.probability or not len(events) * len(other_events):
            target[label] = 1.0
            return events, target
        side = rng.beta(self.alpha, self.alpha) ** (1 / 3)
        corner = rng.random(3) * (1 - side)
        duration = int(events["t"][-1] - events["t"][0])
        kept = events[~_inside(events, sensor_shape, corner, side)]
        pasted = other_events[_inside(other_events, sensor_shape, corner, side)].copy()
        time = _relative_time(pasted, other_events)
        pasted["t"] = events["t"][0] + np.round(time * duration).astype("int64")
        mixed = sort_by_time(np.concatenate([kept, pasted]))
        if not len(mixed):
            target[label] = 1.0
            return events, target
        share = len(pasted) / len(mixed)
        target[label] += 1.0 - share
        target[other_label] += share
        return mixed, target


def _relative_time(events, recording):
    first, last = recording["t"][0], recording["t"][-1]
    return (events["t"] - first) / max(int(last - first), 1)


def _inside(events, sensor_shape, corner, side):
    height, width = _size(sensor_shape)
    position = np.stack(
        [
            _relative_time(events, events),
            events["y"] / height,
            events["x"] / width,
        ]
    )
    low = corner[:, None]
    return np.all((low <= position) & (position < low + side), axis=0)
