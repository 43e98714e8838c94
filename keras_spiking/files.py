"""Files and folders that appear complete or not at all."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import sys
import uuid

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def complete_file(path):
    """Yields a temporary name to write to, and renames it to `path` on success.

    The temporary name has the same suffix. What it holds is on the disk before it is
    renamed, so that even a power failure leaves a whole file: the old or the new.
    """
    path = os.fsdecode(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder) or os.path.isdir(path):
        raise ValueError(
            f"`path` must name a file in a folder that exists. Received: path={path!r}"
        )
    suffix = os.path.splitext(path)[1]
    temporary = os.path.join(folder, f".part-{uuid.uuid4().hex}{suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


@contextlib.contextmanager
def complete_folder(path, names):
    """Yields a new folder to write to, which takes the place of `path` on success.

    Args:
        path: Folder that does not exist yet, or holds no other files than `names`.
        names: Names of the files that will be written.
    """
    path = os.path.abspath(os.fsdecode(path))
    parent, kept = os.path.dirname(path), os.path.isdir(path)
    if not os.path.isdir(parent) or (os.path.exists(path) and not kept):
        raise ValueError(
            "`folder` must name a folder inside of one that exists. Received: "
            f"folder={path!r}"
        )
    if others := sorted(set(os.listdir(path) if kept else ()) - set(names)):
        raise ValueError(
            f"The folder {path!r} holds other files, such as {others[0]!r}. Name a new "
            "one, an empty one, or one with an earlier export of this name."
        )
    temporary = os.path.join(parent, f".part-{uuid.uuid4().hex}")
    old = temporary + "-old"
    os.mkdir(temporary)
    try:
        yield temporary
        if kept and _exchange(temporary, path):
            return
        if kept:
            os.rename(path, old)
        try:
            os.rename(temporary, path)
        except OSError:
            if kept:
                os.rename(old, path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one, other):
    """Swaps two names at once, if the system can, and returns whether it did."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, swap = -100, 2  # AT_FDCWD and RENAME_EXCHANGE
    names = os.fsencode(one), os.fsencode(other)
    return rename is not None and not rename(here, names[0], here, names[1], swap)


@contextlib.contextmanager
def claimed(path, wait=False):
    """Has a file or folder for this process alone, until it ends, however it does.

    Yields whether that is so: some file systems have no locks.

    Args:
        path: Path of a file or folder that exists.
        wait: Boolean, whether to wait for another process that has it.

    Raises:
        BlockingIOError: if another process has it, and is not waited for.
    """
    if fcntl is None:
        yield False
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # nor wait for a pipe
    try:
        mine = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            mine = False
        yield mine
    finally:
        os.close(descriptor)


def remove_leftovers(folder, pattern=".part-*"):
    """Removes what killed processes were writing to a folder: nobody claims it."""
    for path in pathlib.Path(folder).glob(pattern):
        if path.is_symlink():
            continue
        with contextlib.suppress(OSError), claimed(path) as mine:
            # What is empty may have been made a moment ago, to be claimed next.
            if mine and path.is_dir() and any(path.iterdir()):
                shutil.rmtree(path)
            elif mine and path.is_file() and path.stat().st_size:
                path.unlink()
