"""What all benchmarks share: taking turns, tables, and the machine's description."""

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import namedtuple

PACKAGES = (
    "keras jax tensorflow-cpu torch triton cupy-cuda12x cupy-cuda13x numpy spyx "
    "spikingjelly snntorch norse"
).split()

# A function to time, and one that makes its arguments, which is not timed.
Run = namedtuple("Run", ["function", "prepare"], defaults=[tuple])


def take_turns(runs, rounds):
    """Times functions in turns, so that other work on the machine hits all alike.

    Who fails in the first round takes no further part, with a message.

    Args:
        runs: Dictionary from names to `Run`s.
        rounds: Integer, how often each is timed, after one time that warms it up.

    Returns:
        A dictionary from names to median times in milliseconds.
    """
    times = {}
    for name, run in runs.items():
        try:
            run.function(*run.prepare())
        except Exception as error:  # of any package
            message = str(error).strip().split("\n")[0]
            print(f"{name} takes no part: {message}", file=sys.stderr)
        else:
            times[name] = []
    for _ in range(rounds):
        for name in times:
            run = runs[name]
            arguments = run.prepare()
            start = time.perf_counter()
            run.function(*arguments)
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(taken) for name, taken in times.items()}


def table(columns, rows):
    """Markdown of a table; numbers are printed with three digits."""

    def text(cell):
        if not isinstance(cell, float):
            return str(cell)
        return f"{cell:.0f}" if cell >= 100 else f"{cell:.3g}"

    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(text, line))} |" for line in lines) + "\n"


def setting():
    """What a result depends on: date, machine, versions and command."""
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    chosen = [
        f"{name}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith(("KERAS_BACKEND", "MALLOC_"))
    ]
    command = " ".join([*chosen, "python", *sys.argv])
    load = os.getloadavg()[0]
    return "\n".join(
        [
            f"- Date: {datetime.date.today()}",
            f"- Machine: {_processor()}, {os.cpu_count()} cores{_gpu()}; "
            f"{load:.1f} processes wanted to run in the last minute",
            f"- Versions: Python {platform.python_version()}, {', '.join(versions)}",
            f"- Command: `{command}`",
        ]
    )


def _gpu():
    try:
        command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv"]
        rows = subprocess.check_output(command, text=True).strip().split("\n")[1:]
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"; {'; '.join(rows)}"


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            names = [line for line in file if line.startswith("model name")]
        return names[0].split(":")[1].strip()
    except (OSError, IndexError):
        return platform.processor()
