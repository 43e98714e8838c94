"""Prophesee DAT (`.dat`): N-Cars, and in its first version NavGesture."""

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.readers.binary import Unwrap
from keras_spiking.datasets.readers.binary import header_lines
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.binary import records
from keras_spiking.datasets.readers.binary import truncated
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer

# Bits of x and of y in an address; the polarity follows.
_LAYOUTS = {1: (9, 8), 2: (14, 14)}


def stream(path, chunk_size, version=None):
    """Pairs of a time in microseconds and an address, 32 bits each.

    Args:
        path: Path of the file.
        chunk_size: Integer, how many events to yield at a time.
        version: 1 or 2, layout of the addresses. Defaults to what the header says,
            and to 2 if it says nothing.
    """
    if version is not None:
        check_choice("version", check_integer("version", version), tuple(_LAYOUTS))
    return _events(path, chunk_size, version)


def _events(path, chunk_size, version):
    unwrap = Unwrap(32)
    with open(path, "rb") as file:
        lines = header_lines(file, b"%")
        if lines:
            kind = file.read(2)
            if len(kind) < 2:
                raise truncated(path, "it ends with its header")
            if kind[1] != 8:
                raise not_a("DAT", path, f"its events have {kind[1]} bytes, not 8")
        elif version is None:
            raise not_a("DAT", path, "it does not begin with a header of '%' lines")
        x_bits, y_bits = _LAYOUTS[version or _version(lines, path)]
        for record in records(file, [("t", "<u4"), ("a", "<u4")], chunk_size, path):
            address = record["a"]
            yield make_events(
                unwrap(record["t"]),
                address & np.uint32((1 << x_bits) - 1),
                (address >> x_bits) & np.uint32((1 << y_bits) - 1),
                (address >> (x_bits + y_bits)) & 1,
            )


def _version(lines, path):
    for line in lines:
        if line.lower().startswith("version"):
            for version in _LAYOUTS:
                if line.split()[1:2] == [str(version)]:
                    return version
            raise not_a("DAT", path, f"its header says {line!r}, not 1 or 2")
    return 2
