"""Collections of recordings: anything that gives `(events, label)` by index.

What a collection knows beyond that (labels without decoding, a fingerprint, reading
piece by piece) is asked for by the functions below, which also serve the collections
of others, such as Tonic's.
"""

import collections
import hashlib
import math
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import check_sensor_shape
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.datasets.readers import read_events
from keras_spiking.datasets.readers import stream_events
from keras_spiking.datasets.zip_members import Member
from keras_spiking.datasets.zip_members import as_path
from keras_spiking.datasets.zip_members import members
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


def check_callable(name, value):
    """Returns `value` if it can be called."""
    if not callable(value):
        raise TypeError(f"`{name}` must be callable. Received: {name}={value!r}")
    return value


class Recordings:
    """Recordings in files.

    Args:
        sources: List of tuples `(path, options)`, the arguments of `read_events`.
        labels: List of integers, one for each source.
        sensor_shape: `(height, width, polarities)` or `(units,)`.
        classes: List of names of the labels. Defaults to `None`.
        orient: Callable that turns events into those of the upright image. It must
            treat each event by itself. Defaults to `None`.
        sort: Boolean, whether to order events by time, for cameras that do not.
            Such recordings are not read piece by piece. Defaults to `False`.
    """

    def __init__(
        self,
        sources: Iterable[tuple[str | os.PathLike, dict[str, Any]]],
        labels: Iterable[int],
        sensor_shape: Sequence[int],
        classes: Sequence[str] | None = None,
        *,
        orient: Callable[[np.ndarray], np.ndarray] | None = None,
        sort: bool = False,
    ):
        self.sources = list(sources)
        for source in self.sources:
            if not isinstance(source, (tuple, list)) or len(source) != 2:
                raise ValueError(
                    "Each of `sources` must be a tuple (path, options). Received: "
                    f"{source!r}"
                )
        self.labels = [check_integer("labels", label) for label in labels]
        if len(self.sources) != len(self.labels):
            raise ValueError(
                "`sources` and `labels` must have the same length. Received: "
                f"{len(self.sources)} sources and {len(self.labels)} labels"
            )
        self.sensor_shape = check_sensor_shape(sensor_shape)
        self.classes = classes
        self.orient = None if orient is None else check_callable("orient", orient)
        self.sort = check_bool("sort", sort)

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike,
        sensor_shape: Sequence[int],
        pattern: str = "*",
        *,
        options: dict[str, Any] | None = None,
        orient: Callable[[np.ndarray], np.ndarray] | None = None,
        sort: bool = False,
    ) -> "Recordings":
        """Recordings in one subfolder for each class.

        Args:
            folder: Path; its subfolders, in alphabetic order, are the classes.
            sensor_shape: `(height, width, polarities)` or `(units,)`.
            pattern: Which files in a subfolder are recordings. Defaults to `"*"`.
            options: Dictionary of further arguments of `read_events`, such as
                `{"time_unit": "s"}`. Defaults to `None`.
            orient: See the constructor. Defaults to `None`.
            sort: See the constructor. Defaults to `False`.

        Raises:
            ValueError: if there are no such files.
        """
        folder = pathlib.Path(folder).expanduser()
        classes = sorted(p.name for p in folder.glob("*/") if p.is_dir())
        sources, labels = [], []
        for label, name in enumerate(classes):
            paths = sorted((folder / name).glob(pattern))
            sources += [(path, dict(options or {})) for path in paths]
            labels += [label] * len(paths)
        if not sources:
            raise ValueError(
                f"No recordings in {str(folder)!r}: expected a subfolder for each "
                f"class with files {pattern!r}."
            )
        return cls(sources, labels, sensor_shape, classes, orient=orient, sort=sort)

    @classmethod
    def from_zip(
        cls,
        path: str | os.PathLike,
        sensor_shape: Sequence[int],
        pattern: str = "*",
        *,
        folder: str = "",
        options: dict[str, Any] | None = None,
        orient: Callable[[np.ndarray], np.ndarray] | None = None,
        sort: bool = False,
    ) -> "Recordings":
        """Recordings in a zip file, which stays packed.

        Its directory is read once; each recording is unpacked when it is asked for:

        ```python
        Recordings.from_zip("Train.zip", (34, 34, 2), "*.bin", folder="Train")
        ```

        Args:
            path: Path of the zip file.
            sensor_shape: `(height, width, polarities)` or `(units,)`.
            pattern: Which files are recordings. Defaults to `"*"`.
            folder: The folder in the zip file whose subfolders, in alphabetic order,
                are the classes. Defaults to `""`, the topmost.
            options: Dictionary of further arguments of `read_events`. Defaults to
                `None`.
            orient: See the constructor. Defaults to `None`.
            sort: See the constructor. Defaults to `False`.

        Raises:
            ValueError: if there are no such files, or the zip file is damaged.
        """
        of_class, classes = members(path, folder, pattern)
        sources, labels = [], []
        for label, found in enumerate(of_class):
            sources += [(member, dict(options or {})) for member in found]
            labels += [label] * len(found)
        return cls(sources, labels, sensor_shape, classes, orient=orient, sort=sort)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        source, options = self.sources[index]
        with as_path(source) as path:
            events = read_events(path, **options)
        if self.orient is not None:
            events = self.orient(events)
        if self.sort:
            events = sort_by_time(events)
        return events, self.labels[index]

    def stream(self, index: int) -> Iterator[np.ndarray]:
        """Yields the events of one recording piece by piece."""
        if self.sort:
            yield self[index][0]
            return
        source, options = self.sources[index]
        with as_path(source) as path:
            for events in stream_events(path, **options):
                yield events if self.orient is None else self.orient(events)

    def fingerprint(self, index: int) -> list:
        """What changes when the recording does, without reading it."""
        source, options = self.sources[index]
        orient = self.orient and getattr(self.orient, "__qualname__", repr(self.orient))
        if isinstance(source, Member):
            return [*source.fingerprint(), options, orient, self.sort]
        status = pathlib.Path(source).stat()
        name = str(pathlib.Path(source).resolve())
        return [name, status.st_size, status.st_mtime_ns, options, orient, self.sort]


