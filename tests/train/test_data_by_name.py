"""Data that a recipe names: of scikit-learn, of our loaders, of Tonic."""

import sys
import types

import numpy as np
import pytest

from keras_spiking import datasets
from keras_spiking.train import data
from keras_spiking.train.images import Images
from keras_spiking.train.recipe import Recipe

pytestmark = pytest.mark.once

PIXELS = np.arange(12 * 4 * 4).reshape(12, 4, 4).astype("uint8")


def part(count, **asked):
    """Samples that tell by their label what was asked for."""
    return Images(PIXELS[:count], np.full(count, len(asked)))


def loaded(name, **options):
    recipe = Recipe(data=name, batch_size=4, validation=0.25, **options)
    training, validation, classes, shape = data.load(recipe)
    return len(training), len(validation), classes, shape


def test_digits():
    batches, test_batches, classes, shape = loaded("digits")
    assert classes == 10 and shape == (8, 8, 1)
    # A quarter of the 1,797 digits, and of each class, which are rounded.
    assert abs(4 * batches - 0.75 * 1797) <= 10
    assert abs(4 * test_batches - 0.25 * 1797) <= 10


@pytest.mark.parametrize("splits", [True, False])
def test_a_loader_of_ours(splits, monkeypatch):
    def load_with_split(folder, split):
        return part({"train": 8, "test": 3}[split], folder=folder)

    def load_whole(folder):
        return part(12, folder=folder)

    loader = load_with_split if splits else load_whole
    monkeypatch.setattr(datasets, "load_mine", loader, raising=False)
    expected = (2, 1, 2, (4, 4, 1))
    assert loaded("mine", data_dir="here") == expected
    with pytest.raises(ValueError, match="'mine' needs --data-dir"):
        loaded("mine")


@pytest.mark.parametrize("splits", [True, False])
def test_a_data_set_of_tonic(splits, monkeypatch):
    def with_split(save_to, train):
        return part(8 if train else 3, save_to=save_to)

    def whole(save_to):
        return part(12, save_to=save_to)

    known = types.SimpleNamespace(Mine=with_split if splits else whole)
    tonic = types.SimpleNamespace(datasets=known)
    monkeypatch.setitem(sys.modules, "tonic", tonic)
    assert loaded("tonic:Mine", data_dir="here") == (2, 1, 2, (4, 4, 1))
    with pytest.raises(ValueError, match="no data set 'Other'. It has Mine"):
        loaded("tonic:Other", data_dir="here")
