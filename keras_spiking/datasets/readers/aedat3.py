"""AEDAT 3.1: recordings of cAER, DVS128 Gesture (`.aedat`)."""

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.binary import truncated

_HEADER = np.dtype(
    [
        ("type", "<i2"),
        ("source", "<i2"),
        ("size", "<i4"),
        ("time_offset", "<i4"),
        ("overflow", "<i4"),
        ("capacity", "<i4"),
        ("number", "<i4"),
        ("valid", "<i4"),
    ]
)
_POLARITY = 1


def stream(path, chunk_size, start=None, stop=None):
    """Packets of events; those of the type "polarity" are read.

    Args:
        path: Path of the file.
        chunk_size: Integer, about how many events to yield at a time.
        start: Integer, time in microseconds before which events are left out.
        stop: Integer, time from which on they are left out.
    """
    pending, size = [], 0
    for events in _packets(path, start, stop):
        pending.append(events)
        size += len(events)
        if size >= chunk_size:
            yield np.concatenate(pending)
            pending, size = [], 0
    if pending:
        yield np.concatenate(pending)


def _packets(path, start, stop):
    with open(path, "rb") as file:
        if not file.readline().startswith(b"#!AER-DAT3.1"):
            raise not_a("AEDAT 3.1", path, "it does not begin with '#!AER-DAT3.1'")
        while not (line := file.readline()).startswith(b"#!END-HEADER"):
            if not line.startswith(b"#"):
                raise truncated(path, "its header has no end")
        while data := file.read(_HEADER.itemsize):
            if len(data) < _HEADER.itemsize:
                raise truncated(path, "a packet's header is cut off")
            header = np.frombuffer(data, _HEADER)[0]
            length = int(header["capacity"]) * int(header["size"])
            if length < 0 or not 0 <= header["number"] <= header["capacity"]:
                raise not_a("AEDAT 3.1", path, "a packet's header makes no sense")
            data = file.read(length)
            if len(data) < length:
                raise truncated(path, "a packet's events are cut off")
            if header["type"] == _POLARITY:
                yield _decode(data, header, start, stop)


def _decode(data, header, start, stop):
    words = np.frombuffer(data, "<u4").reshape(-1, header["size"] // 4)
    words = words[: header["number"]]
    address = words[:, 0]
    t = words[:, 1].astype("int64") + (int(header["overflow"]) << 31)
    chosen = address & 1 == 1
    if start is not None:
        chosen &= t >= start
    if stop is not None:
        chosen &= t < stop
    address, t = address[chosen], t[chosen]
    return make_events(
        t, (address >> 17) & 0x7FFF, (address >> 2) & 0x7FFF, (address >> 1) & 1
    )
