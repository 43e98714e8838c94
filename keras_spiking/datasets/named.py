"""Loaders of published datasets, given the folder with their files.

A loader verifies the checksums of the archives it finds, unpacks them once into the
subfolder `unpacked`, and returns `Recordings`: an index, from which recordings are
decoded when they are asked for. `EventDataset(..., cache_dir=...).prepare()` decodes
all of them ahead.

Addresses, licences and checksums are those published with the datasets; see each
loader. With `download=True` the archives of those that have a stable address are
downloaded; the files of the others are for you to get, as their loader says.
"""

import csv
import os
import pathlib

import numpy as np

from keras_spiking.datasets.archives import find_dataset
from keras_spiking.datasets.archives import find_files
from keras_spiking.datasets.archives import find_folder
from keras_spiking.datasets.archives import inside
from keras_spiking.datasets.archives import listed
from keras_spiking.datasets.archives import unpack_gzip
from keras_spiking.datasets.archives import unpacked
from keras_spiking.datasets.downloads import Archive
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.datasets.readers.hdf5 import check_size
from keras_spiking.datasets.recordings import Recordings
from keras_spiking.validation import check_choice

_TRAIN_TEST = ("train", "test")
_MENDELEY = "https://data.mendeley.com/public-files/datasets"
_FIGSHARE = "https://ndownloader.figshare.com/files"
_ZENKE_LAB = "https://zenkelab.org/datasets"


def load_n_mnist(
    folder: str | os.PathLike, split: str = "train", *, download: bool = False
) -> Recordings:
    """N-MNIST: handwritten digits on a screen, seen by a moving ATIS camera.

    60,000 recordings for training and 10,000 for testing, 10 classes, 34 x 34 pixels.

    Address: https://www.garrickorchard.com/datasets/n-mnist
    Files: `Train.zip`, `Test.zip`
    Licence: Creative Commons Attribution-ShareAlike 4.0

    Args:
        folder: Path of the folder with the files.
        split: `"train"` or `"test"`. Defaults to `"train"`.
        download: Boolean, whether to download what the folder lacks, by pooch
            (`pip install pooch`). An interrupted download goes on the next time.
            Defaults to `False`.

    Returns:
        `Recordings`.

    References:
        - [Orchard et al., 2015](https://doi.org/10.3389/fnins.2015.00437)
    """
    name = check_choice("split", split, _TRAIN_TEST).capitalize()
    md5, file = {
        "Train": (
            "20959b8e626244a1b502305a9e6e2031",
            "39c25547-014b-4137-a934-9d29fa53c7a0",
        ),
        "Test": (
            "69ca8762b2fe404d9b9bad1103e97832",
            "05a4d654-7e03-4c15-bdfa-9bb2bcbea494",
        ),
    }[name]
    address = f"{_MENDELEY}/468j46mzdv/files/{file}/file_downloaded"
    archives = {f"{name}.zip": Archive(md5, address)}
    root = find_dataset(folder, archives, [name], download=download) / name
    return Recordings.from_folder(root, (34, 34, 2), "*.bin")


def load_n_caltech101(
    folder: str | os.PathLike, *, download: bool = False
) -> Recordings:
    """N-Caltech101: pictures of objects on a screen, seen by a moving ATIS camera.

    8,709 recordings, 101 classes, up to 240 x 180 pixels. No split is published:
    use `split_train_test`.

    Address: https://www.garrickorchard.com/datasets/n-caltech101
    File: `Caltech101.zip`
    Licence: Creative Commons Attribution 4.0

    Args:
        folder: Path of the folder with the file.
        download: Boolean, whether to download what the folder lacks, by pooch
            (`pip install pooch`). An interrupted download goes on the next time.
            Defaults to `False`.

    Returns:
        `Recordings`.

    References:
        - [Orchard et al., 2015](https://doi.org/10.3389/fnins.2015.00437)
    """
    file = "36b5c52a-b49d-4853-addb-a836a8883e49"
    address = f"{_MENDELEY}/cy6cvx3ryv/files/{file}/file_downloaded"
    archives = {"Caltech101.zip": Archive("66201824eabb0239c7ab992480b50ba3", address)}
    name = "Caltech101"
    root = find_dataset(folder, archives, [name], download=download) / name
    return Recordings.from_folder(root, (180, 240, 2), "*.bin")


def _upright_cifar10_dvs(events):
    events["x"], events["y"] = 127 - events["y"], 127 - events["x"]
    return events


