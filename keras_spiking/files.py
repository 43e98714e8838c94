"""Files and folders that appear complete or not at all."""

import contextlib
import os
import shutil
import uuid


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
