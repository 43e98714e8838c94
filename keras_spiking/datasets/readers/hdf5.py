"""Events in HDF5 files (`.h5`, `.hdf5`): SHD, SSC, Prophesee."""

import math
import os

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.limits import UnpackedBytes
from keras_spiking.datasets.readers.arrays import common_length
from keras_spiking.datasets.readers.arrays import find_columns
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.isolated import check_hdf5
from keras_spiking.validation import check_integer


def stream(path, chunk_size, index=None, time_unit=None, max_unpacked_bytes=None):
    """Arrays or a table of events; with `index`, one of the Heidelberg recordings.

    Args:
        path: Path of the file.
        chunk_size: Integer, how many events to read at a time.
        index: Integer, the recording of a file with many, whose `spikes/times` and
            `spikes/units` hold one array each.
        time_unit: String, see `make_events`. Heidelberg recordings are in seconds.
        max_unpacked_bytes: Integer, see `UnpackedBytes`.
    """
    if index is not None:
        index = check_integer("index", index, minimum=0)
        time_unit = time_unit or "s"
    return _events(path, chunk_size, index, time_unit, max_unpacked_bytes)


def _events(path, chunk_size, index, time_unit, max_unpacked_bytes):
    import h5py

    with h5py.File(path) as file:
        group = file
        for name in ("spikes", "CD", "events"):
            group = _members(group).get(name, group)
        if isinstance(group, h5py.Dataset):  # a table, as Prophesee writes it
            check_size([group], path, max_unpacked_bytes)
            fields = find_columns({n: n for n in group.dtype.names or ()}, path, "HDF5")
            if any(group.dtype[name].hasobject for name in fields.values()):
                raise not_a("HDF5", path, "its fields are not numbers")
            found = {field: group.fields(name) for field, name in fields.items()}
            shapes = {"t": group.shape}
        else:
            found = find_columns(_members(group), path, "HDF5")
            if not all(isinstance(v, h5py.Dataset) for v in found.values()):
                raise not_a("HDF5", path, f"it holds groups, not arrays: {list(group)}")
            check_size(found.values(), path, max_unpacked_bytes)
            if index is not None:
                status = os.stat(path)
                check_hdf5(path, status.st_size, status.st_mtime_ns)
                found = {k: _recording(v, index) for k, v in found.items()}
            elif found["t"].dtype.kind == "O":
                raise ValueError(
                    f"{str(path)!r} holds {len(found['t'])} recordings: say which "
                    "by `index`."
                )
            elif any(values.dtype.kind == "O" for values in found.values()):
                raise not_a("HDF5", path, "its arrays are not numbers")
            shapes = {field: values.shape for field, values in found.items()}
        for start in range(0, common_length(shapes, path, "HDF5"), chunk_size):
            part = {k: v[start : start + chunk_size] for k, v in found.items()}
            yield make_events(**part, time_unit=time_unit)


def _members(group):
    """What a group holds itself: links lead into other files."""
    import h5py

    if not isinstance(group, h5py.Group):
        return {}
    names = (n for n in group if isinstance(group.get(n, getlink=True), h5py.HardLink))
    return {name: group[name] for name in names}


def _recording(values, index):
    if values.ndim != 1 or index >= len(values):
        raise ValueError(
            f"The file {values.file.filename!r} holds recordings of the shape "
            f"{values.shape}. Received: index={index}"
        )
    return np.asarray(values[index])


def check_size(datasets, path, max_unpacked_bytes=None):
    """Counts arrays, and the pieces in which they are stored, before any is read."""
    budget = UnpackedBytes(path, max_unpacked_bytes)
    for data in datasets:
        if data.external or data.is_virtual:
            raise not_a("HDF5", path, "its values are in other files")
        budget.add(max(data.size, math.prod(data.chunks or ())) * data.dtype.itemsize)
