"""Batches made ahead by several workers, and as the loaders of frameworks.

All of them ask for a batch by its number, counted from the beginning of epoch 0, so
that no worker needs to be told of a new epoch.
"""

import collections
import concurrent.futures
import itertools
import multiprocessing
import sys
from typing import Any

import keras


def batches_ahead(dataset, numbers):
    """Yields the batches of these numbers in order, some of which are made ahead.

    Args:
        dataset: `OrderedDataset`, whose `workers`, `use_multiprocessing` and
            `max_queue_size` hold.
        numbers: Iterable of integers.
    """
    if dataset.workers <= 1 and not dataset.use_multiprocessing:
        yield from map(dataset._batch, numbers)
        return
    numbers = iter(numbers)
    pool, make = _pool(dataset)
    waiting = collections.deque()
    try:
        for number in itertools.islice(numbers, dataset.max_queue_size):
            waiting.append(pool.submit(make, number))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(pool.submit(make, n) for n in itertools.islice(numbers, 1))
            yield batch
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _pool(dataset):
    """Workers, and the function that makes a batch in one of them."""
    workers = max(1, dataset.workers)
    if not dataset.use_multiprocessing:
        return concurrent.futures.ThreadPoolExecutor(workers), dataset._batch
    # JAX runs threads, for which a copy of its process could wait in vain.
    method = "spawn" if keras.config.backend() == "jax" else None
    context = multiprocessing.get_context(method)
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, _begin, (dataset,))
    return pool, _make


def _begin(dataset):
    global _dataset
    _dataset = dataset


def _make(number):
    return _dataset._batch(number)


class _Passes:
    """Numbers of batches; every pass but the first begins a new epoch.

    Not the end of a pass: those who know the number of batches stop before it. Nor the
    call of `iter`: PyTorch's loader with workers makes two iterators and uses one.
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
        start = self.dataset.epoch * len(self)
        yield from range(start, start + len(self))


class _ByNumber:
    """Batches by their number, of a range of them."""

    def __init__(self, dataset, numbers):
        self.dataset = dataset
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        return self.dataset._batch(self.numbers[index])


def tf_dataset(dataset, start):
    import tensorflow as tf

    passes = _Passes(dataset) if start is None else itertools.count(start)

    def batches():
        return batches_ahead(dataset, passes)

    def specification(path, array):
        shape = list(array.shape)
        shape[0] = dataset.batch_size if dataset.drop_remainder else None
        if path[-1] in ("frames", "mask"):
            fixed = dataset.timesteps is not None and len(dataset.timesteps) == 1
            shape[1] = dataset.timesteps[0] if fixed else None
        return tf.TensorSpec(shape, array.dtype)

    x, labels = dataset[0]
    if isinstance(x, dict):
        x = {name: specification((name,), array) for name, array in x.items()}
    else:
        x = specification(dataset.inputs, x)
    signature = (x, specification(("labels",), labels))
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    if start is not None:
        return data
    return data.apply(tf.data.experimental.assert_cardinality(len(dataset)))


def torch_loader(dataset, num_workers):
    import torch

    # A dataset without extending PyTorch's class.
    batches: Any = _ByNumber(dataset, range(sys.maxsize))
    return torch.utils.data.DataLoader(
        batches, batch_size=None, sampler=_Passes(dataset), num_workers=num_workers
    )


def grain_dataset(dataset, numbers, num_workers):
    try:
        import grain
    except ImportError:
        raise ImportError(
            "`to_grain` needs the package Grain: `pip install grain`."
        ) from None
    options = grain.ReadOptions(
        num_threads=dataset.workers, prefetch_buffer_size=dataset.max_queue_size
    )
    source = grain.MapDataset.source(_ByNumber(dataset, numbers))
    batches = source.to_iter_dataset(options)
    if not num_workers:
        return batches
    from absl import flags

    if not flags.FLAGS.is_parsed():  # Grain reads its own, in programs without any, too
        flags.FLAGS.mark_as_parsed()
    return batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers))
