"""Compiles C text with the system's compiler and loads the libraries.

Libraries are kept on disk (`cache`) under a hash of their text, the compiler, the
flags and the processor, since a home folder may be shared by unlike machines. They
are loaded from a private copy, so that a cache that cannot be written, has no space
left, or is mounted `noexec`, costs time, but never the kernels.
"""

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import pathlib
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

from keras_spiking.backends.kernels import cache
from keras_spiking.backends.kernels.cache import folder as cache_folder
from keras_spiking.files import claimed
from keras_spiking.files import remove_leftovers

# Results shall not depend on how a compiler groups operations: no `-ffast-math`,
# no contraction. What is left out is only the bookkeeping of errors, and two passes
# that make branches of selections: loops with branches do not become vectors.
# The root that a compiler takes for `pow(x, 0.5)` is another value at -infinity.
FLAGS = (
    "-O3 -march=native -std=gnu11 -shared -fPIC -fopenmp -ffp-contract=off "
    "-fno-math-errno -fno-trapping-math -fno-tree-pre -fno-thread-jumps "
    "-fno-builtin-pow -fno-builtin-powf -w"
).split()
VECTOR_MATH = ("-DVECTOR_MATH", "-lmvec")

TIMEOUT = 60.0
"""Seconds that the compiler may take for a text."""

SPACE = 4 * 2**20
"""Bytes that are to be free where a text is compiled."""

_logger = logging.getLogger("keras_spiking")
_hanging = set()  # commands that took too long: nobody waits for them again


class NoLibrary(RuntimeError):
    """A compiler has written what cannot be loaded."""


# What has been loaded stays mapped (some 20 kB a library): frameworks keep addresses
# of kernels, and JAX may still run one when Python has forgotten the layer.
_handles = {}


def _end_team():
    """Ends OpenMP's threads: a fork copies what waits for them, but not them."""
    for handle in list(_handles.values()):
        with contextlib.suppress(AttributeError):  # this one does not use OpenMP
            ctypes.CDLL(None, handle=handle).omp_pause_resource_all(1)
            break


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_end_team)


@functools.cache
def compiler():
    """Path of the C compiler, or `None`. The variable `CC` names another one."""
    return next(iter(_command()), None)


@functools.cache
def _command():
    """The compiler's path and the options that `CC` gives it, or nothing."""
    named = os.environ.get("CC", "").strip()
    if not named:
        path = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        return (path,) if path else ()
    try:
        words = [named] if shutil.which(named) else shlex.split(named)
    except ValueError:  # a quotation mark is missing
        words = [named]
    if path := shutil.which(words[0]):
        return (path, *words[1:])
    _logger.warning(
        "The environment variable CC is %r, but there is no program %r: there are no "
        "compiled kernels. Set CC to a C compiler, such as gcc, or unset it.",
        named,
        words[0],
    )
    return ()


@functools.cache
def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            names = ("model name", "flags", "CPU part", "Features")
            return sorted({line for line in file if line.startswith(names)})
    except OSError:
        return platform.processor()


def _machine():
    """What a compiled library depends on besides its text."""
    if compiler() is None:
        raise RuntimeError(
            f"there is no C compiler (CC is {os.environ.get('CC')!r}): install gcc or "
            "clang, or set CC"
        )
    programs = [os.path.realpath(p) for p in map(shutil.which, _command()) if p]
    versions = [(p, os.stat(p).st_size, os.stat(p).st_mtime_ns) for p in programs]
    return repr([_command(), versions, FLAGS, platform.machine(), _processor()])


def digest(text):
    """The hash under which the library of a text is kept."""
    return hashlib.sha256((_machine() + text).encode()).hexdigest()[:32]


