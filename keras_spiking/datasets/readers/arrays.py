"""Events in containers of arrays: NumPy, HDF5 and MATLAB files."""

import pickle
import zipfile

import numpy as np

from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.binary import truncated

# What the arrays are called elsewhere.
_NAMES = {
    "t": ("t", "ts", "times", "timestamps", "timestamp"),
    "x": ("x", "units"),
    "y": ("y",),
    "p": ("p", "pol", "polarity", "polarities"),
}


def _find(group, path, kind):
    found = {}
    for field, names in _NAMES.items():
        for name in names:
            if name in group:
                found[field] = group[name]
                break
    if not {"t", "x"} <= set(found):
        raise not_a(kind, path, f"it needs arrays t, x, y, p and has {list(group)}")
    return found


def _to_microseconds(t):
    # Seconds, if not integers: that is how the Heidelberg digits store them.
    t = np.asarray(t)
    if t.dtype.kind == "f":
        return np.round(t.astype("float64") * 1e6).astype("int64")
    return t


def stream_npz(path, chunk_size):
    """Arrays t, x, y, p, read side by side without loading any as a whole."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise not_a("npz", path, f"{error} (it may be truncated)") from error
    with archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        found = _find(members, path, "npz")
        files = {field: archive.open(name) for field, name in found.items()}
        headers = {field: _npy_header(file) for field, file in files.items()}
        lengths = {field: int(np.prod(shape)) for field, (shape, _) in headers.items()}
        if len(set(lengths.values())) > 1:
            raise not_a("npz", path, f"its arrays have different lengths, {lengths}")
        for start in range(0, lengths["t"], chunk_size):
            size = min(chunk_size, lengths["t"] - start)
            columns = {}
            for field, file in files.items():
                dtype = headers[field][1]
                data = file.read(size * dtype.itemsize)
                if len(data) < size * dtype.itemsize:
                    raise truncated(path, f"its array {found[field]!r} is cut off")
                columns[field] = np.frombuffer(data, dtype)
            yield make_events(**columns)


def _npy_header(file):
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    shape, _, dtype = (read if version == (1, 0) else _header_2_0)(file)
    return shape, dtype


_header_2_0 = np.lib.format.read_array_header_2_0


def stream_es_imagenet(path, chunk_size):
    """Arrays pos and neg with rows (y, x, t), one for each polarity."""
    try:
        with np.load(path) as arrays:
            rows = [arrays[name] for name in ("neg", "pos")]
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise not_a("ES-ImageNet", path, f"{error} (it may be truncated)") from error
    p = np.repeat([0, 1], [len(r) for r in rows])
    y, x, t = np.concatenate(rows).astype("int64").T
    yield from _pieces(sort_by_time(make_events(t, x, y, p)), chunk_size)


def stream_bullying10k(path, chunk_size):
    """A pickled array of arrays or lists of events (t, x, y, p, ...)."""
    with open(path, "rb") as file:
        try:
            _npy_header(file)
            parts = _NumpyUnpickler(file).load()
        except (ValueError, EOFError, pickle.UnpicklingError) as error:
            raise not_a("npy", path, f"{error} (it may be truncated)") from error
    for part in parts:
        names = getattr(part, "dtype", np.dtype(float)).names
        columns = [part[n] for n in names[:4]] if names else list(zip(*part))[:4]
        yield from _pieces(make_events(*columns), chunk_size) if columns else ()


class _NumpyUnpickler(pickle.Unpickler):
    """Makes arrays and nothing else: a pickle can hold any program."""

    def find_class(self, module, name):
        allowed = ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer")
        if module.split(".")[0] == "numpy" and name in allowed:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):  # bytes in old pickles
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, not events")


def _pieces(events, chunk_size):
    for start in range(0, len(events), chunk_size):
        yield events[start : start + chunk_size]


def stream_npy(path, chunk_size):
    """One structured array with the fields t, x, y, p."""
    try:
        events = np.load(path, mmap_mode="r")
    except ValueError as error:
        raise not_a("npy", path, f"{error} (it may be truncated)") from error
    for start in range(0, len(events), chunk_size):
        yield as_events(np.asarray(events[start : start + chunk_size]))


def stream_hdf5(path, chunk_size, index=None):
    """Arrays or a table of events; with `index`, one of the Heidelberg recordings.

    Args:
        path: Path of the file.
        chunk_size: Integer, how many events to read at a time.
        index: Integer, the recording of a file with many, whose `spikes/times` and
            `spikes/units` hold one array each.
    """
    import h5py

    try:
        file = h5py.File(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise not_a("HDF5", path, f"{error} (it may be truncated)") from error
    with file:
        group = file
        for name in ("spikes", "CD", "events"):
            group = group[name] if name in group else group
        if isinstance(group, h5py.Dataset):  # a table, as Prophesee writes it
            found = {f: group.fields(f) for f in "txyp"}
            length = len(group)
        else:
            found = _find(group, path, "HDF5")
            if index is not None:
                found = {field: values[index] for field, values in found.items()}
            elif found["t"].dtype.kind == "O":
                raise ValueError(
                    f"{str(path)!r} holds {len(found['t'])} recordings: say which "
                    "by `index`."
                )
            length = len(found["t"])
        for start in range(0, length, chunk_size):
            part = {f: v[start : start + chunk_size] for f, v in found.items()}
            yield make_events(**{**part, "t": _to_microseconds(part["t"])})


def stream_mat(path, chunk_size):
    """MATLAB arrays ts, x, y, pol, as ASL-DVS has them."""
    try:
        import scipy.io
    except ImportError:
        raise ImportError(
            'Reading .mat needs scipy: pip install "keras3-spiking[events]"'
        ) from None
    try:
        content = scipy.io.loadmat(path, squeeze_me=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy raises many kinds for damaged files
        raise not_a("MATLAB", path, f"{error} (it may be truncated)") from error
    found = _find(content, path, "MATLAB")
    events = make_events(**{field: np.atleast_1d(v) for field, v in found.items()})
    yield from _pieces(events, chunk_size)
