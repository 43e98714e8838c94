"""Compiles C text with the system's compiler and keeps the libraries on disk.

A library is found again by a hash of its text, the compiler, the flags and the
processor, since a home folder may be shared by unlike machines. It is written
under a temporary name and then renamed, so that processes which start at the
same time do not disturb each other, and it ends with a checksum, so that a
damaged one is noticed and made anew.
"""

import ctypes
import functools
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

# Results shall not depend on how a compiler groups operations: no `-ffast-math`,
# no contraction. What is left out is only the bookkeeping of errors, and two passes
# that make branches of selections: loops with branches do not become vectors.
FLAGS = (
    "-O3 -march=native -std=gnu11 -shared -fPIC -fopenmp -ffp-contract=off "
    "-fno-math-errno -fno-trapping-math -fno-tree-pre -fno-thread-jumps -w"
).split()
VECTOR_MATH = ("-DVECTOR_MATH", "-lmvec")


@functools.cache
def compiler():
    """Path of the C compiler, or `None`. The variable `CC` names another one."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    return next(filter(None, map(shutil.which, names)), None)


def cache_folder():
    """Where libraries are kept; `KERAS_SPIKING_CACHE` names another folder."""
    if folder := os.environ.get("KERAS_SPIKING_CACHE"):
        return pathlib.Path(folder)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "keras_spiking"


@functools.cache
def _machine():
    """What a compiled library depends on besides its text."""
    path = os.path.realpath(compiler())
    stat = os.stat(path)
    parts = [path, stat.st_size, stat.st_mtime_ns, FLAGS, platform.machine()]
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line for line in file if line.startswith(("model name", "flags"))]
        parts += sorted(set(lines))
    except OSError:
        parts.append(platform.processor())
    return repr(parts)


def digest(text):
    """The hash under which the library of a text is kept."""
    return hashlib.sha256((_machine() + text).encode()).hexdigest()[:32]


def build(text, flags=()):
    """Returns the path of the library of a C text.

    Args:
        text: C source.
        flags: Tuple of further compiler flags.

    Raises:
        RuntimeError: if the compiler refuses the text.
    """
    folder = cache_folder()
    path = folder / f"{digest(text + repr(flags))}.so"
    if not _is_whole(path):
        _write(path, _compile(text, flags))
    return str(path)


@functools.cache
def load(text, flags=()):
    """Returns the library of a C text as a `ctypes.CDLL`; see `build`."""
    return ctypes.CDLL(build(text, flags))


def _is_whole(path):
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-32]).digest() == content[-32:]


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content + hashlib.sha256(content).digest())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _compile(text, flags):
    glibc = sys.platform == "linux" and platform.machine() == "x86_64"
    attempts = [VECTOR_MATH, ()] if glibc else [()]
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "kernel.c")
        library = pathlib.Path(folder, "kernel.so")
        source.write_text(text)
        for extra in attempts:
            command = [compiler(), *FLAGS, "-o", library, source]
            command += [*flags, *extra, "-lm"]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode == 0:
                return library.read_bytes()
    message = result.stderr.strip().split("\n")[0]
    raise RuntimeError(f"{compiler()} could not compile a kernel: {message}")
