"""AEDAT 3.1: recordings of cAER, DVS128 Gesture (`.aedat`)."""

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.binary import read_at_most
from keras_spiking.datasets.readers.binary import truncated
from keras_spiking.validation import check_integer

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
_EVENT = np.dtype([("address", "<u4"), ("t", "<u4")])
_POLARITY = 1


def stream(path, chunk_size, start=None, stop=None):
    """Packets of events; those of the type "polarity" are read.

    Args:
        path: Path of the file.
        chunk_size: Integer, about how many events to yield at a time.
        start: Integer, time in microseconds before which events are left out.
        stop: Integer, time from which on they are left out.
    """
    start = None if start is None else check_integer("start", start)
    stop = None if stop is None else check_integer("stop", stop)
    return _pieces(_packets(path, start, stop), chunk_size)


def _pieces(packets, chunk_size):
    pending, size = [], 0
    for events in packets:
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
            capacity, size = int(header["capacity"]), int(header["size"])
            polarity = header["type"] == _POLARITY
            if size < 1 or (polarity and size != _EVENT.itemsize):
                raise not_a("AEDAT 3.1", path, f"its events have {size} bytes")
            if not 0 <= header["number"] <= capacity:
                raise not_a("AEDAT 3.1", path, "a packet has more events than places")
            length = capacity * size
            data = read_at_most(file, length)
            if len(data) < length:
                raise truncated(path, "a packet's events are cut off")
            if polarity:
                yield _decode(data, header, start, stop)


def _decode(data, header, start, stop):
    events = np.frombuffer(data, _EVENT)[: header["number"]]
    address = events["address"]
    t = events["t"].astype("int64") + (int(header["overflow"]) << 31)
    chosen = address & 1 == 1
    if start is not None:
        chosen &= t >= start
    if stop is not None:
        chosen &= t < stop
    address, t = address[chosen], t[chosen]
    return make_events(
        t, (address >> 17) & 0x7FFF, (address >> 2) & 0x7FFF, (address >> 1) & 1
    )
