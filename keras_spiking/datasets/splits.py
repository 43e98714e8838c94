"""Random numbers of generated data: training, validation and test never share any."""

import numpy as np

from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer

_SPLITS = ("train", "validation", "test")


def split_generator(split, seed):
    """The generator that draws the samples of a split."""
    check_choice("split", split, _SPLITS)
    return _generator(seed, _SPLITS.index(split))


def task_generator(seed):
    """The generator that draws what all splits have in common."""
    return _generator(seed, len(_SPLITS))


def shuffled_labels(generator, num_samples, classes):
    """Labels in random order, of which each class has as many as any other."""
    return generator.permutation(np.arange(num_samples) % classes)


def _generator(seed, key):
    seed = check_integer("seed", seed, minimum=0)
    # A key that is spawned, unlike a tuple of seeds, meets no other key of any seed.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key,)))