_CIFAR10_DVS = {
    "airplane": ("0afd5c4bf9ae06af762a77b180354fdd", 7712788),
    "automobile": ("8438dfeba3bc970c94962d995b1b9bdd", 7712791),
    "bird": ("a9c207c91c55b9dc2002dc21c684d785", 7712794),
    "cat": ("52c63c677c2b15fa5146a8daf4d56687", 7712812),
    "deer": ("b6bf21f6c04d21ba4e23fc3e36c8a4a3", 7712815),
    "dog": ("f379ebdf6703d16e0a690782e62639c3", 7712818),
    "frog": ("cad6ed91214b1c7388a5f6ee56d08803", 7712842),
    "horse": ("e7cbbf77bec584ffbf913f00e682782a", 7712851),
    "ship": ("41c7bd7d6b251be82557c6cce9a7d5c9", 7712836),
    "truck": ("89f3922fd147d9aeff89e76a2b0b70a7", 7712839),
}


def load_cifar10_dvs(
    folder: str | os.PathLike, *, download: bool = False
) -> Recordings:
    """CIFAR10-DVS: pictures of CIFAR-10 moving on a screen, seen by a DVS128.

    10,000 recordings, 10 classes, 128 x 128 pixels. No split is published: use
    `split_train_test`.

    Address: https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671
    Files: `airplane.zip`, `automobile.zip`, ..., `truck.zip`
    Licence: Creative Commons Attribution 4.0

    Args:
        folder: Path of the folder with the files.
        download: Boolean, whether to download what the folder lacks, by pooch
            (`pip install pooch`). An interrupted download goes on the next time.
            Defaults to `False`.

    Returns:
        `Recordings`.

    References:
        - [Li et al., 2017](https://doi.org/10.3389/fnins.2017.00309)
    """
    classes = list(_CIFAR10_DVS)
    sources, labels = [], []
    for label, (name, (md5, file)) in enumerate(_CIFAR10_DVS.items()):
        archives = {f"{name}.zip": Archive(md5, f"{_FIGSHARE}/{file}")}
        root = find_dataset(folder, archives, [name], download=download)
        paths = sorted((root / name).glob("*.aedat"))
        sources += [(path, {"format": "aedat2"}) for path in paths]
        labels += [label] * len(paths)
    return Recordings(
        sources, labels, (128, 128, 2), classes, orient=_upright_cifar10_dvs
    )


_GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counterclockwise",
    "left arm clockwise",
    "left arm counterclockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)


def load_dvs128_gesture(folder: str | os.PathLike, split: str = "train") -> Recordings:
    """DVS128 Gesture: eleven gestures of hands and arms, by 29 people.

    1,176 recordings for training and 288 for testing, 11 classes, 128 x 128 pixels.
    A file holds the gestures of one person; each recording is a stretch of it.

    Address: https://research.ibm.com/interactive/dvsgesture/
    File: `DvsGesture.tar.gz`
    Licence: Creative Commons Attribution 4.0

    Args:
        folder: Path of the folder with the file.
        split: `"train"` or `"test"`. Defaults to `"train"`.

    Returns:
        `Recordings`.

    References:
        - [Amir et al., 2017](https://doi.org/10.1109/CVPR.2017.781)
    """
    check_choice("split", split, _TRAIN_TEST)
    archives = {"DvsGesture.tar.gz": Archive("8a5c71fb11e24e5ca5b11866ca6c00a1")}
    trials = f"trials_to_{split}.txt"
    root = find_folder(unpacked(folder, archives), [trials])
    sources, labels = [], []
    for name in listed(root / trials):
        labels_of = inside(root, name.replace(".aedat", "_labels.csv"))
        with damage(labels_of, "a table of labels"), open(labels_of) as file:
            for row in list(csv.reader(file))[1:]:
                label, start, stop = (int(value) for value in row[:3])
                span = {"format": "aedat3", "start": start, "stop": stop}
                sources.append((root / name, span))
                labels.append(label - 1)
    return Recordings(sources, labels, (128, 128, 2), list(_GESTURES))


def _upright_asl_dvs(events):
    events["x"] = 239 - events["x"]
    events["y"] = 179 - events["y"]
    return events


def load_asl_dvs(
    folder: str | os.PathLike, *, max_unpacked_bytes: int | None = None
) -> Recordings:
    """ASL-DVS: letters of American sign language, seen by a DAVIS240c.

    100,800 recordings, 24 classes, 240 x 180 pixels. No split is published: use
    `split_train_test`.

    Address: https://github.com/PIX2NVS/NVS2Graph
    File: `ICCV2019_DVS_dataset.zip`; its checksum differs from download to
    download, since it is packed on demand, and is not verified.
    Licence: none is stated; for research

    Args:
        folder: Path of the folder with the file.
        max_unpacked_bytes: Integer, how much the archive may unpack to. Defaults to
            64 MiB or 100 times its size, whichever is more.

    Returns:
        `Recordings`.

    References:
        - [Bi et al., 2019](https://arxiv.org/abs/1908.06648)
    """
    archives = {"ICCV2019_DVS_dataset.zip": Archive(None)}
    roots = unpacked(folder, archives, max_unpacked_bytes=max_unpacked_bytes)
    letters = list("abcdefghiklmnopqrstuvwxy")
    sources, labels = [], []
    for path in find_files(roots, "*.mat"):
        if path.parent.name in letters:
            sources.append((path, {}))
            labels.append(letters.index(path.parent.name))
    if not sources:
        raise ValueError(
            f"{str(folder)!r} does not contain the dataset: no folders a, b, ... with "
            ".mat files. See the loader's documentation for the files."
        )
    return Recordings(sources, labels, (180, 240, 2), letters, orient=_upright_asl_dvs)


