"""Spoken words: waveforms, for an encoder or a spectrogram before a network."""

import os
import wave
from collections.abc import Sequence

import numpy as np

from keras_spiking.datasets.archives import find_dataset
from keras_spiking.datasets.archives import inside
from keras_spiking.datasets.archives import listed
from keras_spiking.datasets.downloads import Archive
from keras_spiking.datasets.ordered_dataset import OrderedDataset
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer

_LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
_NOISE = "_background_noise_"
_ADDRESS = "https://storage.googleapis.com/download.tensorflow.org/data/"


class SpeechCommands(OrderedDataset):
    """Speech Commands v0.02: 35 spoken words, a second each, as waveforms.

    84,843 recordings for training, 9,981 for validation and 11,005 for testing.
    Batches are `(x, labels)` with `x` of shape `(batch, length)`, float32 within [-1,
    1]; words that are shorter are followed by zeros. `keras.layers.STFTSpectrogram`
    and an encoder make them the input of a spiking network.

    Address: https://download.tensorflow.org/data/speech_commands_v0.02.tar.gz
    File: `speech_commands_v0.02.tar.gz`
    Licence: Creative Commons Attribution 4.0

    Args:
        folder: Path of the folder with the file.
        split: `"train"`, `"val"` or `"test"`. Defaults to `"train"`.
        batch_size: Integer >= 1. Defaults to `32`.
        length: Integer >= 1, samples of a waveform, at 16 kHz. Defaults to `16000`.
        classes: List of words, whose order gives the labels; other words are left
            out. Defaults to all, in alphabetic order.
        shuffle: Boolean, whether every epoch has an order of its own. Defaults to
            `False`.
        seed: Integer >= 0, decides the order. Defaults to `0`.
        drop_remainder, shard: See `OrderedDataset`.
        download: Boolean, whether to download what the folder lacks, by pooch
            (`pip install pooch`). An interrupted download goes on the next time.
            Defaults to `False`.
        workers, use_multiprocessing, max_queue_size: See `keras.utils.PyDataset`.

    Raises:
        ValueError: if the folder is without the dataset or such words, or a checksum
            does not match.

    References:
        - [Warden, 2018](https://arxiv.org/abs/1804.03209)
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        split: str = "train",
        batch_size: int = 32,
        length: int = 16000,
        *,
        classes: Sequence[str] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        drop_remainder: bool = False,
        shard: tuple[int, int] | None = None,
        download: bool = False,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        # Before the archive is unpacked.
        self.length = check_integer("length", length, minimum=1)
        check_integer("batch_size", batch_size, minimum=1)
        check_integer("seed", seed, minimum=0)
        check_bool("shuffle", shuffle)
        check_choice("split", split, ("train", "val", "test"))
        name = "speech_commands_v0.02.tar.gz"
        archives = {name: Archive("6b74f3901214cb2c2934e98196829835", _ADDRESS + name)}
        root = find_dataset(folder, archives, _LISTS.values(), download=download)
        lists = {k: set(listed(root / v)) for k, v in _LISTS.items()}
        if split == "train":
            words = {f"{p.parent.name}/{p.name}" for p in root.glob("*/*.wav")}
            names = words - lists["val"] - lists["test"]
        else:
            names = lists[split]
        words = {name.split("/")[0] for name in names} - {_NOISE}
        self.classes = sorted(words) if classes is None else list(classes)
        if not self.classes or not set(self.classes) <= words:
            raise ValueError(
                f"{str(folder)!r} has recordings of {sorted(words)}. "
                f"Received: classes={classes}"
            )
        label_of = {word: label for label, word in enumerate(self.classes)}
        chosen = sorted(name for name in names if name.split("/")[0] in label_of)
        self.paths = [inside(root, name) for name in chosen]
        self.labels = np.array([label_of[name.split("/")[0]] for name in chosen])
        super().__init__(
            len(self.paths),
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_remainder=drop_remainder,
            shard=shard,
            workers=workers,
            use_multiprocessing=use_multiprocessing,
            max_queue_size=max_queue_size,
        )

    def make(self, epoch: int, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = np.zeros((len(indices), self.length), "float32")
        for row, i in zip(x, indices):
            samples = read_waveform(self.paths[i])[: self.length]
            row[: len(samples)] = samples
        return x, self.labels[indices]


def read_waveform(path: str | os.PathLike) -> np.ndarray:
    """Reads the samples of a WAV file with one channel of 16 bits.

    Args:
        path: Path of the file.

    Returns:
        A float32 array `(samples,)`, within [-1, 1).

    Raises:
        ValueError: if the file is damaged or in another format.
    """
    with damage(path, "a WAV file"), wave.open(str(path)) as file:
        form = (file.getnchannels(), file.getsampwidth())
        count = file.getnframes()
        # Not more than there is: a false number does not fill the memory.
        data = file.readframes(min(count, os.stat(path).st_size))
        missing = 2 * count - len(data)
    if form != (1, 2) or missing:
        raise ValueError(
            f"{str(path)!r} must have one channel of 16 bits and be complete. It has "
            f"{form[0]} of {8 * form[1]} bits, and {max(missing, 0)} bytes are missing."
        )
    return np.frombuffer(data, "<i2").astype("float32") / 32768
