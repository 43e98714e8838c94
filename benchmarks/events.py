"""How fast events become frames, and how much memory a long recording takes.

Usage: python benchmarks/events.py [--events 2000000] [--memory 50000000]

Tonic and SpikingJelly are compared where they are installed; `--events 0` or
`--memory 0` leaves a part out. Times are of the
processor, the best of five runs that take turns, on one thread.
"""

import argparse
import importlib.metadata
import os
import resource
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from keras_spiking import datasets

SHAPE = (128, 128, 2)


def random_events(count, seed=0, start=0):
    rng = np.random.default_rng(seed)
    return datasets.make_events(
        start + np.sort(rng.integers(0, count, count)),  # a million events a second
        rng.integers(0, SHAPE[1], count),
        rng.integers(0, SHAPE[0], count),
        rng.integers(0, 2, count),
    )


def tonic_frames(events, **arguments):
    from tonic.transforms import ToFrame

    other = np.empty(
        len(events), [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "bool")]
    )
    for name in "txyp":
        other[name] = events[name]
    to_frame = ToFrame(sensor_size=(SHAPE[1], SHAPE[0], 2), **arguments)
    return lambda: to_frame(other)


def spikingjelly_frames(events, function, *arguments):
    from spikingjelly.datasets import utils

    columns = {name: np.ascontiguousarray(events[name]) for name in "txyp"}
    integrate = getattr(utils, function)
    return lambda: integrate(columns, *arguments, SHAPE[0], SHAPE[1])


def cases(events):
    duration = int(events["t"][-1] - events["t"][0])
    window = duration // 100
    by_number = "integrate_events_by_fixed_frames_number"
    by_duration = "integrate_events_by_fixed_duration"
    yield (
        "20 frames by time",
        {
            "keras_spiking": lambda: lambda: datasets.Frames(number=20)(events, SHAPE),
            "Tonic": lambda: tonic_frames(events, n_time_bins=20),
            "SpikingJelly": lambda: spikingjelly_frames(events, by_number, "time", 20),
        },
    )
    yield (
        "20 frames by count",
        {
            "keras_spiking": lambda: (
                lambda: datasets.Frames(number=20, split_by="count")(events, SHAPE)
            ),
            "Tonic": lambda: tonic_frames(events, n_event_bins=20),
            "SpikingJelly": lambda: spikingjelly_frames(
                events, by_number, "number", 20
            ),
        },
    )
    yield (
        "frames of 1/100 of the time",
        {
            "keras_spiking": lambda: (
                lambda: datasets.Frames(duration=window)(events, SHAPE)
            ),
            "Tonic": lambda: tonic_frames(events, time_window=window),
            "SpikingJelly": lambda: spikingjelly_frames(events, by_duration, window),
        },
    )


def measure(functions, repeats=5):
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            started = time.process_time()
            function()
            times[name].append(time.process_time() - started)
    return {name: min(values) for name, values in times.items()}


def speed(count):
    events = random_events(count)
    print(f"Million events per second, {count / 1e6:g} million events, 128 x 128:\n")
    print("| | keras_spiking | Tonic | SpikingJelly |")
    print("|---|---|---|---|")
    for title, makers in cases(events):
        functions = {}
        for name, make in makers.items():
            try:
                functions[name] = make()
            except ImportError:
                pass
        times = measure(functions)
        rates = [f"{count / times[n] / 1e6:.1f}" if n in times else "-" for n in makers]
        print(f"| {title} | {' | '.join(rates)} |", flush=True)


def write_recording(path, count, chunk=1_000_000):
    with open(path, "wb") as file:
        file.write(b"% Version 2\n" + bytes([12, 8]))
        for start in range(0, count, chunk):
            events = random_events(min(chunk, count - start), seed=start, start=start)
            words = np.empty((len(events), 2), "<u4")
            words[:, 0] = events["t"]
            words[:, 1] = events["x"] | events["y"].astype("u4") << 14
            words[:, 1] |= events["p"].astype("u4") << 28
            file.write(words.tobytes())


def prepare(path):
    """In a process of its own: decodes, makes frames, writes the cache."""
    recordings = datasets.Recordings([(path, {})], [0], SHAPE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        dataset = datasets.EventDataset(
            recordings, datasets.Frames(number=20), cache_dir=folder
        )
        started = time.process_time()
        dataset.prepare(workers=1, verbose=0)
        seconds = time.process_time() - started
        total = int(dataset[0][0].sum(dtype="float64"))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{total:,} events: {seconds:.1f} s of the processor, at most "
        f"{after / 1024:.0f} MiB ({before / 1024:.0f} MiB of these before)."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--memory", type=int, default=50_000_000)
    parser.add_argument("--prepare", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.prepare:
        return prepare(arguments.prepare)
    for package in ("numpy", "tonic", "spikingjelly"):
        try:
            print(package, importlib.metadata.version(package), end="  ")
        except importlib.metadata.PackageNotFoundError:
            pass
    print("\n")
    if arguments.events:
        speed(arguments.events)
    if not arguments.memory:
        return
    print("\nPreparing one long recording (DAT), frames by time:")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "long.dat")
        write_recording(path, arguments.memory)
        subprocess.run([sys.executable, __file__, "--prepare", path], check=True)


if __name__ == "__main__":
    main()
