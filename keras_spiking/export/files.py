"""Files that are read are not larger than they look."""

import contextlib
import mmap
import os

import h5py

MAX_BYTES = 2**30

_HEAP = b"GCOL\1\0\0\0"


def check_arrays(file, max_bytes):
    """Raises `ValueError` if the arrays of an HDF5 file take too much memory.

    A file of a few bytes can describe arrays of any size, and refer to other files.
    """
    _check_heaps(file)
    total, visited = 0, set()

    def visit(group):
        nonlocal total
        place = h5py.h5o.get_info(group.id).addr
        if place in visited:  # a few groups in each other make up any number of paths
            raise ValueError(f"{group.name} stands in several places.")
        visited.add(place)
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


def _check_heaps(file):
    """Raises `ValueError` where HDF5 would walk through a heap of strings for ever.

    A heap is a row of objects, each with a number and its size; number 0 is the rest
    that is free. HDF5 believes the sizes, even if they lead nowhere, or back.
    """
    damaged = ValueError("a heap of strings has no end.")
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("its addresses and lengths do not have 64 bits.")
    with open(file.filename, "rb") as content:
        data = mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ)
    with data:
        at = data.find(_HEAP)
        while at >= 0:
            place = at + 16
            stop = at + int.from_bytes(data[at + 8 : place], "little")
            while place + 16 <= min(stop, len(data)):
                number = int.from_bytes(data[place : place + 2], "little")
                size = int.from_bytes(data[place + 8 : place + 16], "little")
                step = size if number == 0 else 16 + size + -size % 8
                if not 0 < step <= stop - place:
                    raise damaged
                place += step
            at = data.find(_HEAP, at + 1)


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
