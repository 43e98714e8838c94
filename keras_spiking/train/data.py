"""Training and test data by name or folder."""

import concurrent.futures
import inspect
import pathlib
import sys

import keras
import numpy as np

from keras_spiking import datasets
from keras_spiking.datasets.limits import MOST
from keras_spiking.datasets.readers.arrays import load_npz
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.datasets.recordings import labels_of
from keras_spiking.train import images
from keras_spiking.train.batches import Batches
from keras_spiking.validation import check_choice

KERAS = ("mnist", "fashion_mnist", "cifar10", "cifar100")
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff"}
TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")

# Settings of augmentation that is asked for by name only.
_USUAL = {
    "flip": 0.5,
    "crop": 4,
    "cutout": 8,
    "resized_crop": 0.08,
    "mixup": 0.2,
    "shift": 4,
    "drop": 0.1,
    "time_crop": 0.8,
    "time_jitter": 1000,
    "event_mix": 1.0,
}

_EVENT_AUGMENTATION = {
    "flip": lambda p: datasets.RandomFlip(probability=p),
    "shift": lambda pixels: datasets.RandomShift(pixels, pixels),
    "time_crop": datasets.RandomTimeCrop,
    "time_jitter": datasets.TimeJitter,
    "drop": datasets.DropEvents,
}


def load(recipe):
    """Batches for training and for validation, the number of classes, and the shape
    of a sample."""
    train, test = _samples(recipe)
    labels = np.concatenate([labels_of(train), labels_of(test)])
    classes = int(labels.max()) + 1
    if len(train) < recipe.batch_size:
        raise ValueError(
            f"There are {len(train)} samples for training in '{recipe.data}', fewer "
            f"than batch_size={recipe.batch_size}."
        )
    augmentation = {
        name: _USUAL.get(name) if setting is True else setting
        for name, setting in recipe.augmentation.items()
    }
    mixup = augmentation.pop("mixup", 0.0)
    if isinstance(train[0][0], np.ndarray) and train[0][0].dtype.names is None:
        make, augmented = _image_batches, {"augmentation": augmentation}
    else:
        make, augmented = _event_batches, _event_augmentation(augmentation, classes)
    training = make(recipe, train, True, **augmented)
    validation = make(recipe, test, False)
    shape = training[0][0].shape[1:]
    return (
        Batches(
            training,
            classes,
            mixup=mixup,
            label_smoothing=recipe.label_smoothing,
            seed=recipe.seed,
            workers=recipe.workers,
        ),
        Batches(validation, classes, workers=recipe.workers),
        classes,
        shape,
    )


def _image_batches(recipe, samples, training, augmentation=()):
    return images.ImageDataset(
        samples,
        size=recipe.image_size,
        mean=recipe.mean,
        std=recipe.std,
        augmentation=augmentation,
        **_order(recipe, training),
    )


def _event_batches(recipe, samples, training, **augmented):
    frames = datasets.Frames(number=recipe.timesteps)
    options = {"timesteps": recipe.timesteps, **augmented, **_order(recipe, training)}
    return datasets.EventDataset(samples, frames, **options)


def _order(recipe, training):
    return {
        "batch_size": recipe.batch_size,
        "shuffle": training,
        "drop_remainder": training,
        "seed": recipe.seed,
    }


def _event_augmentation(settings, classes):
    alpha = settings.pop("event_mix", None)
    mix = None if alpha is None else datasets.EventMix(classes, alpha=alpha)
    names = sorted(_EVENT_AUGMENTATION)
    chosen = [
        _EVENT_AUGMENTATION[check_choice("augmentation", name, names)](setting)
        for name, setting in settings.items()
    ]
    return {"augmentation": chosen, "mix": mix}


def _samples(recipe):
    """Collections of samples and labels, for training and for validation."""
    name = recipe.data
    path = pathlib.Path(name).expanduser()
    if path.suffix == ".npz":
        return _from_npz(path, recipe)
    if name == "digits":
        return _digits(recipe)
    if name == "gestures":
        return _split(datasets.SyntheticGestures(640), recipe)
    if name in KERAS:
        (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
        return images.Images(x, y), images.Images(x_test, y_test)
    if name.startswith("tonic:"):
        return _from_tonic(name.removeprefix("tonic:"), recipe)
    if hasattr(datasets, f"load_{name}"):
        return _from_loader(getattr(datasets, f"load_{name}"), recipe)
    if path.is_dir():
        return _from_folder(path, recipe)
    loaders = [n.removeprefix("load_") for n in dir(datasets) if n.startswith("load_")]
    known = ", ".join(["digits", *KERAS, "gestures", *loaders, "tonic:<name>"])
    raise ValueError(
        f"There are no data '{name}': neither a folder, nor a file .npz, nor one of "
        f"{known}."
    )


def _split(samples, recipe):
    # Always the same, so that trainings with other seeds can be compared.
    return datasets.split_train_test(samples, 1.0 - recipe.validation, seed=0)


def _digits(recipe):
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "The digits come with the package scikit-learn: `pip install scikit-learn`."
        ) from None
    digits = load_digits()
    scaled = (digits.images / 16.0).astype("float32")
    return _split(images.Images(scaled, digits.target), recipe)


