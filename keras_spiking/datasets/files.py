"""Files that appear complete or not at all."""

import contextlib
import os
import pathlib
import uuid

import numpy as np


@contextlib.contextmanager
def replacing(path):
    """A binary file that takes the name `path` when the block has succeeded.

    If it fails (a full disk, an interrupt), nothing is left behind, and a file that
    had the name before still has it.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".part-{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_npz(path, **arrays):
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)
