"""Arrays on disk, found again by what they were made from."""

import hashlib
import json
import pathlib

import numpy as np

from keras_spiking.datasets.files import save_npz


class Cache:
    """A folder of arrays, each computed once.

    An entry appears when it is complete, so that interrupting a computation loses
    that entry alone, and several processes may fill one folder.

    Args:
        folder: Path, made if it does not exist.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).expanduser()

    def path(self, key):
        """The file of an entry. `key` is anything that JSON can express."""
        text = json.dumps(key, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.npz"

    def get(self, key, compute):
        """The array stored for `key`; if there is none, that of `compute()`."""
        path = self.path(key)
        if not path.exists():
            self.put(path, compute())
        try:
            with np.load(path) as stored:
                return stored["data"]
        except Exception as error:  # zipfile, zlib and NumPy raise many kinds
            raise ValueError(
                f"The cache entry {str(path)!r} is damaged ({error}). Delete it, and "
                "it is computed again."
            ) from error

    def put(self, path, array):
        try:
            save_npz(path, data=_smallest_integers(array))
        except OSError as error:
            raise OSError(
                error.errno,
                f"Caching failed ({error.strerror}); what was cached before is "
                f"whole, and nothing is left of this entry. Free space, or choose "
                "another `cache_dir`, and start again",
                str(path),
            ) from error


def _smallest_integers(array):
    """Counts are small: bytes instead of 32-bit integers."""
    if array.dtype.kind in "iu" and array.size and array.min() >= 0:
        return array.astype(np.min_scalar_type(array.max()))
    return array
