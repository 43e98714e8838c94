"""Keeping the states of all time steps of a layer's call.

`run_steps` of a layer that is being recorded runs its steps in `keras.ops`, and leaves
the states of each behind. What is recorded is known to its thread only.
"""

import contextlib
import threading


class _Present(threading.local):
    records = ()


class Record:
    """The states of one call, `(batch, time, ...)` each, or `None`."""

    def __init__(self, layer):
        self.layer = layer
        self.states = None


_present = _Present()


@contextlib.contextmanager
def of(layer):
    """Records what the layer does inside."""
    before, record = _present.records, Record(layer)
    _present.records = (*before, record)
    try:
        yield record
    finally:
        _present.records = before


def present(layer):
    """The record that is being made of a layer, or `None`."""
    for record in _present.records:  # PyTorch 2.7 cannot compile `next`
        if record.layer is layer:
            return record
    return None
