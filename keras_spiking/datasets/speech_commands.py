"""Spoken words: waveforms, for an encoder or a spectrogram in front of a network."""

import math
import wave

import keras
import numpy as np

from keras_spiking.datasets.archives import find_folder
from keras_spiking.datasets.archives import unpacked
from keras_spiking.validation import check_choice

_LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
_NOISE = "_background_noise_"


class SpeechCommands(keras.utils.PyDataset):
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
        batch_size: Integer. Defaults to `32`.
        length: Integer, samples of a waveform, at 16 kHz. Defaults to `16000`.
        classes: List of words, whose order gives the labels; other words are left
            out. Defaults to all, in alphabetic order.
        shuffle: Boolean, whether every epoch has an order of its own. Defaults to
            `False`.
        seed: Integer, decides the order. Defaults to `0`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        ValueError: if the folder is without the dataset or such words, or a checksum
            does not match.

    References:
        - [Warden, 2018](https://arxiv.org/abs/1804.03209)
    """

    def __init__(
        self,
        folder,
        split="train",
        batch_size=32,
        length=16000,
        classes=None,
        shuffle=False,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_choice("split", split, ("train", "val", "test"))
        archives = {"speech_commands_v0.02.tar.gz": "6b74f3901214cb2c2934e98196829835"}
        root = find_folder(unpacked(folder, archives), _LISTS.values())
        lists = {k: set((root / v).read_text().split()) for k, v in _LISTS.items()}
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
        self.paths = [root / name for name in chosen]
        self.labels = np.array([label_of[name.split("/")[0]] for name in chosen])
        self.batch_size = batch_size
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self.order = self._order()

    def _order(self):
        if not self.shuffle:
            return np.arange(len(self.paths))
        return np.random.default_rng((self.seed, self.epoch)).permutation(
            len(self.paths)
        )

    def on_epoch_end(self):
        self.epoch += 1
        self.order = self._order()

    def __len__(self):
        return math.ceil(len(self.paths) / self.batch_size)

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        x = np.zeros((len(chosen), self.length), "float32")
        for row, i in zip(x, chosen):
            samples = read_waveform(self.paths[i])[: self.length]
            row[: len(samples)] = samples
        return x, self.labels[chosen]


def read_waveform(path):
    """The samples of a WAV file, one channel of 16 bits, as float32 in [-1, 1).

    Raises:
        ValueError: if the file is damaged or in another format.
    """
    try:
        with wave.open(str(path)) as file:
            form = (file.getnchannels(), file.getsampwidth())
            data = file.readframes(file.getnframes())
            missing = 2 * file.getnframes() - len(data)
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{str(path)!r} is not a WAV file: {error}") from error
    if form != (1, 2) or missing:
        raise ValueError(
            f"{str(path)!r} must have one channel of 16 bits and be complete. It has "
            f"{form[0]} of {8 * form[1]} bits, and {max(missing, 0)} bytes are missing."
        )
    return np.frombuffer(data, "<i2").astype("float32") / 32768
