"""What the readers of binary formats share."""

import contextlib
import errno
import os

import numpy as np

from keras_spiking.datasets.events import InvalidEvents

# These say nothing about what is in a file.
_NOT_OF_CONTENT = (ImportError, FileNotFoundError, PermissionError)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EROFS}


@contextlib.contextmanager
def damage(path, what):
    """Turns any error met while reading into a `ValueError` that names the file.

    Damaged files make zipfile, zlib, NumPy and HDF5 raise nearly anything.

    Args:
        path: Path of the file.
        what: What it is read as, with its article.
    """
    try:
        yield
    except _NOT_OF_CONTENT:
        raise
    except Exception as error:
        if getattr(error, "errno", None) in _NO_ROOM:
            raise
        if isinstance(error, ValueError) and repr(str(path)) in str(error):
            raise
        if isinstance(error, InvalidEvents):
            raise ValueError(f"The file {str(path)!r}: {error}") from error
        text = str(error) if isinstance(error, ValueError) else repr(error)
        raise ValueError(
            f"The file {str(path)!r} is not {what}, or it is damaged or truncated "
            f"({text}). Copy or download it again."
        ) from error


def read_at_most(file, size):
    """Reads `size` bytes or what is left; a false size does not fill the memory."""
    left = os.fstat(file.fileno()).st_size - file.tell()
    return file.read(min(size, max(left, 0)))


def header_lines(file, marker):
    """Reads the text lines that start with `marker` and stops after them."""
    lines = []
    while True:
        start = file.tell()
        if file.read(len(marker)) != marker:
            file.seek(start)
            return lines
        lines.append(file.readline().decode("latin-1").strip())


def records(file, dtype, chunk_size, path):
    """Yields the rest of the file as arrays of at most `chunk_size` records."""
    dtype = np.dtype(dtype)
    while data := read_at_most(file, chunk_size * dtype.itemsize):
        if len(data) % dtype.itemsize:
            raise truncated(path, f"the last {dtype.itemsize}-byte record is cut off")
        yield np.frombuffer(data, dtype)


def truncated(path, reason):
    return ValueError(
        f"The recording {str(path)!r} is truncated: {reason}. Copy or download it "
        "again."
    )


def not_a(format, path, reason):
    return ValueError(
        f"The file {str(path)!r} is not a recording in the format {format}: {reason}."
    )


class Unwrap:
    """Continues a counter of a limited number of bits beyond its overflows.

    A value counts as an overflow if it falls by more than half of the range:
    smaller steps back are jitter of the sensor and stay what they are.
    """

    def __init__(self, bits):
        self.range = 1 << bits
        self.previous = None
        self.offset = 0

    def __call__(self, values):
        values = values.astype("int64")
        if len(values):
            previous = values[0] if self.previous is None else self.previous
            self.previous = values[-1]
            steps = np.diff(values, prepend=previous)
            offsets = self.offset + self.range * np.cumsum(steps < -self.range // 2)
            values += offsets
            self.offset = offsets[-1]
        return values


class Hold:
    """The latest value of a register at every word of a stream.

    Args:
        value: The value before the first word.
    """

    def __init__(self, value):
        self.value = value

    def __call__(self, present, values):
        """`values` are those of the register at the words where `present`."""
        held = np.concatenate([[self.value], values])
        self.value = held[-1]
        return held[np.cumsum(present)]
