"""Readers of event recordings, one module per format.

Each has a function `stream(path, chunk_size, **options)` that checks its options and
returns a generator of arrays of events, so that a recording need not fit into memory.
"""

from keras_spiking.datasets.readers.reading import read_events
from keras_spiking.datasets.readers.reading import stream_events

__all__ = ["read_events", "stream_events"]
