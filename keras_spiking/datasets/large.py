"""Loaders of published datasets that are too large to be kept twice.

The user unpacks their archives; see the loaders in `named`.
"""

import os

from keras_spiking.datasets.archives import find_folder
from keras_spiking.datasets.archives import inside
from keras_spiking.datasets.archives import unpacked
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.datasets.recordings import Recordings
from keras_spiking.validation import check_choice


def load_es_imagenet(folder: str | os.PathLike, split: str = "train") -> Recordings:
    """ES-ImageNet: the pictures of ImageNet, turned into events by software.

    About 1,250,000 recordings for training and 50,000 for testing, 1,000 classes, 256 x
    256 pixels. Timestamps are steps of the picture's motion.

    Address: https://cloud.tsinghua.edu.cn/d/94873ab4ec2a4eb497b3/
    Files: the folder `ES-imagenet-0.18` from the archive `ES-imagenet-0.18.part01.rar`
    to `part25.rar`, unpacked
    Licence: see the address

    Args:
        folder: Path of the folder with the folder `ES-imagenet-0.18`.
        split: `"train"` or `"test"`. Defaults to `"train"`.

    Returns:
        `Recordings`.

    References:
        - [Lin et al., 2021](https://doi.org/10.3389/fnins.2021.726582)
    """
    check_choice("split", split, ("train", "test"))
    root = find_folder(unpacked(folder, {}), ["train", "val", "vallabel.txt"])
    if split == "train":
        paths = sorted((root / "train").glob("class*/*.npz"))
        labels = [int(path.parent.name.removeprefix("class")) for path in paths]
    else:
        with damage(root / "vallabel.txt", "a list of recordings"):
            lines = (root / "vallabel.txt").read_text().splitlines()
            rows = [line.split()[:2] for line in lines if line.strip()]
            paths = [inside(root / "val", name) for name, _ in rows]
            labels = [int(label) for _, label in rows]
    sources = [(path, {"format": "es_imagenet"}) for path in paths]
    return Recordings(sources, labels, (256, 256, 2))


_BULLYING = (
    "handshake",
    "slapping",
    "punching",
    "walking",
    "fingerguess",
    "strangling",
    "greeting",
    "pushing",
    "hairgrabs",
    "kicking",
)


def load_bullying10k(folder: str | os.PathLike, split: str = "train") -> Recordings:
    """Bullying10K: ten actions between people, seen by a DAVIS346.

    10,000 recordings, 10 classes, 346 x 260 pixels. As in the authors' code every
    fifth recording is for testing; here they are counted in alphabetic order, so that
    the split is the same everywhere.

    Address: https://github.com/Brain-Cog-Lab/Bullying10K
    Files: the folders `handshake`, `slapping`, ..., `kicking` from `handshake.zip`,
    ..., unpacked
    Licence: see the address

    Args:
        folder: Path of the folder with the folders of the classes.
        split: `"train"` or `"test"`. Defaults to `"train"`.

    Returns:
        `Recordings`. A recording is read as a whole, since its file is a pickle.

    References:
        - [Dong et al., 2023](https://arxiv.org/abs/2306.11546)
    """
    check_choice("split", split, ("train", "test"))
    root = find_folder(unpacked(folder, {}), _BULLYING)
    files = [
        (path, label)
        for label, name in sorted(enumerate(_BULLYING), key=lambda pair: pair[1])
        for path in sorted((root / name).rglob("*.npy"))
    ]
    chosen = [f for i, f in enumerate(files) if (i % 5 == 0) == (split == "test")]
    sources = [(path, {"format": "bullying10k"}) for path, _ in chosen]
    labels = [label for _, label in chosen]
    return Recordings(sources, labels, (260, 346, 2), list(_BULLYING))
