"""Events in files of NumPy arrays: `.npz` and `.npy`."""

import contextlib
import io
import math
import os
import zipfile

import numpy as np

from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.datasets.limits import UnpackedBytes
from keras_spiking.datasets.limits import check_zip
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.binary import truncated

_LONGEST_HEADER = 10_000  # as NumPy has it

# What the arrays are called elsewhere.
_NAMES = {
    "t": ("t", "ts", "times", "timestamps", "timestamp"),
    "x": ("x", "units"),
    "y": ("y",),
    "p": ("p", "pol", "polarity", "polarities"),
}


def find_columns(group, path, kind):
    """The arrays t, x and, where there are any, y and p of a container.

    Args:
        group: Mapping from names to arrays.
        path: Path of the file.
        kind: The file's format, for messages.
    """
    found = {}
    for field, names in _NAMES.items():
        for name in names:
            if name in group:
                found[field] = group[name]
                break
    if not {"t", "x"} <= set(found):
        raise not_a(
            kind, path, f"it needs arrays t, x, y, p and has {list(group)[:20]}"
        )
    return found


def common_length(shapes, path, kind):
    """The number of events in arrays, which may be columns or rows of a matrix."""
    if any(sum(n != 1 for n in shape) > 1 for shape in shapes.values()):
        raise not_a(kind, path, f"its arrays have several dimensions, {shapes}")
    lengths = {name: math.prod(shape) for name, shape in shapes.items()}
    if len(set(lengths.values())) > 1:
        raise not_a(kind, path, f"its arrays have different lengths, {lengths}")
    return lengths["t"]


def pieces(events, chunk_size):
    for start in range(0, len(events), chunk_size):
        yield events[start : start + chunk_size]


class _Array:
    """A stored array, whose header is read at once and its values on demand."""

    def __init__(self, file, path, read):
        self.shape, self.is_fortran, self.dtype = _header(file)
        if (
            self.dtype.hasobject
            or not self.dtype.itemsize
            or min(self.shape or [0]) < 0
        ):
            kind = f"an array of dtype {self.dtype} and shape {self.shape}"
            raise not_a("npy", path, f"it holds {kind}")
        self._file, self._path, self._read = file, path, read

    def read(self, count):
        values = self._read(self._file, self.dtype, count)
        if len(values) < count:
            raise truncated(self._path, "an array is cut off")
        return values

    def whole(self):
        values = self.read(math.prod(self.shape)).copy()
        return values.reshape(self.shape, order="F" if self.is_fortran else "C")


def _header(file):
    """Shape, order and dtype, from a header that is as short as it should be."""
    first = np.lib.format.read_magic(file) == (1, 0)
    size = file.read(2 if first else 4)
    length = int.from_bytes(size, "little")
    if length > _LONGEST_HEADER:  # NumPy would make room for it before it refuses
        raise ValueError(f"its header would take {length:,} bytes")
    content = io.BytesIO(size + file.read(length))
    if first:
        return np.lib.format.read_array_header_1_0(content)
    return np.lib.format.read_array_header_2_0(content)


def _from_file(file, dtype, count):
    left = os.fstat(file.fileno()).st_size - file.tell()
    return np.fromfile(file, dtype, min(count, left // dtype.itemsize))


def _from_zip(file, dtype, count):
    data = file.read(count * dtype.itemsize)
    return np.frombuffer(data, dtype, len(data) // dtype.itemsize)


@contextlib.contextmanager
def _npz(path, max_unpacked_bytes, choose):
    """The arrays of an `.npz` file that `choose` picks of all names."""
    with zipfile.ZipFile(path) as archive, contextlib.ExitStack() as stack:
        members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
        chosen = choose(members)
        check_zip(chosen.values(), UnpackedBytes(path, max_unpacked_bytes))
        files = {k: stack.enter_context(archive.open(m)) for k, m in chosen.items()}
        yield {name: _Array(file, path, _from_zip) for name, file in files.items()}


def load_npz(path, max_unpacked_bytes=None):
    """All arrays of an `.npz` file by name, none of which needs a pickle.

    Args:
        path: Path of the file.
        max_unpacked_bytes: Integer, see `UnpackedBytes`.
    """
    with damage(path, "an `.npz` file of arrays"):
        with _npz(path, max_unpacked_bytes, choose=dict) as arrays:
            return {name: array.whole() for name, array in arrays.items()}


def stream_npz(path, chunk_size, time_unit=None, max_unpacked_bytes=None):
    """Arrays t, x, y, p, read side by side without loading any as a whole."""

    def choose(members):
        return find_columns(members, path, "npz")

    with _npz(path, max_unpacked_bytes, choose) as arrays:
        shapes = {name: array.shape for name, array in arrays.items()}
        length = common_length(shapes, path, "npz")
        for start in range(0, length, chunk_size):
            size = min(chunk_size, length - start)
            columns = {name: array.read(size) for name, array in arrays.items()}
            yield make_events(**columns, time_unit=time_unit)


def stream_es_imagenet(path, chunk_size, time_unit=None, max_unpacked_bytes=None):
    """Arrays pos and neg with rows (y, x, t), one for each polarity."""

    def choose(members):
        if not {"neg", "pos"} <= set(members):
            raise not_a("ES-ImageNet", path, f"it has {list(members)[:20]}")
        return {name: members[name] for name in ("neg", "pos")}

    with _npz(path, max_unpacked_bytes, choose) as arrays:
        columns = []
        for p, array in enumerate(arrays.values()):
            if array.shape[1:] != (3,):
                shape = f"an array of shape {array.shape}, not (events, 3)"
                raise not_a("ES-ImageNet", path, shape)
            y, x, t = array.read(math.prod(array.shape)).reshape(-1, 3).T
            columns.append(make_events(t, x, y, p, time_unit=time_unit))
    yield from pieces(sort_by_time(np.concatenate(columns)), chunk_size)


def stream_npy(path, chunk_size, time_unit=None):
    """One structured array with the fields t, x, y, p."""
    with open(path, "rb") as file:
        array = _Array(file, path, _from_file)
        length = common_length({"t": array.shape}, path, "npy")
        for start in range(0, length, chunk_size):
            values = array.read(min(chunk_size, length - start))
            # By columns: an array of `event_dtype` would be taken for checked.
            columns = {name: values[name] for name in values.dtype.names or ()}
            yield as_events(columns, time_unit=time_unit)
        if not length:
            as_events(np.empty(0, array.dtype))  # says which fields are missing