def _load_heidelberg(folder, name, md5, max_unpacked_bytes, download, classes):
    folder = pathlib.Path(folder).expanduser()
    archive = Archive(md5, f"{_ZENKE_LAB}/{name}.zip")
    unpack_gzip(folder / f"{name}.gz", max_unpacked_bytes)
    root = find_dataset(
        folder,
        {f"{name}.zip": archive},
        [name],
        max_unpacked_bytes=max_unpacked_bytes,
        download=download,
    )
    path = root / name
    import h5py

    with damage(path, "an HDF5 file of labelled recordings"), h5py.File(path) as file:
        check_size([file["labels"]], path)
        labels = np.asarray(file["labels"])
    sources = [(path, {"format": "hdf5", "index": i}) for i in range(len(labels))]
    return Recordings(sources, labels, (700,), classes)


def load_shd(
    folder: str | os.PathLike,
    split: str = "train",
    *,
    download: bool = False,
    max_unpacked_bytes: int | None = None,
) -> Recordings:
    """Spiking Heidelberg Digits: spoken digits, English and German, as spikes.

    8,156 recordings for training and 2,264 for testing, 20 classes, of the 700
    channels of a model of the inner ear.

    Address: https://zenkelab.org/datasets/
    Files: `shd_train.h5.zip`, `shd_test.h5.zip`, or `.h5.gz`
    Licence: Creative Commons Attribution 4.0

    Args:
        folder: Path of the folder with the files.
        split: `"train"` or `"test"`. Defaults to `"train"`.
        download: Boolean, whether to download what the folder lacks, by pooch
            (`pip install pooch`). An interrupted download goes on the next time.
            Defaults to `False`.
        max_unpacked_bytes: Integer, how much a packed file may unpack to. Defaults to
            64 MiB or 100 times its size, whichever is more.

    Returns:
        `Recordings` with `sensor_shape=(700,)`.

    References:
        - [Cramer et al., 2020](https://doi.org/10.1109/TNNLS.2020.3044364)
    """
    check_choice("split", split, _TRAIN_TEST)
    checksums = {
        "train": "f3252aeb598ac776c1b526422d90eecb",
        "test": "1503a5064faa34311c398fb0a1ed0a6f",
    }
    languages = ("English", "German")
    classes = [f"{language} {n}" for language in languages for n in range(10)]
    name, md5 = f"shd_{split}.h5", checksums[split]
    return _load_heidelberg(folder, name, md5, max_unpacked_bytes, download, classes)


def load_ssc(
    folder: str | os.PathLike,
    split: str = "train",
    *,
    download: bool = False,
    max_unpacked_bytes: int | None = None,
) -> Recordings:
    """Spiking Speech Commands: spoken words as spikes.

    75,466 recordings for training, 9,981 for validation and 20,382 for testing, 35
    classes, of the 700 channels of a model of the inner ear.

    Address: https://zenkelab.org/datasets/
    Files: `ssc_train.h5.zip`, `ssc_valid.h5.zip`, `ssc_test.h5.zip`, or `.h5.gz`
    Licence: Creative Commons Attribution 4.0

    Args:
        folder: Path of the folder with the files.
        split: `"train"`, `"valid"` or `"test"`. Defaults to `"train"`.
        download: Boolean, whether to download what the folder lacks, by pooch
            (`pip install pooch`). An interrupted download goes on the next time.
            Defaults to `False`.
        max_unpacked_bytes: Integer, how much a packed file may unpack to. Defaults to
            64 MiB or 100 times its size, whichever is more.

    Returns:
        `Recordings` with `sensor_shape=(700,)`.

    References:
        - [Cramer et al., 2020](https://doi.org/10.1109/TNNLS.2020.3044364)
    """
    check_choice("split", split, ("train", "valid", "test"))
    checksums = {
        "train": "d102be95e7144fcc0553d1f45ba94170",
        "valid": "b4eee3516a4a90dd0c71a6ac23a8ae43",
        "test": "a35ff1e9cffdd02a20eb850c17c37748",
    }
    name, md5 = f"ssc_{split}.h5", checksums[split]
    return _load_heidelberg(folder, name, md5, max_unpacked_bytes, download, None)


