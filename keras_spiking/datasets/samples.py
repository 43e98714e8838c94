"""Recordings as arrays over time: read or cached, augmented, represented."""

from contextlib import nullcontext

import numpy as np

from keras_spiking.datasets.cache import Cache
from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import check_sensor_shape
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.datasets.one_argument import adapt
from keras_spiking.datasets.one_argument import frames_of
from keras_spiking.datasets.one_argument import seeded
from keras_spiking.datasets.recordings import check_callable
from keras_spiking.datasets.recordings import has_transform
from keras_spiking.datasets.recordings import identify
from keras_spiking.datasets.recordings import sensor_shape_of
from keras_spiking.datasets.recordings import stream_of
from keras_spiking.datasets.representations import configuration
from keras_spiking.validation import check_bool


class Samples:
    """Arrays made of recordings, which depend on the seed and the epoch only.

    Args:
        recordings, representation, sensor_shape, augmentation, mix, sort, cache_dir,
            seed: See `EventDataset`.
    """

    def __init__(
        self,
        recordings,
        representation,
        *,
        sensor_shape,
        augmentation,
        mix,
        sort,
        cache_dir,
        seed,
    ):
        if not hasattr(recordings, "__getitem__") or not hasattr(recordings, "__len__"):
            raise TypeError(
                "`recordings` must be indexable and have a length. Received: "
                f"recordings={recordings!r}"
            )
        if not len(recordings):
            raise ValueError("`recordings` is empty. Received: recordings of length 0")
        self.recordings = recordings
        self.representation = representation
        self.sensor_shape = _sensor_shape(recordings, representation, sensor_shape)
        self.augmentation = _as_list(augmentation)
        self.mix = None if mix is None else check_callable("mix", mix)
        self.sort = check_bool("sort", sort)
        self.cache = None if cache_dir is None else Cache(cache_dir)
        self.seed = seed
        if representation is None:
            self._check_changes_nothing()
            return
        arguments = ("events", "sensor_shape")
        self._represent = adapt("representation", representation, arguments)
        if self.cache:
            configuration(representation)  # says what it needs

    def _check_changes_nothing(self):
        """Arrays cannot be changed like events."""
        given = {
            "augmentation": bool(self.augmentation),
            "mix": self.mix is not None,
            "sort": self.sort,
            "cache_dir": self.cache is not None,
        }
        if any(given.values()):
            names = ", ".join(f"`{name}`" for name, there in given.items() if there)
            raise ValueError(
                f"{names} work on events. Give a `representation`, and recordings "
                "without a transform that makes frames. Received: representation=None"
            )

    def get(self, epoch, index):
        """The array and the label of a recording in an epoch."""
        if self.representation is None:
            array, label = self._read(epoch, index)
            array = frames_of(np.asarray(array), self.sensor_shape)
        elif self.cache and not self._changes_events:
            array, label = self._stored(index)
        else:
            array, label = self._augmented(epoch, index)
        if array.dtype.names is not None or not array.shape or not len(array):
            made = "recordings" if self.representation is None else "representation"
            raise ValueError(
                f"Recording {index} has no time steps: the {made} must give an array "
                "(time, ...) with at least one, whatever the events. Received: an "
                f"array of shape {array.shape} and dtype {array.dtype}"
            )
        return array, label

    def prepare(self, index):
        """Has the cache hold what can be kept of a recording."""
        try:
            self._stored(index)
        except ValueError as error:
            raise ValueError(f"Recording {index}: {error}") from error

    @property
    def _changes_events(self):
        return bool(self.augmentation or self.mix)

    def _generator(self, epoch, index):
        return np.random.default_rng((self.seed, epoch, index))

    def _reading(self, epoch, index):
        """Decides the random numbers that a transform of the recordings may draw."""
        if has_transform(self.recordings):
            return seeded(self._generator(epoch, index))
        return nullcontext()

    def _read(self, epoch, index):
        with self._reading(epoch, index):
            return self.recordings[index]

    def _in_order(self, events):
        return sort_by_time(events) if self.sort else events

    def _frames(self, events, rng):
        events = self._in_order(events)
        return self._represent(events, self.sensor_shape, rng)

    def _augmented(self, epoch, index):
        rng = self._generator(epoch, index)
        events, label = self._events(epoch, index)
        if self.mix is not None:
            other = self._events(epoch, int(rng.integers(len(self.recordings))))
            events, label = self.mix(events, label, *other, self.sensor_shape, rng)
        for augment in self.augmentation:
            events = augment(events, self.sensor_shape, rng)
        return self._frames(events, rng), label

    def _events(self, epoch, index):
        if self.cache:
            return self._stored(index)
        events, label = self._read(epoch, index)
        return self._in_order(as_events(events)), label

    def _stored(self, index):
        """Events or their representation, from the cache, and the label.

        What is random in them is decided once, whatever the epoch.
        """
        with self._reading(0, index):
            fingerprint, label = identify(self.recordings, index)
        # A new format leaves aside what an older version stored.
        key = {"recording": fingerprint, "format": 2}
        if self.sort:
            key["sort"] = True
        if self._changes_events:
            return self.cache.get(key, lambda: self._decode(index)), label
        kind = type(self.representation)
        key["representation"] = [kind.__module__, kind.__qualname__]
        key["config"] = configuration(self.representation)
        key["sensor_shape"] = self.sensor_shape
        return self.cache.get(key, lambda: self._computed(index)), label

    def _decode(self, index):
        return self._in_order(as_events(self._read(0, index)[0]))

    def _computed(self, index):
        if hasattr(self.representation, "from_chunks") and not self.sort:
            return self.representation.from_chunks(
                lambda: stream_of(self.recordings, index), self.sensor_shape
            )
        return self._frames(self._decode(index), self._generator(0, index))


def _sensor_shape(recordings, representation, given):
    if given is not None:
        return check_sensor_shape(given)
    try:
        return sensor_shape_of(recordings)
    except ValueError:
        if representation is None:  # arrays have their own
            return None
        raise


def _as_list(augmentation):
    if augmentation is None:
        return []
    if callable(augmentation) or not np.iterable(augmentation):
        augmentation = [augmentation]
    arguments = ("events", "sensor_shape", "rng")
    return [adapt("augmentation", augment, arguments) for augment in augmentation]
