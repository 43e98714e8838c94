"""MATLAB files of version 5 (`.mat`): ASL-DVS.

Only arrays of numbers are read, and nothing of the file is trusted: others' readers
crash on damaged files.
"""

import math
import struct
import zlib

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.limits import UnpackedBytes
from keras_spiking.datasets.readers.arrays import common_length
from keras_spiking.datasets.readers.arrays import find_columns
from keras_spiking.datasets.readers.arrays import pieces
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.binary import truncated

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_TYPES |= {12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = range(6, 16)  # classes of arrays: double to uint64
_COMPLEX = 0x800


def stream(path, chunk_size, time_unit=None, max_unpacked_bytes=None):
    """Arrays ts, x, y, pol, as ASL-DVS has them."""
    with open(path, "rb") as file:
        content = file.read()
    arrays = dict(_arrays(content, path, UnpackedBytes(path, max_unpacked_bytes)))
    found = find_columns(arrays, path, "MATLAB")
    common_length({k: v.shape for k, v in found.items()}, path, "MATLAB")
    columns = {field: values.reshape(-1) for field, values in found.items()}
    yield from pieces(make_events(**columns, time_unit=time_unit), chunk_size)


def _arrays(content, path, budget):
    """Names and values of the arrays of numbers."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or 0 in content[:4] or b"7.3" in content[:11]:
        raise not_a("MATLAB", path, "save it as version 5 to 7: `save(..., '-v7')`")
    at = 128
    while at < len(content):
        kind, data, at = _element(content, at, order, path)
        if kind == _COMPRESSED:
            unpack = zlib.decompressobj()
            start = unpack.decompress(data, 8)
            size = struct.unpack(order + "I", start[4:8])[0]
            budget.add(size)
            data = start + unpack.decompress(unpack.unconsumed_tail, max(size, 1))
            unpack.decompress(unpack.unconsumed_tail, 1)  # compares the checksum
            if not unpack.eof:
                raise truncated(path, "an array is cut off")
            kind, data, _ = _element(data, 0, order, path)
        if kind == _MATRIX:
            yield from _array(data, order, path)


def _element(content, at, order, path):
    """The type and data of an element, and where the next one begins."""
    if len(content) < at + 8:
        raise truncated(path, "the tag of an element is cut off")
    kind, size = struct.unpack_from(order + "II", content, at)
    if kind >> 16:  # up to four bytes stand in the tag itself
        kind, size, start, stop = kind & 0xFFFF, kind >> 16, at + 4, at + 8
    else:
        start, stop = at + 8, at + 8 + size
        stop += 0 if kind == _COMPRESSED else -size % 8
    if len(content) < start + size or start + size > stop:
        raise truncated(path, "an element is cut off")
    return kind, memoryview(content)[start : start + size], stop


def _array(data, order, path):
    _, flags, at = _element(data, 0, order, path)
    flags = struct.unpack_from(order + "I", flags)[0]
    _, shape, at = _element(data, at, order, path)
    _, name, at = _element(data, at, order, path)
    if flags & 0xFF not in _NUMBERS or flags & _COMPLEX:
        return
    kind, values, _ = _element(data, at, order, path)
    shape = np.frombuffer(shape, order + "i4")
    values = np.frombuffer(values, order + _TYPES.get(kind, "V1"))
    if min(shape, default=0) < 0 or math.prod(shape.tolist()) != len(values):
        raise not_a("MATLAB", path, "an array has another size than it declares")
    yield bytes(name).decode("latin-1"), values.reshape(shape)
