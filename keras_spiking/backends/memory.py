"""Memory that the C library keeps, instead of giving it back to the system.

The outputs of a layer are new arrays in every step. glibc asks the system for the
memory of arrays above 32 MiB, gives it back when they are freed, and trims its heap;
getting the memory again, page by page, costs as much time as the computation.
"""

import ctypes
import os
import sys

from keras_spiking import config

# Of `mallopt`, as <malloc.h> numbers them.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1

_OWN_SETTINGS = (
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
)
_TUNABLES = ("glibc.malloc.mmap_", "glibc.malloc.trim_")

_kept = False


def keep(gains, one_arena=False):
    """Has the C library keep memory, once in a process, if the mode wants it.

    Args:
        gains: Boolean, whether the framework and the device gain from it.
        one_arena: Boolean, whether the framework's own threads make arrays. Each has
            an arena, which is always given back, unless all share that of the process.
    """
    global _kept
    mode = config.keep_memory()
    if _kept or mode == "never" or not (gains or mode == "always"):
        return
    reason = unavailable()
    if reason is None:
        _kept = _set(_MMAP_MAX, 0) and _set(_TRIM_THRESHOLD, _NEVER)
        if one_arena:
            _set(_ARENA_MAX, 1)
    elif mode == "always":
        raise RuntimeError(
            f"Memory cannot be kept: {reason}. That was required by "
            '`keras_spiking.config.set_keep_memory("always")`; with "auto", memory is '
            "given back to the system instead."
        )


def unavailable():
    """Why memory cannot be kept, or `None`."""
    if not sys.platform.startswith("linux"):
        return "only the C library of Linux, glibc, is told to"
    if own := _own_settings():
        return f"{own} says what to do with it"
    home = _library_of("gnu_get_libc_version")
    if home is None:
        return "the C library is not glibc"
    if _library_of("malloc") != home and not _is_counted():
        return f"{_library_of('malloc')} takes the place of glibc's `malloc`"
    return None


def report():
    """Whether memory is kept, in words."""
    if _kept:
        return "kept: the process does not give it back to the system"
    reason = unavailable() or "this backend or device gains nothing from it"
    if config.keep_memory() == "never":
        reason = 'the mode is "never"'
    return f"given back to the system: {reason}"


def _own_settings():
    """The environment variable by which the user has set the same, or `None`."""
    if any(name in os.environ.get("GLIBC_TUNABLES", "") for name in _TUNABLES):
        return "GLIBC_TUNABLES"
    return next((name for name in _OWN_SETTINGS if name in os.environ), None)


def _set(option, value):
    return ctypes.CDLL(None).mallopt(option, value) == 1


def _is_counted():
    """Whether glibc counts what `malloc` gives, which then is its own.

    Executables at a fixed place, as those of Debian's and Ubuntu's Python, have an
    entry `malloc` of their own, which leads to glibc's.
    """
    process = ctypes.CDLL(None)
    process.malloc.restype = ctypes.c_void_p
    counts = getattr(process, "mallinfo2", None)  # glibc 2.33
    if counts is None:
        return False
    counts.restype = _Counts
    before, size = counts().in_use, 100_000
    memory = process.malloc(ctypes.c_size_t(size))
    counted = counts().in_use - before
    process.free(ctypes.c_void_p(memory))
    return counted >= size


class _Counts(ctypes.Structure):
    """`struct mallinfo2` of <malloc.h>."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks in_use free keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


class _Symbol(ctypes.Structure):
    """`Dl_info` of <dlfcn.h>."""

    _fields_ = [
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def _library_of(function):
    """The file of the library that a function of this process comes from, or `None`."""
    process, symbol = ctypes.CDLL(None), _Symbol()
    try:
        address = ctypes.cast(getattr(process, function), ctypes.c_void_p)
        found = process.dladdr(address, ctypes.byref(symbol))
    except AttributeError:
        return None
    return symbol.file.decode() if found else None