def load(text, flags=()):
    """Returns the library of a C text as a `ctypes.CDLL`.

    Args:
        text: C source.
        flags: Tuple of further compiler flags.

    Raises:
        RuntimeError: if the compiler refuses the text, or takes too long, or there is
            no place for its files.
    """
    key = digest(text + repr(flags))
    if key not in _handles:
        try:
            handle = _map(cache.read(key) or _make(key, text, flags))
        except NoLibrary:  # what the cache has is whole, but none of this machine
            handle = _map(_make(key, text, flags))
        _handles.setdefault(key, handle)
    return ctypes.CDLL(key, handle=_handles[key])


@contextlib.contextmanager
def built(text, flags=()):
    """Yields the path of the library of a C text, for others to load.

    It is a copy that is removed with the end of the context. Arguments and errors are
    those of `load`.
    """
    key = digest(text + repr(flags))
    with _private_copy(cache.read(key) or _make(key, text, flags)) as path:
        yield path


def _make(key, text, flags):
    content = _compile(text, flags)
    cache.write(key, content)
    return content


def _map(content):
    """Loads a library; returns its handle."""
    with _private_copy(content) as path:
        try:
            return ctypes.CDLL(path)._handle
        except OSError as error:
            name = shlex.join(_command())
            raise NoLibrary(f"{name} could not compile a kernel: {error}") from error


@contextlib.contextmanager
def _private_copy(content):
    with _private_folder() as folder:
        path = folder / "kernel.so"
        with _explained():
            path.write_bytes(content)
        yield str(path)


@contextlib.contextmanager
def _private_folder():
    """A new folder that belongs to this process, as long as the context lasts."""
    places = [tempfile.gettempdir(), "/dev/shm"]
    if cache.is_private(cache_folder()):
        places.insert(1, cache_folder())
    place = next(filter(_is_fit, places), None)
    with _explained():
        folder = tempfile.mkdtemp(prefix="keras_spiking-", dir=place)
    try:
        with claimed(folder, wait=True):
            yield pathlib.Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_fit(place):
    """Whether a folder has space, and libraries may be loaded from there."""
    try:
        status = os.statvfs(place)
    except OSError:
        return False
    runs = not status.f_flag & getattr(os, "ST_NOEXEC", 0)
    return runs and status.f_bavail * status.f_frsize >= SPACE


@contextlib.contextmanager
def _explained():
    try:
        yield
    except OSError as error:
        raise RuntimeError(
            f"there is no place for the compiler's files: {error}. Set TMPDIR to a "
            "folder with free space"
        ) from error


def _compile(text, flags):
    glibc = sys.platform == "linux" and platform.machine() == "x86_64"
    attempts = [VECTOR_MATH, ()] if glibc else [()]
    with _private_folder() as folder:
        remove_leftovers(folder.parent, "keras_spiking-*")
        source, library = folder / "kernel.c", folder / "kernel.so"
        with _explained():
            source.write_text(text, "utf-8")
        for extra in attempts:
            options = [*FLAGS, "-o", library, source, *flags, *extra, "-lm"]
            message = _run([*_command(), *options], folder)
            if not message and library.exists():
                return library.read_bytes()
    message = message or "it wrote no library"
    raise RuntimeError(
        f"{shlex.join(_command())} could not compile a kernel: {message}. CC names "
        "another compiler, TMPDIR a folder with more space"
    )


def _run(command, folder):
    """Runs a compiler; returns its complaint, or `None` if it succeeded."""
    name = shlex.join(_command())
    late = (
        f"the C compiler, {name}, did not finish within {TIMEOUT:g} s and is not "
        "called again: set CC to another one"
    )
    if name in _hanging:
        raise RuntimeError(late)
    # Its errors go to a file, and it has a group of its own: what it has started
    # may hang with it, and would keep a pipe open.
    with open(folder / "errors", "w+b") as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "TMPDIR": str(folder)},
                start_new_session=True,
            )
        except OSError as error:
            return str(error)
        try:
            failed = process.wait(TIMEOUT)
        except BaseException as error:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            _hanging.add(name)
            raise RuntimeError(late) from None
        errors.seek(0)
        message = errors.read().decode(errors="replace").strip().split("\n")[0]
    return (message or f"exit status {failed}") if failed else None