def _from_npz(path, recipe):
    if not path.is_file():
        raise ValueError(f"There is no file '{path}'.")
    with damage(path, "a file of images and labels"):
        arrays = load_npz(path, MOST * path.stat().st_size)
        if {"x_train", "y_train", "x_test", "y_test"} <= arrays.keys():
            train = images.Images(arrays["x_train"], arrays["y_train"])
            return train, images.Images(arrays["x_test"], arrays["y_test"])
        if {"x", "y"} <= arrays.keys():
            return _split(images.Images(arrays["x"], arrays["y"]), recipe)
        raise ValueError(
            f"{str(path)!r} must hold the arrays x_train, y_train, x_test and y_test, "
            f"or x and y. It holds: {', '.join(arrays)}."
        )


def _folder_of(recipe):
    if recipe.data_dir is None:
        raise ValueError(
            f"'{recipe.data}' needs --data-dir, the folder with its files. See "
            "keras_spiking.datasets for where they come from."
        )
    return recipe.data_dir


def _from_loader(loader, recipe):
    folder = _folder_of(recipe)
    if "split" in inspect.signature(loader).parameters:
        return loader(folder, "train"), loader(folder, "test")
    return _split(loader(folder), recipe)


def _from_tonic(name, recipe):
    try:
        import tonic
    except ImportError:
        raise ImportError(
            f"'{recipe.data}' needs the package Tonic: `pip install tonic`."
        ) from None
    if not hasattr(tonic.datasets, name):
        known = ", ".join(n for n in dir(tonic.datasets) if n[0].isupper())
        raise ValueError(f"Tonic has no data set '{name}'. It has {known}.")
    make, folder = getattr(tonic.datasets, name), _folder_of(recipe)
    if "train" in inspect.signature(make).parameters:
        return make(save_to=folder, train=True), make(save_to=folder, train=False)
    return _split(make(save_to=folder), recipe)


def _from_folder(folder, recipe):
    parts = {
        key: [folder / name for name in names if (folder / name).is_dir()]
        for key, names in {"train": TRAIN, "test": TEST}.items()
    }
    if parts["train"] and parts["test"]:
        classes = _classes(parts["train"][0])
        tests = _classes(parts["test"][0])
        if tests.keys() - classes.keys():
            raise ValueError(
                f"'{parts['test'][0]}' has classes that '{parts['train'][0]}' has not: "
                f"{sorted(tests.keys() - classes.keys())}."
            )
        names = list(classes)
        return tuple(_collection(part, names, recipe) for part in (classes, tests))
    classes = _classes(folder)
    return _split(_collection(classes, list(classes), recipe), recipe)


def _classes(folder):
    """Files of each class: `{name: [path, ...]}`."""
    classes = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = sorted(path.rglob("*"))
        files = [p for p in files if p.is_file() and not p.name.startswith(".")]
        if files:
            classes[path.name] = files
    if not classes:
        raise ValueError(
            f"There are no classes in '{folder}': it must have a folder with files for "
            "each class, or folders 'train' and 'test' with these."
        )
    return classes


def _collection(classes, names, recipe):
    """Images or recordings, all of which can be read."""
    pairs = [(p, names.index(name)) for name in classes for p in classes[name]]
    pictures = any(path.suffix.lower() in PICTURES for path, _ in pairs)
    if not pictures and recipe.sensor_shape is None:
        raise ValueError(
            f"The folder '{recipe.data}' has no images. If these are event recordings, "
            "give their sensor: --sensor-shape HEIGHT WIDTH POLARITIES."
        )
    pairs = _readable(pairs, _look if pictures else datasets.read_events, recipe)
    paths, labels = zip(*pairs)
    if pictures:
        return images.ImageFiles(paths, labels)
    return datasets.Recordings([(p, {}) for p in paths], labels, recipe.sensor_shape)


def _look(path):
    return images.read_image(path, reduced=True)


def _readable(pairs, read, recipe):
    """The files that can be read, or an error that names those that cannot."""

    def problem(pair):
        try:
            read(pair[0])
        except (OSError, ValueError, SyntaxError) as error:
            return f"{pair[0]} ({' '.join(str(error).split())[:100]})"

    with concurrent.futures.ThreadPoolExecutor() as pool:
        problems = list(pool.map(problem, pairs))
    found = [text for text in problems if text is not None]
    good = [pair for pair, text in zip(pairs, problems) if text is None]
    if not found:
        return good
    shown = "; ".join(found[:5]) + ("; ..." if len(found) > 5 else "")
    if not recipe.skip_unreadable or not good:
        raise ValueError(
            f"{len(found)} of {len(pairs)} files cannot be read: {shown}. Remove them, "
            "or leave them out by --skip-unreadable."
        )
    print(f"left out, since they cannot be read: {shown}", file=sys.stderr)
    return good
