"""Images, augmentation, batches, operations, schedules: without a training."""

import keras
import numpy as np
import pytest

from keras_spiking.train import images
from keras_spiking.train import run
from keras_spiking.train.batches import Batches
from keras_spiking.train.recipe import Recipe

random = np.random.default_rng(0)
IMAGES = random.integers(0, 256, (10, 7, 9, 3)).astype("uint8")


def dataset(**options):
    collection = images.Images(IMAGES, np.arange(10) % 4)
    return images.ImageDataset(collection, batch_size=3, **options)


def test_images_are_scaled_and_normalised():
    x, y = dataset(mean=[0.5, 0.4, 0.3], std=[0.2])[1]
    expected = (IMAGES[3:6] / 255.0 - [0.5, 0.4, 0.3]) / 0.2
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)
    assert x.dtype == "float32" and y.tolist() == [3, 0, 1]


def test_channels_come_first_where_keras_says_so(monkeypatch):
    expected = np.moveaxis(dataset()[0][0], -1, 1)
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    np.testing.assert_array_equal(dataset()[0][0], expected)


def test_batches_depend_on_seed_epoch_and_number_only():
    def batches(epoch, first):
        found = dataset(augmentation={"flip": 0.5, "crop": 2}, shuffle=True, seed=5)
        found = Batches(found, 4, mixup=0.5, label_smoothing=0.1, seed=5)
        found.begin(epoch, first)
        return [found[i] for i in range(len(found))]

    whole = batches(3, 0)
    assert len(whole) == 4
    for (x, y), (x_again, y_again) in zip(whole[2:], batches(3, 2), strict=True):
        np.testing.assert_array_equal(x_again, x)
        np.testing.assert_array_equal(y_again, y)
        np.testing.assert_allclose(y.sum(1), 1.0, rtol=1e-6)
    assert not np.array_equal(whole[0][0], batches(4, 0)[0][0])


def test_every_image_is_in_an_epoch_once():
    found = dataset(shuffle=True)
    found.set_epoch(2)
    x = np.concatenate([found[i][0] for i in range(len(found))])
    pixels = sorted(np.round(x.sum((1, 2, 3)) * 255).tolist())
    assert pixels == sorted(IMAGES.sum((1, 2, 3)).tolist())
    assert len(dataset(drop_remainder=True)) == 3


def test_augmentation():
    rng = np.random.default_rng(0)
    image = IMAGES[0] / 255.0
    flipped = images.AUGMENTATION["flip"](image, 1.0, rng)
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    moved = images.AUGMENTATION["crop"](image, 2, rng)
    assert moved.shape == image.shape
    assert any(
        np.array_equal(moved[2:-2, 2:-2], image[2 + i : 5 + i, 2 + j : 7 + j])
        for i in range(-2, 3)
        for j in range(-2, 3)
    )
    cut = images.AUGMENTATION["cutout"](image + 1.0, 3, rng)
    assert 4 <= (cut == 0.0).all(-1).sum() <= 9
    assert dataset(size=5, augmentation={"resized_crop": 0.5})[0][0].shape == (
        3,
        5,
        5,
        3,
    )


@pytest.mark.parametrize("shape", [(10,), (10, 7, 9, 3, 1)])
def test_what_are_no_images(shape):
    with pytest.raises(ValueError, match="samples, height, width"):
        images.Images(np.zeros(shape), np.arange(10))


def test_schedules():
    recipe = Recipe(
        epochs=10, warmup_epochs=2, learning_rate=0.1, final_learning_rate=0.001
    )
    rates = run._schedule(recipe, steps=5)
    found = [float(rates(step)) for step in (0, 5, 10, 30, 50)]
    np.testing.assert_allclose(found, [0.0, 0.05, 0.1, 0.0505, 0.001], rtol=1e-5)
    constant = Recipe(schedule="constant", warmup_epochs=1, learning_rate=0.1)
    rates = run._schedule(constant, steps=4)
    assert [round(float(rates(step)), 6) for step in (2, 4, 40)] == [0.05, 0.1, 0.1]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lamb", "lion", "rmsprop"])
def test_optimizers(name):
    recipe = Recipe(optimizer=name, weight_decay=0.1, clip_norm=1.0, ema=0.9)
    found = run.optimizer(recipe, steps=4)
    assert type(found).__name__.lower() == name
    assert found.weight_decay == 0.1 and found.use_ema