def load_dvs_lip(folder: str | os.PathLike, split: str = "train") -> Recordings:
    """DVS-Lip: a hundred spoken words, read from the lips by a DAVIS346.

    14,896 recordings for training and 4,975 for testing, 100 classes, 128 x 128
    pixels.

    Address: https://sites.google.com/view/event-based-lipreading
    File: `DVS-Lip.zip`
    Licence: for research, after signing an agreement

    Args:
        folder: Path of the folder with the file.
        split: `"train"` or `"test"`. Defaults to `"train"`.

    Returns:
        `Recordings`.

    References:
        - Tan et al., 2022, CVPR, event-based lip-reading
    """
    check_choice("split", split, _TRAIN_TEST)
    archives = {"DVS-Lip.zip": Archive("2dcb959255122d4cdeb6094ca282494b")}
    root = find_folder(unpacked(folder, archives), ["train", "test"])
    return Recordings.from_folder(root / split, (128, 128, 2), "*.npy")


def _upright_nav_gesture(events):
    events["y"] = 239 - events["y"]
    return events


def load_nav_gesture(folder: str | os.PathLike, scene: str = "sit") -> Recordings:
    """NavGesture: six gestures for navigating a phone, seen by an ATIS.

    Recordings of people who sit or walk, 6 classes, 304 x 240 pixels. No split is
    published: use `split_train_test`.

    Address: https://www.neuromorphic-vision.com/public/downloads/navgesture/
    Files: `navgesture-sit.zip`, `navgesture-walk.zip`
    Licence: none is stated; for research

    Args:
        folder: Path of the folder with the files.
        scene: `"sit"` or `"walk"`. Defaults to `"sit"`.

    Returns:
        `Recordings`, which are ordered by time: the camera does not keep the order.

    References:
        - [Maro et al., 2020](https://doi.org/10.3389/fnins.2020.00275)
    """
    check_choice("scene", scene, ("sit", "walk"))
    archives = {
        "navgesture-sit.zip": Archive("1571753ace4d9e0946e6503313712c22"),
        "navgesture-walk.zip": Archive("5d305266f13005401959e819abe206f0"),
    }
    roots = unpacked(folder, archives, [f"navgesture-{scene}.zip"])
    classes = ["left", "right", "up", "down", "home", "select"]
    sources, labels = [], []
    # With archives, in their folder; else wherever the user put them.
    for path in find_files(roots[-1:], "*.dat"):
        parts = path.stem.split("_")
        found = [i for i, c in enumerate(classes) if parts[1:2] == [c[:2]]]
        if found:
            sources.append((path, {"format": "dat", "version": 1}))
            labels.append(found[0])
    if not sources:
        raise ValueError(
            f"{str(folder)!r} does not contain the dataset: no files "
            "<person>_<gesture>_<number>.dat. See the loader's documentation."
        )
    return Recordings(
        sources, labels, (240, 304, 2), classes, orient=_upright_nav_gesture, sort=True
    )


def load_hardvs(folder: str | os.PathLike, split: str = "train") -> Recordings:
    """HARDVS: 300 human actions, seen by a DAVIS346.

    Address: https://github.com/Event-AHU/HARDVS
    Files: `MINI_HARDVS_files.zip`, and beside it `train_label.txt`,
    `val_label.txt`, `test_label.txt`
    Licence: for research, see the address

    Args:
        folder: Path of the folder with the files.
        split: `"train"`, `"val"` or `"test"`. Defaults to `"train"`.

    Returns:
        `Recordings`.

    References:
        - [Wang et al., 2024](https://arxiv.org/abs/2211.09648)
    """
    check_choice("split", split, ("train", "val", "test"))
    archives = {"MINI_HARDVS_files.zip": Archive("9c4cc0d9ba043faa17f6f1a9e9aff982")}
    roots = unpacked(folder, archives)
    path = find_folder(roots, [f"{split}_label.txt"]) / f"{split}_label.txt"
    of_name = {
        f"{path.parent.name}/{path.stem}": path
        for path in find_files(roots, "action_*/*.npz")
    }
    sources, labels = [], []
    with damage(path, "a list of recordings"), open(path) as lines:
        for line in lines:
            name = line.split()[0] if line.strip() else None
            if name in of_name:
                sources.append((of_name[name], {"format": "npz"}))
                labels.append(int(name.split("/")[0].removeprefix("action_")) - 1)
    if not sources:
        raise ValueError(
            f"{str(folder)!r} does not contain the recordings that "
            f"{split}_label.txt names: no files action_*/*.npz."
        )
    classes = [f"action_{i:03d}" for i in range(1, 301)]
    return Recordings(sources, labels, (260, 346, 2), classes)
