"""Reads mutations of valid files of every format, and counts what happens.

Usage: nice python tests/fuzz [--count 10000] [--seed 0] [--folder FOLDER] [FORMAT ...]

Each mutation must be read, or refused by a `ValueError` or `OSError` that names the
file; within 10 seconds of the processor and 256 MiB of further memory, without running
code, starting programs, or touching a file outside of its folder. Everything else is a
finding: it is shown, and its file is kept in FOLDER. A mutation is decided by format,
seed and number alone.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

_HERE = pathlib.Path(__file__).resolve().parent
_PROGRESS = "<qqqqd"


def fuzz(name, folder, count, seed, first=0):
    """Reads mutations of a format; returns numbers and a list of findings."""
    folder = pathlib.Path(folder, name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = os.pathsep.join([str(_HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "KERAS_BACKEND": "numpy",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "",
    }
    totals = collections.Counter()
    slowest, stop = 0.0, first + count
    while first < stop:
        (folder / "progress").write_bytes(struct.pack(_PROGRESS, -1, 0, 0, 0, 0.0))
        arguments = [name, folder, first, stop - first, seed]
        command = [sys.executable, _HERE / "trial.py", *map(str, arguments)]
        with open(folder / "log", "w+") as log:
            process = subprocess.run(command, env=environment, stderr=log)
            log.seek(0)
            said = log.read()
        state = struct.unpack(_PROGRESS, (folder / "progress").read_bytes())
        number, *counts, seconds = state
        totals.update(dict(zip(("read", "refused", "found"), counts)))
        slowest = max(slowest, seconds)
        if not process.returncode:
            break
        if number < 0 or process.returncode > 0:
            raise RuntimeError(f"The trial of {name} failed at {number}: {said}")
        totals["died"] += 1
        what = signal.Signals(-process.returncode).name
        kept = f"{name}-{number}"
        inside = folder / "inside" / "here"
        for left in inside.iterdir():
            if left.is_file() and left.name not in ("secret.h5",):
                shutil.copy(left, folder / f"{kept}-{left.name}")
        shutil.rmtree(inside)
        with open(folder / "findings.jsonl", "a") as file:
            print(json.dumps(["died", what, number, kept]), file=file)
        first = number + 1
    lines = (folder / "findings.jsonl").read_text().splitlines()
    return totals, slowest, [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("formats", nargs="*")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=tempfile.gettempdir() + "/fuzz")
    options = parser.parse_args()
    sys.path.insert(0, str(_HERE.parents[1]))
    os.environ["KERAS_BACKEND"] = "numpy"
    from formats import FORMATS

    print("| Format | Mutations | Read | Refused | Findings | Longest |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    failed = False
    for name in options.formats or FORMATS:
        totals, slowest, findings = fuzz(
            name, options.folder, options.count, options.seed, options.first
        )
        found = totals["found"] + totals["died"]
        print(
            f"| {name} | {options.count:,} | {totals['read']:,} | "
            f"{totals['refused']:,} | {found:,} | {slowest:.2f} s |",
            flush=True,
        )
        kinds = collections.defaultdict(list)
        for kind, what, _, kept in findings:
            place, _, text = what.partition(": ")
            kinds[kind, place].append((text, kept))
        for (kind, place), files in sorted(kinds.items(), key=lambda k: -len(k[1])):
            text, kept = files[0]
            print(f"{len(files)} {kind}: {place}: {text}\n    {kept}", file=sys.stderr)
        failed = failed or bool(findings)
    sys.exit(failed)


if __name__ == "__main__":
    main()
