"""Batches of any epoch from any step on, as a training that goes on needs them."""

import keras
import numpy as np

from keras_spiking.validation import check_number


class Batches(keras.utils.PyDataset):
    """Batches for `fit`, with labels as distributions over classes.

    What batch `i` of epoch `e` holds depends on the seed, `e` and `i` only.

    Args:
        dataset: Indexable of batches `(x, labels)` with a length and a method
            `set_epoch(epoch)`.
        classes: Integer, number of classes.
        mixup: Float >= 0, both parameters of the Beta distribution from which the
            share of a sample in its mixture with another is drawn; 0 mixes none.
        label_smoothing: Float in [0, 1), share of labels spread over all classes.
        seed: Integer >= 0.
        workers: See `keras.utils.PyDataset`.

    References:
        - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412)
    """

    def __init__(
        self, dataset, classes, *, mixup=0.0, label_smoothing=0.0, seed=0, workers=1
    ):
        super().__init__(workers=workers)
        self.dataset = dataset
        self.classes = classes
        self.mixup = check_number("mixup", mixup, minimum=0.0)
        self.label_smoothing = label_smoothing
        self.seed = seed
        self.epoch = 0
        self.first = 0

    def begin(self, epoch, first=0):
        """Has the batches of an epoch follow, from number `first` on."""
        self.epoch, self.first = epoch, first
        self.dataset.set_epoch(epoch)

    @property
    def steps(self):
        """Number of batches of a whole epoch."""
        return len(self.dataset)

    def __len__(self):
        return self.steps - self.first

    def __getitem__(self, index):
        x, labels = self.dataset[self.first + index]
        y = labels if labels.ndim == 2 else np.eye(self.classes)[labels]
        if self.mixup:
            rng = np.random.default_rng((self.seed, self.epoch, self.first + index))
            share, others = rng.beta(self.mixup, self.mixup), rng.permutation(len(x))
            x = share * x + (1.0 - share) * x[others]
            y = share * y + (1.0 - share) * y[others]
        y = y * (1.0 - self.label_smoothing) + self.label_smoothing / self.classes
        return x.astype("float32"), y.astype("float32")
