"""Arrays on disk, found again by what they were made from."""

import hashlib
import json
import pathlib
import warnings

import numpy as np

from keras_spiking.datasets.files import save_npz
from keras_spiking.datasets.limits import MOST
from keras_spiking.datasets.readers.arrays import load_npz
from keras_spiking.files import remove_leftovers


class Cache:
    """A folder of arrays, each computed once.

    An entry appears when it is complete, so that interrupting a computation loses
    that entry alone, and several processes may fill one folder. Entries are not waited
    for to be on the disk: what a power failure has damaged is computed again.

    Args:
        folder: Path, made if it does not exist.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).expanduser()
        self._written = False

    def path(self, key):
        """The file of an entry. `key` is anything that JSON can express."""
        text = json.dumps(key, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.npz"

    def get(self, key, compute):
        """The array stored for `key`; if there is none, that of `compute()`."""
        path = self.path(key)
        try:
            # Frames are nearly empty: more than is usual comes out of few bytes.
            return load_npz(path, MOST * path.stat().st_size)["data"]
        except (FileNotFoundError, NotADirectoryError):
            pass
        except PermissionError as error:
            raise PermissionError(
                error.errno,
                f"The cache cannot be read ({error.strerror}). Choose another "
                "`cache_dir`, or become the owner of this one",
                str(path),
            ) from error
        except (ValueError, KeyError) as error:
            warnings.warn(
                f"The cache entry {str(path)!r} is damaged ({error}), and is computed "
                "again.",
                stacklevel=3,
            )
        array = _smallest_integers(compute())
        self._put(path, array)
        return array

    def _put(self, path, array):
        if not self._written:
            self._written = True
            for folder in self.folder.glob("??"):
                remove_leftovers(folder)
        try:
            save_npz(path, data=array)
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
