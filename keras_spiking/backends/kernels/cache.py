"""The folder of compiled libraries that a user's processes share.

It holds bytes under keys. Since libraries are run, only files that nobody else can
have written are read: file and folder belong to the user or to root, and neither
their group nor others may write to them. Nobody loads a library from here, but a
private copy of what was read and checked, so that a file may be replaced or removed
at any time. A library is written under a temporary name and then renamed, and ends
with a hash of its key and its content: a damaged one counts as missing.
"""

import contextlib
import functools
import hashlib
import logging
import os
import pathlib
import re
import stat
import tempfile
import time

LIMIT = 256 * 2**20
"""Bytes that the folder may hold. Beyond, what was used longest ago is removed."""

_logger = logging.getLogger("keras_spiking")
_NAME = re.compile(r"[0-9a-f]{32}\.(so|\w+\.tmp)")


def folder():
    """Where libraries are kept; `KERAS_SPIKING_CACHE` names another folder."""
    if named := os.environ.get("KERAS_SPIKING_CACHE"):
        return pathlib.Path(os.path.abspath(os.path.expanduser(named)))
    for base in (os.environ.get("XDG_CACHE_HOME", ""), "~/.cache"):
        base = os.path.expanduser(base)
        if os.path.isabs(base):  # or it is to be ignored, or there is no home
            return pathlib.Path(base, "keras_spiking")
    return pathlib.Path(tempfile.gettempdir(), f"keras_spiking-{_user()}")


def read(key):
    """The library of a key as bytes, or `None` if there is none to be trusted."""
    place = folder()
    with _explained(place), contextlib.suppress(FileNotFoundError):
        _check(place, os.stat(place))
        path = place / f"{key}.so"
        with open(path, "rb", opener=_open) as file:
            _check(path, os.fstat(file.fileno()))
            content = file.read()
            with contextlib.suppress(OSError):  # it may not be ours
                os.utime(file.fileno())
        if content[-32:] == _seal(key, content[:-32]):
            return content[:-32]
    return None


def write(key, content):
    """Keeps a library, if possible, and removes old ones beyond the limit."""
    place = folder()
    with _explained(place):
        os.makedirs(place, mode=0o700, exist_ok=True)
        _check(place, os.stat(place))
        name = {"prefix": f"{key}.", "suffix": ".tmp", "dir": place}
        handle, temporary = tempfile.mkstemp(**name)
        try:
            with open(handle, "wb") as file:
                file.write(content + _seal(key, content))
            os.replace(temporary, place / f"{key}.so")
        except BaseException:
            os.unlink(temporary)
            raise
        _remove_oldest(place)


def is_private(path):
    """Whether nobody but the user and root may write to a file or folder."""
    try:
        _check(path, os.stat(path))
    except OSError:
        return False
    return True


def _check(path, status):
    if hasattr(os, "geteuid") and status.st_uid not in (0, _user()):
        raise PermissionError(None, f"{path} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            None, f"others may write to {path} (`chmod go-w` forbids it)"
        )
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise PermissionError(None, f"{path} is not a file")


def _user():
    return os.geteuid() if hasattr(os, "geteuid") else "user"


def _open(path, flags):
    # A link may lead anywhere; a pipe would be waited for.
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags)


def _seal(key, content):
    return hashlib.sha256(key.encode() + content).digest()


def _remove_oldest(place):
    # What was used in the future was so before the clock was set back, and goes first.
    files, now = [], time.time() + 60.0
    for entry in os.scandir(place):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if _NAME.fullmatch(entry.name):
                status = entry.stat(follow_symlinks=False)
                used = status.st_mtime
                files.append((used <= now, used, status.st_size, entry.path))
    size = sum(size for *_, size, _ in files)
    enough = LIMIT if size <= LIMIT else LIMIT * 3 // 4
    for *_, bytes_, path in sorted(files):
        if size <= enough:
            break
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        size -= bytes_


@contextlib.contextmanager
def _explained(place):
    """Goes on without the cache, and says why, where the disk does not permit it."""
    try:
        yield
    except OSError as error:
        _say(place, error.strerror or str(error))


@functools.cache
def _say(place, reason):
    _logger.warning(
        "Compiled kernels cannot be kept in %s: %s. They are compiled into a private "
        "temporary folder, by each process anew. Set KERAS_SPIKING_CACHE to a folder "
        "that you alone may write to.",
        place,
        reason,
    )
