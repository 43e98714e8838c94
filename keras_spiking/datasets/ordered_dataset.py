"""Batches in an order that the seed and the epoch decide, for one or many processes."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_spiking.datasets.feeding import batches_ahead
from keras_spiking.datasets.feeding import grain_dataset
from keras_spiking.datasets.feeding import torch_loader
from keras_spiking.datasets.order import Order
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer


class OrderedDataset(keras.utils.PyDataset):
    """Base class of datasets whose batches depend on the seed and the epoch only.

    Subclasses implement `make(epoch, indices)`, which returns the batch of the samples
    with these indices. What is random in it must follow from the epoch and the
    indices.

    Args:
        total: Integer >= 1, number of samples.
        batch_size: Integer >= 1, in this process. Defaults to `32`.
        shuffle: Boolean, whether every epoch has an order of its own. Defaults to
            `False`.
        seed: Integer >= 0, decides the order. Defaults to `0`.
        drop_remainder: Boolean, whether to leave out the last batch if it is
            smaller. Defaults to `False`.
        shard: `(index, count)` of this process among several that train one model.
            Their batches of `batch_size` make up the batches of `count * batch_size`
            that one process would have. Defaults to `None`, one process.
        workers, use_multiprocessing, max_queue_size: See `keras.utils.PyDataset`.

    Raises:
        ValueError: if there are not enough samples for a batch of each process.

    Example:

    >>> class Squares(keras_spiking.datasets.OrderedDataset):
    ...     def make(self, epoch, indices):
    ...         return indices.astype("float32"), indices**2
    >>> dataset = Squares(10, batch_size=2, shard=(1, 2), drop_remainder=True)
    >>> [y.tolist() for x, y in dataset.batches(epochs=1)]
    [[4, 9], [36, 49]]
    >>> [y.tolist() for x, y in dataset.batches(start=1, epochs=2)]
    [[36, 49], [4, 9], [36, 49]]
    """

    def __init__(
        self,
        total: int,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_remainder: bool = False,
        shard: tuple[int, int] | None = None,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        super().__init__(
            workers=check_integer("workers", workers, minimum=0),
            use_multiprocessing=check_bool("use_multiprocessing", use_multiprocessing),
            max_queue_size=check_integer("max_queue_size", max_queue_size, minimum=1),
        )
        self.batch_size = check_integer("batch_size", batch_size, minimum=1)
        self.drop_remainder = check_bool("drop_remainder", drop_remainder)
        total = check_integer("total", total, minimum=1)
        self._order = Order(total, batch_size, shuffle, seed, drop_remainder, shard)
        self.set_epoch(0)

    def make(self, epoch: int, indices: np.ndarray) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} must implement `make(epoch, indices)`."
        )

    def __len__(self) -> int:
        return self._order.batches

    def __getitem__(self, batch: int) -> Any:
        if not 0 <= batch < len(self):
            raise IndexError(batch)
        return self._batch(self.epoch * len(self) + batch)

    def _batch(self, number):
        """A batch by its number, counted from the beginning of epoch 0."""
        epoch, batch = divmod(number, len(self))
        return self.make(epoch, self._order.indices(epoch, batch))

    def on_epoch_end(self):
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, which decides order and augmentation with the seed.

        Args:
            epoch: Integer >= 0, number of the epoch.
        """
        self.epoch = check_integer("epoch", epoch, minimum=0)

    def batches(self, start: int = 0, *, epochs: int | None = None) -> Iterator[Any]:
        """Yields batches in order, from any one on, epoch after epoch.

        `workers` of them are made at a time, and up to `max_queue_size` wait. A
        training that was interrupted goes on with exactly the batch it needs, on every
        process and backend:

        ```python
        start = int(model.optimizer.iterations)
        model.fit(
            dataset.batches(start),
            steps_per_epoch=len(dataset),
            initial_epoch=start // len(dataset),
            epochs=50,
            shuffle=False,
        )
        ```

        Args:
            start: Integer >= 0, how many batches to leave out since epoch 0 began.
                Defaults to `0`.
            epochs: Integer >= 1, the number of epochs since then after which to end.
                Defaults to `None`, without end.
        """
        start = check_integer("start", start, minimum=0)
        if epochs is None:
            return batches_ahead(self, itertools.count(start))
        return batches_ahead(self, range(start, self._end(epochs)))

    def _end(self, epochs):
        return check_integer("epochs", epochs, minimum=1) * len(self)

    def to_torch(self, num_workers: int = 0) -> Any:
        """This dataset as a `torch.utils.data.DataLoader`.

        Args:
            num_workers: Integer >= 0, processes of the loader. Defaults to `0`.
        """
        return torch_loader(self, check_integer("num_workers", num_workers, minimum=0))

    def to_grain(self, start: int = 0, *, epochs: int, num_workers: int = 0) -> Any:
        """This dataset as a `grain.IterDataset` of the batches of several epochs.

        `fit` takes it with `steps_per_epoch=len(dataset)`. Grain's `get_state` and
        `set_state` of its iterator resume it at any batch, as `start` does.

        Args:
            start: Integer >= 0, see `batches`. Defaults to `0`.
            epochs: Integer >= 1, see `batches`.
            num_workers: Integer >= 0, processes that make batches; `0` makes them by
                `workers` threads of this process. Defaults to `0`.
        """
        start = check_integer("start", start, minimum=0)
        check_integer("num_workers", num_workers, minimum=0)
        return grain_dataset(self, range(start, self._end(epochs)), num_workers)
