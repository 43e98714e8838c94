"""Files that are read are not larger than they look."""

import contextlib
import os

import h5py

MAX_BYTES = 2**30


def check_arrays(file, max_bytes):
    """Raises `ValueError` if the arrays of an HDF5 file take too much memory.

    A file of a few bytes can describe arrays of any size, and refer to other files.
    """
    total = 0

    def visit(group):
        nonlocal total
        for name in group:
            link = group.get(name, getlink=True)
            item = group[name] if isinstance(link, h5py.HardLink) else None
            if isinstance(item, h5py.Group):
                visit(item)
            elif not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                raise ValueError(f"{group.name}/{name} is stored elsewhere.")
            else:
                check_bytes(
                    f"the arrays up to {item.name}", total + item.nbytes, max_bytes
                )
                total += item.nbytes

    visit(file)


def check_bytes(what, size, max_bytes):
    """Raises `ValueError` if `size` exceeds the limit, saying how to raise it."""
    if size > max_bytes:
        raise ValueError(
            f"{what} would take {size:,} bytes of memory, more than max_bytes="
            f"{max_bytes:,}. If you trust the source, pass a larger `max_bytes`."
        )


@contextlib.contextmanager
def naming_file(path):
    """Begins the message of a `ValueError` with the file, if it does not name it."""
    try:
        yield
    except ValueError as error:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise
        name = repr(os.fsdecode(path))
        if name in str(error):
            raise
        raise ValueError(f"{name}: {error}") from error