class Subset:
    """Some of a collection's recordings.

    Args:
        recordings: Indexable of `(events, label)`.
        indices: List of integers >= 0.
    """

    def __init__(self, recordings: Any, indices: Iterable[int]):
        self.recordings = recordings
        last = len(recordings) - 1
        self.indices = [check_integer("indices", i, 0, last) for i in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.recordings[self.indices[index]]

    @property
    def sensor_shape(self):
        return sensor_shape_of(self.recordings)

    @property
    def labels(self):
        labels = labels_of(self.recordings)
        return [labels[i] for i in self.indices]

    @property
    def classes(self):
        return self.recordings.classes


def split_train_test(
    recordings: Any, train_fraction: float = 0.9, *, seed: int | None = None
) -> tuple[Subset, Subset]:
    """Splits every class in the same proportion.

    Args:
        recordings: Indexable of `(events, label)`.
        train_fraction: Float in [0, 1]. Of a class with `n` recordings
            `ceil(train_fraction * n)` are for training. Defaults to `0.9`.
        seed: Integer >= 0, to choose at random; `None` takes the first of each class
            for training. Defaults to `None`.

    Returns:
        Two collections of recordings, for training and testing.

    Example:

    >>> gestures = keras_spiking.datasets.SyntheticGestures(40)
    >>> train, test = keras_spiking.datasets.split_train_test(gestures, 0.8)
    >>> len(train), len(test)
    (32, 8)
    """
    check_number("train_fraction", train_fraction, minimum=0.0, maximum=1.0)
    if seed is not None:
        check_integer("seed", seed, minimum=0)
    of_class = collections.defaultdict(list)
    for index, label in enumerate(labels_of(recordings)):
        of_class[label].append(index)
    train, test = [], []
    rng = np.random.default_rng(seed)
    for label in sorted(of_class):
        indices = of_class[label]
        if seed is not None:
            rng.shuffle(indices)
        cut = math.ceil(train_fraction * len(indices))
        train += indices[:cut]
        test += indices[cut:]
    return Subset(recordings, train), Subset(recordings, test)


def _resolve(recordings, index):
    while isinstance(recordings, Subset):
        recordings, index = recordings.recordings, recordings.indices[index]
    return recordings, index


def _inner(recordings):
    """The collection that a cache, such as Tonic's, or a subset is about, or `None`."""
    inner = getattr(recordings, "dataset", None)
    return inner if hasattr(inner, "__getitem__") else None


def labels_of(recordings):
    """Labels of all recordings, without decoding them if they are known."""
    for name in ("labels", "targets"):  # the latter in torchvision and Tonic
        if hasattr(recordings, name):
            return getattr(recordings, name)
    inner = _inner(recordings)
    if inner is not None and hasattr(recordings, "indices"):  # PyTorch's `Subset`
        labels = labels_of(inner)
        return [labels[i] for i in recordings.indices]
    if inner is not None and len(inner) == len(recordings):
        return labels_of(inner)
    return [recordings[i][1] for i in range(len(recordings))]


def sensor_shape_of(recordings):
    """`sensor_shape`, or what Tonic's `sensor_size = (x, y, p)` amounts to."""
    if hasattr(recordings, "sensor_shape"):
        return check_sensor_shape(recordings.sensor_shape)
    size = getattr(recordings, "sensor_size", None)
    if size is None and _inner(recordings) is not None:
        return sensor_shape_of(_inner(recordings))
    if size is None:
        raise ValueError(
            "The recordings do not say what sensor they are from. Give "
            "`sensor_shape=(height, width, polarities)`."
        )
    width, height, polarities = size
    return check_sensor_shape(
        (width,) if height == 1 and polarities == 1 else (height, width, polarities)
    )


def has_transform(recordings):
    """Whether a transform is applied to recordings when they are read."""
    names = ("transform", "transforms", "target_transform")
    while recordings is not None:
        if any(getattr(recordings, name, None) is not None for name in names):
            return True
        inner = recordings if isinstance(recordings, Subset) else None
        recordings = inner.recordings if inner else _inner(recordings)
    return False


def identify(recordings, index):
    """What identifies a recording, and its label.

    If the collection has no fingerprint, it is a hash of the decoded events.
    """
    recordings, index = _resolve(recordings, index)
    if hasattr(recordings, "fingerprint"):
        return recordings.fingerprint(index), recordings.labels[index]
    events, label = recordings[index]
    events = as_events(events)
    # Not the array as a whole: the bytes between its fields are undefined.
    digest = hashlib.blake2b(digest_size=16)
    for name in events.dtype.names:
        digest.update(np.ascontiguousarray(events[name]))
    return digest.hexdigest(), label


def stream_of(recordings, index):
    """Yields a recording's events, piece by piece if it can."""
    recordings, index = _resolve(recordings, index)
    if hasattr(recordings, "stream"):
        yield from recordings.stream(index)
    else:
        yield as_events(recordings[index][0])
