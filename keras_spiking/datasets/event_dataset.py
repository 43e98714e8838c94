"""Batches of event recordings for `fit`, `evaluate` and `predict`."""

import bisect
import concurrent.futures
import math
import os
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_spiking.datasets.augmentation import EventMix
from keras_spiking.datasets.cache import Cache
from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import check_sensor_shape
from keras_spiking.datasets.recordings import check_callable
from keras_spiking.datasets.recordings import identify
from keras_spiking.datasets.recordings import sensor_shape_of
from keras_spiking.datasets.recordings import stream_of
from keras_spiking.datasets.representations import Representation
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_timesteps

_INPUTS = ("frames", "mask", "lengths")


class EventDataset(keras.utils.PyDataset):
    """A `keras.utils.PyDataset` of event recordings.

    Batches are `(x, labels)`. Recordings of different duration are padded with
    zeros after their end; `mask` and `lengths` show where that is.

    Args:
        recordings: Indexable of `(events, label)` with a length: `Recordings`, a
            loader of this package, a Tonic dataset without a transform, or your own.
        representation: Callable `(events, sensor_shape) -> (time, ...)`, such as
            `Frames`. For a cache it must be a `Representation`.
        batch_size: Integer >= 1. Defaults to `32`.
        sensor_shape: `(height, width, polarities)` or `(units,)`. Defaults to what
            the recordings say.
        timesteps: Number of steps of a batch. An integer, or a list of integers
            ("buckets": a batch takes the smallest that holds its longest recording),
            so that compiled models meet few shapes. Recordings longer than the
            largest are cut off at their end. `None` takes the longest of each
            batch. Where batches differ, TensorFlow needs `fit(dataset.to_tf_data())`,
            which declares it. Defaults to `None`.
        augmentation: Callable or list of callables `(events, sensor_shape, rng) ->
            events`, applied again in every epoch. Defaults to `None`.
        mix: `EventMix` or `None`: mixes recordings, and labels with them. Defaults
            to `None`.
        shuffle: Boolean, whether every epoch has an order of its own. Defaults to
            `False`.
        seed: Integer >= 0, decides order and augmentation, whatever the number of
            workers. Defaults to `0`.
        drop_remainder: Boolean, whether to leave out the last batch if it is
            smaller. Defaults to `False`.
        inputs: Which arrays the model takes: of `"frames"`, `"mask"` (batch, time)
            and `"lengths"` (batch,). Given one, `x` is that array; given several,
            `x` is a dictionary, for a model with inputs of these names. Defaults to
            `("frames",)`.
        data_format: `"channels_last"`, `(time, height, width, polarities)`, or
            `"channels_first"`, `(time, polarities, height, width)`. Defaults to
            `keras.config.image_data_format()`.
        cache_dir: Folder. What representation makes of a recording is stored there
            and found again by the recording, the representation and the sensor.
            With `augmentation` or `mix` it is the decoded events that are stored.
            Defaults to `None`, no cache.
        workers, use_multiprocessing, max_queue_size: See `keras.utils.PyDataset`.

    Raises:
        ValueError: if there are no recordings, or the cache cannot distinguish one
            representation from another.

    Example:

    >>> dataset = keras_spiking.datasets.EventDataset(
    ...     keras_spiking.datasets.SyntheticGestures(16),
    ...     keras_spiking.datasets.Frames(number=10),
    ...     batch_size=8,
    ... )
    >>> x, y = dataset[0]
    >>> x.shape, y.shape
    ((8, 10, 32, 32, 2), (8,))
    """

    def __init__(
        self,
        recordings: Any,
        representation: Callable[..., np.ndarray],
        *,
        batch_size: int = 32,
        sensor_shape: Sequence[int] | None = None,
        timesteps: int | Sequence[int] | None = None,
        augmentation: Callable[..., np.ndarray]
        | Sequence[Callable[..., np.ndarray]]
        | None = None,
        mix: EventMix | None = None,
        shuffle: bool = False,
        seed: int = 0,
        drop_remainder: bool = False,
        inputs: str | Sequence[str] = ("frames",),
        data_format: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        super().__init__(
            workers=check_integer("workers", workers, minimum=0),
            use_multiprocessing=check_bool("use_multiprocessing", use_multiprocessing),
            max_queue_size=check_integer("max_queue_size", max_queue_size, minimum=1),
        )
        if not hasattr(recordings, "__getitem__") or not hasattr(recordings, "__len__"):
            raise TypeError(
                "`recordings` must be indexable and have a length. Received: "
                f"recordings={recordings!r}"
            )
        if not len(recordings):
            raise ValueError("`recordings` is empty. Received: recordings of length 0")
        self.recordings = recordings
        self.representation = check_callable("representation", representation)
        self.batch_size = check_integer("batch_size", batch_size, minimum=1)
        self.sensor_shape = (
            sensor_shape_of(recordings)
            if sensor_shape is None
            else check_sensor_shape(sensor_shape)
        )
        self.timesteps = _check_timesteps(timesteps)
        self.augmentation = _as_list(augmentation)
        self.mix = None if mix is None else check_callable("mix", mix)
        self.shuffle = check_bool("shuffle", shuffle)
        self.seed = check_integer("seed", seed, minimum=0)
        self.drop_remainder = check_bool("drop_remainder", drop_remainder)
        self.inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        if not self.inputs:
            raise ValueError(f"`inputs` must name some of {_INPUTS}. Received: ()")
        for name in self.inputs:
            check_choice("inputs", name, _INPUTS)
        if data_format is None:
            data_format = keras.config.image_data_format()
        self.data_format = check_choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )
        self.cache = None if cache_dir is None else Cache(cache_dir)
        if self.cache and not isinstance(representation, Representation):
            raise ValueError(
                "A cache recognises its entries by the configuration of a "
                "`Representation`: derive from that class. Received: representation="
                f"{representation!r}"
            )
        self.set_epoch(0)

    def __len__(self) -> int:
        batches = len(self.recordings) / self.batch_size
        return math.floor(batches) if self.drop_remainder else math.ceil(batches)

    def __getitem__(self, batch: int) -> tuple[Any, np.ndarray]:
        if not 0 <= batch < len(self):
            raise IndexError(batch)
        start = batch * self.batch_size
        indices = self._order[start : start + self.batch_size]
        arrays, labels = zip(*(self._sample(int(i)) for i in indices))
        lengths = np.array([len(array) for array in arrays], "int32")
        steps = self._steps(lengths.max())
        lengths = np.minimum(lengths, steps)
        frames = np.zeros((len(arrays), steps, *arrays[0].shape[1:]), "float32")
        for padded, array, length in zip(frames, arrays, lengths):
            padded[:length] = array[:length]
        if self.data_format == "channels_first" and frames.ndim == 5:
            frames = np.ascontiguousarray(np.moveaxis(frames, -1, 2))
        x = {
            "frames": frames,
            "mask": np.arange(steps) < lengths[:, None],
            "lengths": lengths,
        }
        if len(self.inputs) == 1:
            return x[self.inputs[0]], np.stack(labels)
        return {name: x[name] for name in self.inputs}, np.stack(labels)

    def on_epoch_end(self):
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, which decides order and augmentation with the seed.

        Args:
            epoch: Integer >= 0, number of the epoch.
        """
        self.epoch = check_integer("epoch", epoch, minimum=0)
        self._new_order()

    def _new_order(self):
        self._order = np.arange(len(self.recordings))
        if self.shuffle:
            self._rng().shuffle(self._order)

    def _rng(self, *index):
        return np.random.default_rng((self.seed, self.epoch, *index))

    def _steps(self, longest):
        if self.timesteps is None:
            return longest
        fitting = bisect.bisect_left(self.timesteps, longest)
        return self.timesteps[min(fitting, len(self.timesteps) - 1)]

    @property
    def _changes_events(self):
        return bool(self.augmentation or self.mix)

    def _sample(self, index):
        if self._changes_events:
            array, label = self._augmented(index)
        elif self.cache:
            array, label = self._stored(index)
        else:
            events, label = self.recordings[index]
            array = self.representation(as_events(events), self.sensor_shape)
        if not len(array):
            raise ValueError(
                f"The representation of recording {index} has no time steps. It must "
                "return an array (time, ...) with at least one, whatever the events."
            )
        return array, label

    def _augmented(self, index):
        rng = self._rng(index)
        events, label = self._events(index)
        if self.mix is not None:
            other = self._events(int(rng.integers(len(self.recordings))))
            events, label = self.mix(events, label, *other, self.sensor_shape, rng)
        for augment in self.augmentation:
            events = augment(events, self.sensor_shape, rng)
        return self.representation(events, self.sensor_shape), label

    def _events(self, index):
        if self.cache:
            return self._stored(index)
        events, label = self.recordings[index]
        return as_events(events), label

    def _stored(self, index):
        """Events or their representation, from the cache, and the label."""
        fingerprint, label = identify(self.recordings, index)
        # A new format leaves aside what an older version stored.
        key = {"recording": fingerprint, "format": 2}
        if self._changes_events:
            return self.cache.get(key, lambda: self._decode(index)), label
        kind = type(self.representation)
        key["representation"] = [kind.__module__, kind.__qualname__]
        key["config"] = self.representation.get_config()
        key["sensor_shape"] = self.sensor_shape
        return self.cache.get(key, lambda: self._represent(index)), label

    def _decode(self, index):
        return as_events(self.recordings[index][0])

    def _represent(self, index):
        if hasattr(self.representation, "from_chunks"):
            return self.representation.from_chunks(
                lambda: stream_of(self.recordings, index), self.sensor_shape
            )
        return self.representation(self.recordings[index][0], self.sensor_shape)

    def prepare(self, workers: int = 2, verbose: int = 1) -> None:
        """Fills the cache, so that no epoch waits for decoding.

        Interrupted, it keeps what is done, and goes on from there when it is called
        again.

        Args:
            workers: Integer >= 1, number of threads. Defaults to `2`.
            verbose: 0 or 1, whether to show a progress bar. Defaults to `1`.
        """
        if not self.cache:
            raise ValueError("`prepare` fills the cache: give `cache_dir`.")
        check_integer("workers", workers, minimum=1)
        total = len(self.recordings)
        progress = keras.utils.Progbar(total, verbose=verbose, unit_name="recording")
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            tasks = [pool.submit(self._prepare, index) for index in range(total)]
            try:
                for task in concurrent.futures.as_completed(tasks):
                    task.result()
                    progress.add(1)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _prepare(self, index):
        try:
            self._stored(index)
        except ValueError as error:
            raise ValueError(f"Recording {index}: {error}") from error

    def to_tf_data(self) -> Any:
        """This dataset as a `tf.data.Dataset`, one pass of which is one epoch."""
        import tensorflow as tf

        epochs = _Epochs(self)

        def epoch():
            for batch in epochs:
                yield self[batch]

        def specification(path, array):
            shape = list(array.shape)
            shape[0] = self.batch_size if self.drop_remainder else None
            if path[-1] in ("frames", "mask"):
                fixed = self.timesteps is not None and len(self.timesteps) == 1
                shape[1] = self.timesteps[0] if fixed else None
            return tf.TensorSpec(shape, array.dtype)

        x, labels = self[0]
        if isinstance(x, dict):
            x = {name: specification((name,), array) for name, array in x.items()}
        else:
            x = specification(self.inputs, x)
        signature = (x, specification(("labels",), labels))
        dataset = tf.data.Dataset.from_generator(epoch, output_signature=signature)
        return dataset.apply(tf.data.experimental.assert_cardinality(len(self)))

    def to_torch(self, num_workers: int = 0) -> Any:
        """This dataset as a `torch.utils.data.DataLoader`.

        Args:
            num_workers: Integer >= 0, processes of the loader. Defaults to `0`.
        """
        import torch

        dataset: Any = self  # which is one without extending PyTorch's class
        return torch.utils.data.DataLoader(
            dataset, batch_size=None, sampler=_Epochs(self), num_workers=num_workers
        )


class _Epochs:
    """Numbers of batches; every pass but the first begins a new epoch.

    Not the end of a pass: those who know the number of batches stop before it.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.passes = 0

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        if self.passes:
            self.dataset.on_epoch_end()
        self.passes += 1
        return iter(range(len(self.dataset)))


def _check_timesteps(timesteps):
    if timesteps is None:
        return None
    if isinstance(timesteps, str) or not np.iterable(timesteps):
        timesteps = [timesteps]
    steps = sorted(check_timesteps(n) for n in timesteps)
    if not steps:
        raise ValueError(
            "`timesteps` must be an integer of at least 1, or a list of them. "
            "Received: timesteps=[]"
        )
    return steps


def _as_list(augmentation):
    if augmentation is None:
        return []
    if callable(augmentation) or not np.iterable(augmentation):
        augmentation = [augmentation]
    return [check_callable("augmentation", augment) for augment in augmentation]
