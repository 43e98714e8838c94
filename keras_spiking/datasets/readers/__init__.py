"""Readers of event recordings, one module a format.

Each has a generator `stream(path, chunk_size, **options)` that yields arrays of
events, so that a recording need not fit into memory.
"""

import pathlib

import numpy as np

from keras_spiking.datasets.events import event_dtype
from keras_spiking.datasets.readers import aedat2
from keras_spiking.datasets.readers import aedat3
from keras_spiking.datasets.readers import aedat4
from keras_spiking.datasets.readers import arrays
from keras_spiking.datasets.readers import atis
from keras_spiking.datasets.readers import prophesee_dat
from keras_spiking.datasets.readers import prophesee_raw

_STREAMS = {
    "atis": atis.stream,
    "aedat2": aedat2.stream,
    "aedat3": aedat3.stream,
    "aedat4": aedat4.stream,
    "dat": prophesee_dat.stream,
    "raw": prophesee_raw.stream,
    "npz": arrays.stream_npz,
    "npy": arrays.stream_npy,
    "hdf5": arrays.stream_hdf5,
    "mat": arrays.stream_mat,
    "es_imagenet": arrays.stream_es_imagenet,
    "bullying10k": arrays.stream_bullying10k,
}
_SUFFIXES = {
    ".bin": "atis",
    ".aedat4": "aedat4",
    ".dat": "dat",
    ".raw": "raw",
    ".npz": "npz",
    ".npy": "npy",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".mat": "mat",
}


def stream_events(path, format=None, chunk_size=1_000_000, **options):
    """Reads a recording piece by piece.

    Args:
        path: Path of the file.
        format: `"atis"`, `"aedat2"`, `"aedat3"`, `"aedat4"`, `"dat"`, `"raw"`,
            `"npz"`, `"npy"`, `"hdf5"`, `"mat"`, `"es_imagenet"` or `"bullying10k"`.
            Defaults to what the suffix (and the first line of `.aedat`) says.
        chunk_size: Integer, about how many events to read at a time. Defaults to
            `1_000_000`.
        **options: Of the format. `"aedat2"`: `sensor`, `"dvs128"` or `"davis"`;
            `"aedat3"`: `start` and `stop`, times in microseconds; `"dat"`:
            `version`, 1 or 2; `"hdf5"`: `index` of a recording among many.

    Yields:
        Arrays of `event_dtype`, in the file's order.

    Raises:
        ValueError: if the file is truncated or in another format.
    """
    path = pathlib.Path(path)
    stream = _STREAMS.get(format or _format_of(path))
    if stream is None:
        raise ValueError(
            f"No reader for {str(path)!r} with format={format!r}. Give `format` as "
            f"one of {', '.join(repr(name) for name in _STREAMS)}."
        )
    yield from stream(path, chunk_size, **options)


def read_events(path, format=None, **options):
    """Reads a whole recording.

    Args:
        path: Path of the file.
        format: See `stream_events`. Defaults to what the file's name says.
        **options: Of the format, see `stream_events`.

    Returns:
        An array of `event_dtype`. Timestamps are in microseconds, in the file's
        order, which some cameras do not keep: see `sort_by_time`.

    Raises:
        ValueError: if the file is truncated or in another format.
    """
    chunks = list(stream_events(path, format, **options))
    return np.concatenate(chunks) if chunks else np.empty(0, event_dtype)


def write_events(path, events):
    """Writes events as `.npz` with the arrays t, x, y and p.

    The file appears under its name when it is complete.
    """
    from keras_spiking.datasets.files import save_npz

    save_npz(path, **{name: events[name] for name in "txyp"})


def _format_of(path):
    if path.suffix.lower() == ".aedat":
        with open(path, "rb") as file:
            first = file.readline(64)
        for version, name in ((b"2", "aedat2"), (b"3", "aedat3"), (b"4", "aedat4")):
            if first.startswith(b"#!AER-DAT" + version):
                return name
        raise ValueError(
            f"{str(path)!r} is no AEDAT file: it does not begin with '#!AER-DAT' and "
            "a version."
        )
    return _SUFFIXES.get(path.suffix.lower())
