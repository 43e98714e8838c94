"""Files that appear complete or not at all."""

import contextlib
import os
import pathlib
import uuid
from typing import Any

import numpy as np

from keras_spiking.datasets.events import as_events
from keras_spiking.files import claimed


@contextlib.contextmanager
def replacing(path):
    """A binary file that takes the name `path` when the block has succeeded.

    If it fails (a full disk, an interrupt), nothing is left behind, and a file that
    had the name before still has it.
    """
    path = pathlib.Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".part-{uuid.uuid4().hex}"
    try:
        temporary.touch(exist_ok=False)
        with claimed(temporary, wait=True):  # until it has its name
            with open(temporary, "wb") as file:
                yield file
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_npz(path, **arrays):
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)


def write_events(path: str | os.PathLike, events: Any) -> None:
    """Writes events as `.npz` with the arrays t, x, y and p.

    The file appears under its name when it is complete.

    Args:
        path: Path of the file.
        events: Events, see `as_events`.
    """
    events = as_events(events)
    save_npz(path, **{name: events[name] for name in "txyp"})
