"""Reading in a process of its own: AEDAT 4 (`.aedat4`), and Bullying10K's pickles.

A damaged file makes the decoder of AEDAT 4 abort the process, a pickle can ask for any
amount of memory, and arrays of different length in HDF5 for an endless loop. There
it costs one file, not the caller.
"""

import functools
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import numpy as np

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.limits import UnpackedBytes
from keras_spiking.datasets.readers.arrays import pieces

# Seconds of the processor that reading takes, and bytes read in each further second.
_SECONDS, _SPEED = 20, 1_000_000
_WORKER = pathlib.Path(__file__).with_name("worker.py")


def stream_aedat4(path, chunk_size, max_unpacked_bytes=None):
    """The events of the first stream of events, packet by packet."""
    if importlib.util.find_spec("aedat") is None:
        raise ImportError("Reading AEDAT 4 needs the package aedat: pip install aedat")
    return _stream("aedat4", "AEDAT 4", path, chunk_size, None, max_unpacked_bytes)


def stream_bullying10k(path, chunk_size, time_unit=None, max_unpacked_bytes=None):
    """A pickled array of arrays or lists of events (t, x, y, p, ...)."""
    name = "bullying10k"
    return _stream(name, name, path, chunk_size, time_unit, max_unpacked_bytes)


@functools.lru_cache(maxsize=1024)
def check_hdf5(path, size, modified):
    """Raises a `ValueError` if HDF5 fails to read a file's recordings.

    Args:
        path: Path of the file.
        size, modified: What changes with its content. It is checked once.
    """
    for _ in _stream("hdf5", "HDF5", path, 1, None, None):
        pass


def _stream(name, kind, path, chunk_size, time_unit, max_unpacked_bytes):
    limit = UnpackedBytes(path, max_unpacked_bytes).limit
    seconds = _SECONDS + os.stat(path).st_size // _SPEED
    arguments = json.dumps([name, str(path), limit, seconds, [*map(str, sys.path)]])
    command = [sys.executable, str(_WORKER), arguments]
    # One thread: more would only take address space, which is limited.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as errors:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
        try:
            with worker.stdout as file:
                while columns := _read_columns(file):
                    events = make_events(*columns, time_unit=time_unit)
                    yield from pieces(events, chunk_size)
            status = worker.wait()
        finally:
            worker.kill()
            worker.wait()
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    if status:
        reason = lines[-1] if lines else f"its reader ended by {_name(status)}"
        raise ValueError(
            f"The file {str(path)!r} is not a recording in the format {kind}, or it "
            f"is damaged or truncated: {reason}"
        )


def _name(status):
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def _read_columns(file):
    """The arrays of one part, or `None` where the worker has ended."""
    columns = []
    for dtype, length in json.loads(file.readline() or "[]"):
        size = length * np.dtype(dtype).itemsize
        data = file.read(size)
        if len(data) < size:
            return None
        columns.append(np.frombuffer(data, dtype))
    return columns
