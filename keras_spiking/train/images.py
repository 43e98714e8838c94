"""Images in memory or in files, augmented, as batches."""

import io
import pathlib

import keras
import numpy as np

from keras_spiking.datasets.readers.binary import damage
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


class Images:
    """Images in memory: an indexable of `(image, label)`.

    Args:
        images: Array `(samples, height, width)` or `(samples, height, width,
            channels)`, integers in [0, 255] or floats.
        labels: Array `(samples,)` of integers.
    """

    def __init__(self, images, labels):
        images, labels = np.asarray(images), np.asarray(labels).reshape(-1)
        if images.ndim not in (3, 4) or len(images) != len(labels) or not len(images):
            raise ValueError(
                "Images must have the shape (samples, height, width) or (samples, "
                "height, width, channels), and one label each. Received: images of "
                f"shape {images.shape} and labels of shape {labels.shape}"
            )
        if labels.dtype.kind not in "iu" or labels.min() < 0:
            raise ValueError(
                "Labels must be integers >= 0. Received: labels of dtype "
                f"{labels.dtype} from {labels.min()}"
            )
        self.images = images[..., None] if images.ndim == 3 else images
        self.labels = labels.tolist()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class ImageFiles:
    """Images in files, as RGB: an indexable of `(image, label)`.

    Args:
        paths: List of paths.
        labels: List of integers.
    """

    def __init__(self, paths, labels):
        self.paths = list(paths)
        self.labels = list(labels)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return read_image(self.paths[index]), self.labels[index]


def read_image(path, reduced=False):
    """An image as an array, or a small one, faster, to see whether it can be read."""
    image_module = _pillow()
    # In memory, since Pillow makes room for as much as a file says that it has.
    content = io.BytesIO(pathlib.Path(path).read_bytes())
    with damage(path, "an image"), image_module.open(content) as image:
        if reduced:
            image.draft("RGB", (1, 1))
        return np.asarray(image.convert("RGB"))


def _pillow():
    try:
        import PIL.Image
    except ImportError:
        raise ImportError(
            "Images in files need the package Pillow: `pip install pillow`."
        ) from None
    return PIL.Image


class ImageDataset:
    """Batches `(x, labels)` of images.

    Args:
        images: Indexable of `(image, label)`.
        batch_size: Integer >= 1.
        size: Integer, height and width to which images are scaled, or `None`.
        augmentation: Dictionary from names in `AUGMENTATION` to their settings.
        mean, std: Lists of floats, one for each channel or for all, or `None`.
        shuffle: Boolean, whether every epoch has an order of its own.
        seed: Integer >= 0, decides order and augmentation.
        drop_remainder: Boolean, whether to leave out a last, smaller batch.
    """

    def __init__(
        self,
        images,
        *,
        batch_size,
        size=None,
        augmentation=(),
        mean=None,
        std=None,
        shuffle=False,
        seed=0,
        drop_remainder=False,
    ):
        self.images = images
        self.batch_size = batch_size
        self.size = size
        self.augmentation = dict(augmentation)
        for name in self.augmentation:
            check_choice("augmentation", name, sorted(AUGMENTATION))
        self.mean, self.std = mean or [0.0], std or [1.0]
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self.set_epoch(0)
        self.shape = self._sample(0)[0].shape

    def set_epoch(self, epoch):
        self.epoch = epoch
        order = np.arange(len(self.images))
        if self.shuffle:
            np.random.default_rng((self.seed, epoch)).shuffle(order)
        self._order = order

    def __len__(self):
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + bool(rest and not self.drop_remainder)

    def __getitem__(self, batch):
        start = batch * self.batch_size
        indices = self._order[start : start + self.batch_size]
        x, labels = zip(*(self._sample(int(i)) for i in indices))
        return np.stack(x), np.array(labels)

    def _sample(self, index):
        image, label = self.images[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        if self.size is not None:
            area = self.augmentation.get("resized_crop")
            image = _scaled(image, self.size, _box(image.shape, area, rng))
        scale = 255.0 if image.dtype.kind in "iu" else 1.0
        image = image.astype("float32") / scale
        for name, setting in self.augmentation.items():
            image = AUGMENTATION[name](image, setting, rng)
        image = (image - np.float32(self.mean)) / np.float32(self.std)
        if keras.config.image_data_format() == "channels_first":
            image = np.moveaxis(image, -1, 0)
        return image, label


def _scaled(image, size, box):
    image = image[..., 0] if image.shape[-1] == 1 else image
    image = _pillow().fromarray(image).resize((size, size), resample=2, box=box)
    image = np.asarray(image)
    return image[..., None] if image.ndim == 2 else image


def _box(shape, area, rng):
    """What is seen of an image: its centre, or a window of random area and ratio."""
    height, width = shape[:2]
    if area is None:
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side
    check_number("resized_crop", area, above=0.0, maximum=1.0)
    share = rng.uniform(area, 1.0) * height * width
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    columns = min((share * ratio) ** 0.5, width)
    rows = min((share / ratio) ** 0.5, height)
    left, top = rng.uniform(0, width - columns), rng.uniform(0, height - rows)
    return left, top, left + columns, top + rows


def _flip(image, probability, rng):
    check_number("flip", probability, minimum=0.0, maximum=1.0)
    return image[:, ::-1] if rng.random() < probability else image


def _crop(image, pixels, rng):
    """Moves an image by up to some pixels; zeros come in."""
    pixels = check_integer("crop", pixels, minimum=1)
    padded = np.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)))
    top, left = rng.integers(0, 2 * pixels + 1, 2)
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


def _cutout(image, pixels, rng):
    """Puts a square of zeros somewhere into an image."""
    pixels = check_integer("cutout", pixels, minimum=1)
    row, column = rng.integers(0, image.shape[0]), rng.integers(0, image.shape[1])
    top, left = max(row - pixels // 2, 0), max(column - pixels // 2, 0)
    image = image.copy()
    image[top : row + (pixels + 1) // 2, left : column + (pixels + 1) // 2] = 0.0
    return image


def _as_it_is(image, setting, rng):
    """A window is chosen where images are scaled."""
    return image


AUGMENTATION = {
    "flip": _flip,
    "crop": _crop,
    "cutout": _cutout,
    "resized_crop": _as_it_is,
}
