"""The process that reads mutations of one format until it has done so, or dies.

Usage: python trial.py FORMAT FOLDER FIRST COUNT SEED. It writes how far it is into
FOLDER/progress, and what it found into FOLDER/findings.jsonl.
"""

import collections
import importlib
import json
import mmap
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import time
import traceback
import types
import warnings

import guard
import numpy as np

# Of the processor, and on the clock, which others share.
SECONDS, WALL_SECONDS = 10, 200
ROOM = 2**29
GROWTH = 2**28
SELDOM = 20  # how many mutations share a look at memory and folder
PROGRESS = "<qqqqd"


class Forked:
    """A worker of `isolated` that is forked, which is faster than a new interpreter."""

    def __init__(self, command, stdout, stderr, **_):
        from keras_spiking.datasets.readers import worker

        name, path, limit, seconds, _ = json.loads(command[2])
        there, here = os.pipe()
        with GUARD.lifted():
            self.pid = os.fork()
        if not self.pid:
            signal.setitimer(signal.ITIMER_PROF, 0)
            status = 1
            try:
                os.dup2(stderr.fileno(), 2)
                os.close(there)
                out = open(here, "wb")
                worker.NAME, worker.PATH = name, path
                worker.LIMIT, worker.SECONDS = limit, seconds
                worker.sys = types.SimpleNamespace(
                    stdout=types.SimpleNamespace(buffer=out)
                )
                worker.main()
                out.close()
                status = 0
            except guard.Forbidden as error:
                os.write(2, f"FORBIDDEN {error}".encode())
            except BaseException as error:
                os.write(2, f"{error or type(error).__name__}".encode()[:1000])
            finally:
                os._exit(status)
        os.close(here)
        self.stdout = open(there, "rb")
        self.errors = stderr
        self.status = None

    def wait(self):
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.errors.seek(0)
            text = self.errors.read()
            if b"FORBIDDEN" in text:
                GUARD.heard.append(text.decode())
        return self.status

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)


def main(name, folder, first, count, seed):
    global GUARD
    folder = pathlib.Path(folder)
    inner = folder / "inside" / "here"
    inner.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(inner)
    import formats

    chosen = formats.FORMATS[name]
    samples = chosen.samples()
    GUARD = guard.Guard(folder / "inside")
    if chosen.forks:
        from keras_spiking.datasets.readers import isolated

        isolated.subprocess = types.SimpleNamespace(
            Popen=Forked, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL
        )
        for module in ("aedat", "keras_spiking.datasets.readers.worker"):
            importlib.import_module(module)
    os.chdir(inner)
    GUARD.inside = {str(inner / file) for file, _ in samples}
    _write_secret(inner / "secret.h5")
    heard = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, kind, *_: heard.append(kind)
    # What is valid is read, and what is imported on the way is there.
    for file, data in samples:
        (inner / file).write_bytes(data)
        chosen.read(inner / file)
        (inner / file).unlink()
    for file, data in samples[:1]:
        (inner / file).write_bytes(data[: len(data) // 2])
        try:
            chosen.read(inner / file)
        except Exception as error:
            traceback.format_exception(error)
        (inner / file).unlink()
    guard.limit_memory(ROOM)
    counts = collections.Counter()
    findings = open(folder / "findings.jsonl", "a")
    with open(folder / "progress", "r+b") as file:
        progress = mmap.mmap(file.fileno(), 0)
    peak, slowest = guard.peak(), 0.0
    others = [data for _, data in samples]
    for number in range(first, first + count):
        random = np.random.default_rng((seed, number))
        file, data = samples[int(random.integers(len(samples)))]
        data = chosen.mutate(random, data, others)
        path = inner / file
        path.write_bytes(data)
        state = number, counts["read"], counts["refused"], counts["found"], slowest
        progress[:] = struct.pack(PROGRESS, *state)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        heard.clear()
        start = time.process_time()
        kind, what = _outcome(chosen, path)
        taken = time.process_time() - start
        slowest = max(slowest, taken)
        # Seldom, since it takes longer than most readers.
        seldom = number % SELDOM == SELDOM - 1 or number == first + count - 1
        most = guard.peak() if seldom else peak
        outside = set(os.listdir(folder / "inside")) - {"here"} if seldom else None
        if GUARD.heard:
            kind, what = "forbidden", GUARD.heard[0]
        elif any(issubclass(k, RuntimeWarning) for k in heard) and kind == "read":
            kind, what = "warning", "a RuntimeWarning"
        elif most > peak + GROWTH:
            kind, what = "memory", f"{most - peak:,} bytes"
        peak = max(peak, most)
        if outside:
            kind, what = "outside", str(outside)
        if kind in ("read", "refused"):
            counts[kind] += 1
        else:
            counts["found"] += 1
            kept = f"{name}-{number}-{file}"
            print(json.dumps([kind, what, number, kept]), file=findings, flush=True)
            (folder / kept).write_bytes(data)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    state = first + count, *(counts[k] for k in ("read", "refused", "found")), slowest
    progress[:] = struct.pack(PROGRESS, *state)


def _outcome(chosen, path):
    """Whether a file was read, refused as it should be, or what else happened."""
    try:
        with GUARD():
            chosen.read(path)
        return "read", ""
    except guard.Forbidden as error:
        return "forbidden", str(error)
    except BaseException as error:
        return _judged(error, chosen, path)


def _judged(error, chosen, path):
    """Whether an error is one that bad files should cause."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "keras_spiking/" in frame.filename]
    where = (ours or frames)[-1]
    text = re.sub(r"\d+", "N", str(error).replace(str(path), "PATH"))[:300]
    place = f"{pathlib.Path(where.filename).name}:{where.lineno}"
    what = f"{type(error).__name__} at {place}: {text}"
    causes = []
    while error is not None and len(causes) < 20:
        causes.append(error)
        error = error.__cause__ or error.__context__
    error = causes[0]
    if isinstance(error, AssertionError):
        return "wrong", what
    if any(isinstance(e, MemoryError) or "Unable to alloc" in str(e) for e in causes):
        return ("refused", "") if chosen.is_model else ("memory", what)
    if not chosen.own_errors:
        foreign = isinstance(error, Exception) and frames[-1] not in ours
        right = foreign or isinstance(error, (ValueError, TypeError))
        return ("refused", "") if right else ("error", what)
    if not isinstance(error, (ValueError, OSError)):
        return "error", what
    return ("refused", "") if path.name in str(error) else ("unnamed", what)


def _write_secret(path):
    import h5py

    with h5py.File(path, "w") as file:
        for name in "txyp":
            file[name] = np.ones(3, "int64")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
