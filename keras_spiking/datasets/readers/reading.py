"""Reading a recording of any format, as a whole or piece by piece."""

import inspect
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_spiking.datasets.events import event_dtype
from keras_spiking.datasets.readers import aedat2
from keras_spiking.datasets.readers import aedat3
from keras_spiking.datasets.readers import arrays
from keras_spiking.datasets.readers import atis
from keras_spiking.datasets.readers import hdf5
from keras_spiking.datasets.readers import isolated
from keras_spiking.datasets.readers import mat
from keras_spiking.datasets.readers import prophesee_dat
from keras_spiking.datasets.readers import prophesee_raw
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer

_STREAMS = {
    "atis": atis.stream,
    "aedat2": aedat2.stream,
    "aedat3": aedat3.stream,
    "aedat4": isolated.stream_aedat4,
    "dat": prophesee_dat.stream,
    "raw": prophesee_raw.stream,
    "npz": arrays.stream_npz,
    "npy": arrays.stream_npy,
    "hdf5": hdf5.stream,
    "mat": mat.stream,
    "es_imagenet": arrays.stream_es_imagenet,
    "bullying10k": isolated.stream_bullying10k,
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


def stream_events(
    path: str | os.PathLike,
    format: str | None = None,
    chunk_size: int = 1_000_000,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Reads a recording piece by piece.

    Args:
        path: Path of the file.
        format: `"atis"`, `"aedat2"`, `"aedat3"`, `"aedat4"`, `"dat"`, `"raw"`,
            `"npz"`, `"npy"`, `"hdf5"`, `"mat"`, `"es_imagenet"` or `"bullying10k"`.
            Defaults to what the suffix (and the first line of `.aedat`) says.
        chunk_size: Integer >= 1, about how many events to read at a time. Defaults
            to `1_000_000`.
        **options: Options of the format.
            `"aedat2"`: `sensor`, `"dvs128"` or `"davis"`.
            `"aedat3"`: `start` and `stop`, times in microseconds.
            `"dat"`: `version`, 1 or 2.
            `"hdf5"`: `index` of a recording among many, as SHD and SSC have them,
            whose times are in seconds.
            `"npz"`, `"npy"`, `"hdf5"`, `"mat"`, `"es_imagenet"`, `"bullying10k"`:
            `time_unit`, `"s"`, `"ms"`, `"us"` or `"ns"`, see `make_events`. By
            default times must be whole numbers of microseconds.
            `"npz"`, `"hdf5"`, `"mat"`, `"es_imagenet"`, `"bullying10k"`, `"aedat4"`:
            `max_unpacked_bytes`, how much a compressed file may unpack to. It
            defaults to 64 MiB or 100 times the size of the file, whichever is more.

    Yields:
        Arrays of `event_dtype`, in the file's order.

    Raises:
        ValueError: if the file is damaged, truncated or in another format, or
            unpacks to more than `max_unpacked_bytes`.
    """
    path = pathlib.Path(path).expanduser()
    check_integer("chunk_size", chunk_size, minimum=1)
    name = _format_of(path) if format is None else format
    stream = _STREAMS.get(name) if isinstance(name, str) else None
    if stream is None:
        raise ValueError(
            f"No reader for {str(path)!r} with format={format!r}. Give `format` as "
            f"one of {', '.join(repr(name) for name in _STREAMS)}."
        )
    known = list(inspect.signature(stream).parameters)[2:]
    for option, value in options.items():
        if option not in known:
            raise TypeError(
                f"The format {name!r} of {str(path)!r} has no option `{option}`. Its "
                f"options are {known}. Received: {option}={value!r}"
            )
    if options.get("time_unit") is not None:
        check_choice("time_unit", options["time_unit"], ("s", "ms", "us", "ns"))
    if options.get("max_unpacked_bytes") is not None:
        check_integer("max_unpacked_bytes", options["max_unpacked_bytes"], minimum=0)
    return _reading(path, name, stream(path, chunk_size, **options))


def _reading(path, name, chunks):
    with damage(path, f"a recording in the format {name!r}"):
        yield from chunks


def read_events(
    path: str | os.PathLike, format: str | None = None, **options: Any
) -> np.ndarray:
    """Reads a whole recording.

    Args:
        path: Path of the file.
        format: See `stream_events`. Defaults to what the file's name says.
        **options: Options of the format, see `stream_events`.

    Returns:
        An array of `event_dtype`. Timestamps are in microseconds, in the file's
        order, which some cameras do not keep: see `sort_by_time`.

    Raises:
        ValueError: if the file is damaged, truncated or in another format, or
            unpacks to more than `max_unpacked_bytes`.
    """
    chunks = list(stream_events(path, format, **options))
    if len(chunks) == 1:  # most recordings: no copy
        return chunks[0]
    return np.concatenate(chunks) if chunks else np.empty(0, event_dtype)


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
