"""Recordings made from a seed: for guides and tests without a download."""

from collections.abc import Sequence

import numpy as np

from keras_spiking.datasets.events import check_sensor_shape
from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

_STEPS = 60


class SyntheticGestures:
    """A disc seen by an event camera: it moves, circles, approaches or recedes.

    The disc has a random size and takes one of eight paths. Pixels that it begins to
    cover report "on" events, pixels that it leaves "off" events, each with some
    delay. Pixels miss some of them, and others report events without cause.

    Args:
        num_samples: Integer >= 1, number of recordings. Labels take turns.
        sensor_shape: `(height, width, polarities)`. Defaults to `(32, 32, 2)`.
        duration: Integer >= 1, microseconds of a recording. Defaults to `300_000`.
        noise: Float >= 0, how many events have no cause, relative to those that
            have. Defaults to `0.1`.
        seed: Integer >= 0. Recording `i` depends on the seed and `i` only. Defaults to
            `0`.

    Example:

    >>> gestures = keras_spiking.datasets.SyntheticGestures(16, seed=1)
    >>> events, label = gestures[3]
    >>> gestures.classes[label]
    'down'
    """

    classes = (
        "left",
        "right",
        "up",
        "down",
        "clockwise",
        "counterclockwise",
        "approaching",
        "receding",
    )

    def __init__(
        self,
        num_samples: int,
        *,
        sensor_shape: Sequence[int] = (32, 32, 2),
        duration: int = 300_000,
        noise: float = 0.1,
        seed: int = 0,
    ):
        self.num_samples = check_integer("num_samples", num_samples, minimum=1)
        self.sensor_shape = check_sensor_shape(sensor_shape)
        if len(self.sensor_shape) == 1:
            raise ValueError(
                "Gestures need a sensor of shape (height, width, polarities). "
                f"Received: sensor_shape={sensor_shape!r}"
            )
        self.duration = check_integer("duration", duration, minimum=1)
        self.noise = check_number("noise", noise, minimum=0.0)
        self.seed = check_integer("seed", seed, minimum=0)

    @property
    def labels(self) -> list[int]:
        return [i % len(self.classes) for i in range(self.num_samples)]

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        if not 0 <= index < self.num_samples:
            raise IndexError(index)
        rng = np.random.default_rng((self.seed, index))
        label = index % len(self.classes)
        height, width, _ = self.sensor_shape
        x, y, radius = _path(self.classes[label], np.linspace(0, 1, _STEPS + 1), rng)
        columns = (np.arange(width) + 0.5) / width * 2 - 1
        rows = (np.arange(height) + 0.5) / height * 2 - 1
        square = (columns[None, :] - x[:, None]) ** 2
        square = square[:, None, :] + ((rows[None, :] - y[:, None]) ** 2)[:, :, None]
        covered = square < (radius**2)[:, None, None]
        step, row, column = np.nonzero(covered[1:] != covered[:-1])
        on = covered[step + 1, row, column]
        seen = rng.random(len(step)) > 0.1
        step, row, column, on = step[seen], row[seen], column[seen], on[seen]
        stray = int(self.noise * len(step))
        time = (step + rng.random(len(step))) / _STEPS
        time = np.concatenate([time, rng.random(stray)])
        events = make_events(
            (time * self.duration).astype("int64"),
            np.concatenate([column, rng.integers(0, width, stray)]),
            np.concatenate([row, rng.integers(0, height, stray)]),
            np.concatenate([on, rng.integers(0, 2, stray)]),
        )
        return sort_by_time(events), label


def _path(name, time, rng):
    """Centre and radius over time, on a sensor from -1 to 1, y downwards."""
    radius = np.full_like(time, rng.uniform(0.25, 0.45))
    x0, y0 = rng.uniform(-0.3, 0.3, 2)
    reach = rng.uniform(0.6, 0.9)
    along = reach * (2 * time - 1)
    still = np.zeros_like(time)
    if name in ("left", "right"):
        x, y = (along if name == "right" else -along), still + y0
    elif name in ("up", "down"):
        x, y = still + x0, (along if name == "down" else -along)
    elif name in ("clockwise", "counterclockwise"):
        angle = 2 * np.pi * time * (1 if name == "clockwise" else -1)
        angle += rng.uniform(0, 2 * np.pi)
        x, y = 0.6 * reach * np.cos(angle), 0.6 * reach * np.sin(angle)
    else:
        radius = radius * (0.3 + 1.7 * (time if name == "approaching" else 1 - time))
        x, y = still + x0, still + y0
    return x, y, radius
