"""Which recordings a batch of an epoch holds, in each of several processes."""

import math

import numpy as np

from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer


class Order:
    """The order of recordings, which depends on the seed and the epoch only.

    All processes cut the same order into the same global batches, and each takes its
    part of every one. So together they see what one process with batches of that size
    sees.

    Args:
        total: Integer >= 1, number of recordings.
        batch_size: Integer >= 1, recordings of a batch in one process.
        shuffle: Boolean.
        seed: Integer >= 0.
        drop_remainder: Boolean, whether to leave out a last batch that is smaller.
        shard: `(index, count)`, the number of this process and that of all, or `None`.
    """

    def __init__(self, total, batch_size, shuffle, seed, drop_remainder, shard):
        self.total = total
        self.shuffle = check_bool("shuffle", shuffle)
        self.seed = check_integer("seed", seed, minimum=0)
        self.index, self.count = _check_shard(shard)
        self.global_batch = self.count * check_integer(
            "batch_size", batch_size, minimum=1
        )
        batches = total / self.global_batch
        whole = check_bool("drop_remainder", drop_remainder)
        self.batches = math.floor(batches) if whole else math.ceil(batches)
        if not self.batches:
            raise ValueError(
                f"The {total} recordings make no whole batch. Received: batch_size="
                f"{batch_size} in {self.count} process(es), drop_remainder=True"
            )
        rest = total % self.global_batch
        if not whole and 0 < rest < self.count:
            raise ValueError(
                f"The last batch has {rest} of {total} recordings, fewer than there "
                f"are processes ({self.count}): some would have none. Leave it out by "
                "drop_remainder=True, or choose another `batch_size`. Received: "
                f"batch_size={batch_size}"
            )
        self._latest = (None, None)

    def indices(self, epoch, batch):
        """The recordings of a batch of an epoch."""
        start = batch * self.global_batch
        part = self._of(epoch)[start : start + self.global_batch]
        return np.array_split(part, self.count)[self.index]

    def own(self):
        """A share of the recordings for each process, whatever the epoch."""
        return range(self.index, self.total, self.count)

    def _of(self, epoch):
        known, order = self._latest
        if known != epoch:
            order = np.arange(self.total)
            if self.shuffle:
                np.random.default_rng((self.seed, epoch)).shuffle(order)
            self._latest = (epoch, order)
        return order


def _check_shard(shard):
    if shard is None:
        return 0, 1
    if not isinstance(shard, (tuple, list)) or len(shard) != 2:
        raise ValueError(
            "`shard` must be (index, count): the number of this process, from 0 on, "
            f"and that of all processes. Received: shard={shard!r}"
        )
    count = check_integer("shard", shard[1], minimum=1)
    return check_integer("shard", shard[0], minimum=0, maximum=count - 1), count
