"""Files that appear complete or not at all."""

import contextlib
import os
import uuid


@contextlib.contextmanager
def complete_file(path):
    """Gives a temporary name to write to, and renames it to `path` on success."""
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(
            f"The folder of `path` must exist, and {folder!r} does not. "
            f"Received: path={path!r}"
        )
    temporary = os.path.join(folder, f".{uuid.uuid4().hex}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
