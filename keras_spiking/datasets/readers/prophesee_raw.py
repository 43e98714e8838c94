"""Prophesee RAW (`.raw`) in the encodings EVT2 and EVT3."""

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.readers.binary import Hold
from keras_spiking.datasets.readers.binary import Unwrap
from keras_spiking.datasets.readers.binary import header_lines
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.binary import records


def stream(path, chunk_size):
    with open(path, "rb") as file:
        lines = header_lines(file, b"%")
        encoding = _encoding(lines)
        if encoding == "EVT2":
            return (yield from _evt2(records(file, "<u4", chunk_size, path)))
        if encoding == "EVT3":
            return (yield from _evt3(records(file, "<u2", chunk_size, path)))
    raise not_a(
        "RAW", path, f"its header names the encoding {encoding!r}, not EVT2 or EVT3"
    )


def _encoding(lines):
    for line in lines:
        key, _, value = line.partition(" ")
        if key == "format":  # "format EVT3;height=720;width=1280"
            return value.split(";")[0]
        if key == "evt":  # "evt 3.0"
            return "EVT" + value.removesuffix(".0").replace(".", "")
    return None


def _evt2(chunks):
    """Words of 32 bits: 4 for the kind, and in events 6 for the time's lowest bits."""
    unwrap, high = Unwrap(28), Hold(-1)
    for words in chunks:
        kind = words >> 28
        is_time = kind == 0x8
        time = high(is_time, unwrap(words[is_time] & 0xFFFFFFF))
        event = (kind <= 0x1) & (time >= 0)
        words, time, polarity = words[event], time[event], kind[event]
        yield make_events(
            (time << 6) | ((words >> 22) & 0x3F),
            (words >> 11) & 0x7FF,
            words & 0x7FF,
            polarity,
        )


_ADDRESS_Y, _ADDRESS_X, _BASE_X, _VECTOR_12, _VECTOR_8 = 0x0, 0x2, 0x3, 0x4, 0x5
_TIME_LOW, _TIME_HIGH = 0x6, 0x8


def _evt3(chunks):
    """Words of 16 bits that change one register each, and events that use them.

    A vector word holds a bit for each of 12 or 8 neighbours from the base x on, and
    moves the base past them.
    """
    unwrap = Unwrap(12)
    row, high, low = Hold(0), Hold(-1), Hold(0)
    base, base_polarity, moved, moved_at_base = Hold(0), Hold(0), 0, Hold(0)
    for words in chunks:
        kind = words >> 12
        value = words & 0xFFF

        def hold(register, of_kind, values, kind=kind):
            present = kind == of_kind
            return register(present, values[present].astype("int64"))

        is_high = kind == _TIME_HIGH
        y = hold(row, _ADDRESS_Y, value & 0x7FF)
        time = high(is_high, unwrap(value[is_high])) << 12
        time = np.where(time >= 0, time | hold(low, _TIME_LOW, value), -1)
        start = hold(base, _BASE_X, value & 0x7FF)
        polarity = hold(base_polarity, _BASE_X, value >> 11)
        moves = 12 * (kind == _VECTOR_12) + 8 * (kind == _VECTOR_8)
        before = moved + np.cumsum(moves) - moves
        start += before - hold(moved_at_base, _BASE_X, before)
        moved = before[-1] + moves[-1]

        single = kind == _ADDRESS_X
        x = np.where(single, value & 0x7FF, start)
        polarity = np.where(single, value >> 11, polarity)
        bits = np.where(single, 1, np.where(kind == _VECTOR_8, value & 0xFF, value))
        event = np.flatnonzero((single | (moves > 0)) & (time >= 0))
        at, neighbour = np.nonzero((bits[event, None] >> np.arange(12)) & 1)
        event = event[at]
        yield make_events(time[event], x[event] + neighbour, y[event], polarity[event])
