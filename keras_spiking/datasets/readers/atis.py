"""ATIS, 40 bits an event: N-MNIST, N-Caltech101 (`.bin`)."""

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.readers.binary import records

# A row that no sensor has marks an overflow of the 23-bit clock's lower part.
_OVERFLOW_ROW = 240
_OVERFLOW = 1 << 13


def stream(path, chunk_size):
    """Bits 39-32 are x, 31-24 y, 23 the polarity, 22-0 the time in microseconds."""
    overflows = 0
    with open(path, "rb") as file:
        for record in records(file, "5u1", chunk_size, path):
            x, y, high, middle, low = record.T
            t = (high & 0x7F).astype("int64") << 16
            t |= (middle.astype("int64") << 8) | low
            overflow = y == _OVERFLOW_ROW
            if overflows or overflow.any():
                t += _OVERFLOW * (overflows + np.cumsum(overflow))
                overflows += np.count_nonzero(overflow)
            events = make_events(t, x, y, high >> 7)
            yield events[~overflow] if overflow.any() else events
