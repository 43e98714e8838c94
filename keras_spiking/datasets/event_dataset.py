"""Batches of event recordings for `fit`, `evaluate` and `predict`."""

import bisect
import concurrent.futures
import os
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spiking.datasets.augmentation import EventMix
from keras_spiking.datasets.feeding import tf_dataset
from keras_spiking.datasets.ordered_dataset import OrderedDataset
from keras_spiking.datasets.samples import Samples
from keras_spiking.progress import check_verbose
from keras_spiking.progress import progress_bar
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_data_format
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_timesteps

_INPUTS = ("frames", "mask", "lengths")
_WINDOW = 1024  # recordings that wait for a thread at a time


class EventDataset(OrderedDataset):
    """A `keras.utils.PyDataset` of event recordings.

    Batches are `(x, labels)`. Recordings of different duration are padded with
    zeros after their end; `mask` and `lengths` show where that is.

    Transforms of one argument, such as Tonic's, may stand for representation and
    augmentation. They take and return events in Tonic's layout, or return its frames
    `(time, polarities, height, width)`, and draw from the global random numbers of
    NumPy and Python, which `seed` decides for them.

    What is in a batch depends on `seed` and the epoch only. Keras may still ask for
    batches in another order: `fit(..., shuffle=False)` keeps it. `OrderedDataset` has
    the methods that yield batches from any one on (`batches`), choose the epoch
    (`set_epoch`), and make loaders of PyTorch (`to_torch`) and Grain (`to_grain`).

    Args:
        recordings: Indexable of `(events, label)` with a length: `Recordings`, a
            loader of this package, a dataset of Tonic (cached or not), or your own.
        representation: Callable `(events, sensor_shape) -> (time, ...)`, such as
            `Frames`, or of the events alone, such as Tonic's `ToFrame`. For a cache
            its configuration must be known, as that of a `Representation` and of
            Tonic's transforms is. Defaults to `None`: the recordings are such arrays
            already, made by a transform of theirs.
        batch_size: Integer >= 1, in this process. Defaults to `32`.
        sensor_shape: `(height, width, polarities)` or `(units,)`. Defaults to what
            the recordings say.
        timesteps: Number of steps of a batch. An integer, or a list of integers
            ("buckets": a batch takes the smallest that holds its longest recording),
            so that compiled models meet few shapes. Recordings longer than the
            largest are cut off at their end. `None` takes the longest of each
            batch. Where batches differ, TensorFlow needs `fit(dataset.to_tf_data())`,
            which declares it. Defaults to `None`.
        augmentation: Callable or list of callables `(events, sensor_shape, rng) ->
            events`, or of the events alone, applied again in every epoch. Defaults to
            `None`.
        mix: `EventMix` or `None`: mixes recordings, and labels with them. Defaults
            to `None`.
        sort: Boolean, whether to order events by time, as they are read and before
            they are represented, for cameras and transforms that do not keep the order.
            Defaults to `False`.
        shuffle: Boolean, whether every epoch has an order of its own. Defaults to
            `False`.
        seed: Integer >= 0, decides order and augmentation, whatever the number of
            workers. Defaults to `0`.
        drop_remainder: Boolean, whether to leave out the last batch if it is
            smaller. Defaults to `False`.
        shard: `(index, count)` of this process among several that train one model.
            Their batches of `batch_size` make up the batches of `count * batch_size`
            that one process would have. Defaults to `None`, one process.
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
        ValueError: if there are no recordings, not enough for a batch of each process,
            or the cache cannot distinguish one representation from another.

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
        representation: Callable[..., np.ndarray] | None = None,
        *,
        batch_size: int = 32,
        sensor_shape: Sequence[int] | None = None,
        timesteps: int | Sequence[int] | None = None,
        augmentation: Callable[..., np.ndarray]
        | Sequence[Callable[..., np.ndarray]]
        | None = None,
        mix: EventMix | None = None,
        sort: bool = False,
        shuffle: bool = False,
        seed: int = 0,
        drop_remainder: bool = False,
        shard: tuple[int, int] | None = None,
        inputs: str | Sequence[str] = ("frames",),
        data_format: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        self.samples = Samples(
            recordings,
            representation,
            sensor_shape=sensor_shape,
            augmentation=augmentation,
            mix=mix,
            sort=sort,
            cache_dir=cache_dir,
            seed=seed,
        )
        super().__init__(
            len(recordings),
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_remainder=drop_remainder,
            shard=shard,
            workers=workers,
            use_multiprocessing=use_multiprocessing,
            max_queue_size=max_queue_size,
        )
        self.timesteps = _check_timesteps(timesteps)
        self.inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        if not self.inputs:
            raise ValueError(f"`inputs` must name some of {_INPUTS}. Received: ()")
        for name in self.inputs:
            check_choice("inputs", name, _INPUTS)
        self.data_format = check_data_format(data_format)

    def make(self, epoch: int, indices: np.ndarray) -> tuple[Any, np.ndarray]:
        arrays, labels = zip(*(self.samples.get(epoch, int(i)) for i in indices))
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

    def _steps(self, longest):
        if self.timesteps is None:
            return longest
        fitting = bisect.bisect_left(self.timesteps, longest)
        return self.timesteps[min(fitting, len(self.timesteps) - 1)]

    def prepare(self, workers: int = 2, verbose: int = 1) -> None:
        """Fills the cache, so that no epoch waits for decoding.

        Interrupted, it keeps what is done, and goes on from there when it is called
        again. Several processes, told apart by `shard`, each do their share.

        Args:
            workers: Integer >= 1, number of threads. Defaults to `2`.
            verbose: 0, or 1 or 2 to show progress, as in `fit`. Defaults to `1`.
        """
        if not self.samples.cache:
            raise ValueError("`prepare` fills the cache: give `cache_dir`.")
        check_integer("workers", workers, minimum=1)
        own = self._order.own()
        progress = progress_bar(len(own), check_verbose(verbose), "recording")
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(own), _WINDOW):
                window = own[start : start + _WINDOW]
                tasks = [pool.submit(self.samples.prepare, index) for index in window]
                try:
                    for task in concurrent.futures.as_completed(tasks):
                        task.result()
                        progress.add(1)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    def to_tf_data(self, start: int | None = None) -> Any:
        """This dataset as a `tf.data.Dataset`, which declares what differs in batches.

        `workers` threads make batches ahead, up to `max_queue_size`.

        Args:
            start: Integer >= 0, see `batches`: the data have no end, and `fit` takes
                `steps_per_epoch=len(dataset)`. Defaults to `None`: one pass is one
                epoch.
        """
        if start is not None:
            check_integer("start", start, minimum=0)
        return tf_dataset(self, start)


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
