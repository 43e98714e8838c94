"""How many recordings a second become batches, and how many a training step takes.

    KERAS_BACKEND=torch python benchmarks/loading.py
    KERAS_BACKEND=jax python benchmarks/loading.py --archives 100000 --recordings 0

Recordings are ATIS files with as many events as those of CIFAR10-DVS have on average;
each becomes 16 frames. Loaders take turns; all decode the same files, or read frames
that they have cached before. Tonic and SpikingJelly are compared where they are
installed, and so are Grain and tf.data. The training step is that of SEW-ResNet-18.

Archives are a folder, a zip file, and an HDF5 file of many small recordings: how long
it takes to index them, in how much memory, and how many can be read in a second then.
"""

import argparse
import functools
import importlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import zipfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np
import timing

from keras_spiking import datasets
from keras_spiking import models

SIZE = 128
SHAPE = (SIZE, SIZE, 2)
STEPS = 16


def atis_bytes(count, size, duration, seed):
    """A recording with `count` events at random places and times."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, duration, count))
    rows = np.empty((count, 5), "uint8")
    rows[:, :2] = rng.integers(0, size, (count, 2))
    rows[:, 2] = t >> 16 | rng.integers(0, 2, count) << 7
    rows[:, 3], rows[:, 4] = t >> 8 & 255, t & 255
    return rows.tobytes()


def write_folder(folder, count, events, size=SIZE):
    for i in range(count):
        path = pathlib.Path(folder, str(i % 10), f"{i:06d}.bin")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(atis_bytes(events, size, 1_300_000, i))


# Loaders


def ours(folder, cache, options, **kwargs):
    return datasets.EventDataset(
        datasets.Recordings.from_folder(folder, SHAPE, "*.bin"),
        datasets.Frames(number=STEPS),
        batch_size=options.batch,
        timesteps=STEPS,
        shuffle=True,
        cache_dir=cache,
        **kwargs,
    )


def our_loaders(folder, cache, options):
    """Pairs of a name and a function that makes an iterable of batches."""
    workers = options.workers

    def make(**kwargs):
        return ours(folder, cache, options, **kwargs)

    yield "1 thread", lambda: make().batches(epochs=1)
    yield f"{workers} threads", lambda: make(workers=workers).batches(epochs=1)
    processes = {"workers": workers, "use_multiprocessing": True}
    yield f"{workers} processes", lambda: make(**processes).batches(epochs=1)
    if keras.config.backend() == "torch":
        yield f"DataLoader, {workers} processes", lambda: make().to_torch(workers)
    if keras.config.backend() == "tensorflow":
        tf_data = f"tf.data, {workers} threads"
        yield tf_data, lambda: make(workers=workers).to_tf_data()
    grain = f"Grain, {workers} threads"
    yield grain, lambda: make(workers=workers).to_grain(epochs=1)


class Files:
    """Files of recordings in a folder for each class, as Tonic's datasets have them."""

    def __init__(self, folder, read, transform):
        self.paths = sorted(pathlib.Path(folder).glob("*/*.bin"))
        self.read, self.transform = read, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        return self.transform(self.read(path)), int(path.parent.name)


def in_loaders(name, dataset, options, **kwargs):
    """The same in PyTorch's loader, without and with processes of its own."""
    import torch

    for workers in (0, options.workers):
        make = functools.partial(
            torch.utils.data.DataLoader,
            dataset,
            batch_size=options.batch,
            shuffle=True,
            num_workers=workers,
            **kwargs,
        )
        processes = f"DataLoader, {workers} processes" if workers else "1 thread"
        yield f"{name}, {processes}", make


def tonic_loaders(folder, cache, options):
    import tonic

    dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    frames = Files(
        folder,
        lambda path: tonic.io.read_mnist_file(path, dtype),
        tonic.transforms.ToFrame(sensor_size=(SIZE, SIZE, 2), n_time_bins=STEPS),
    )
    if cache is not None:
        frames = tonic.DiskCachedDataset(
            frames, cache_path=os.path.join(cache, "tonic")
        )
    collate = tonic.collation.PadTensors()
    yield from in_loaders("Tonic", frames, options, collate_fn=collate)


def spikingjelly_loaders(folder, cache, options):
    from spikingjelly.datasets import utils

    def frames_of(events):
        return utils.integrate_events_by_fixed_frames_number(
            events, "time", STEPS, SIZE, SIZE
        )

    frames = Files(folder, utils.load_ATIS_bin, frames_of)
    if cache is not None:  # as its datasets with data_type="frame" keep them
        for i, path in enumerate(frames.paths):
            stored = pathlib.Path(cache, "spikingjelly", path.parent.name, path.name)
            stored.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(stored.with_suffix(".npz"), frames=frames[i][0])
            frames.paths[i] = stored.with_suffix(".npz")
        frames.read, frames.transform = utils.load_npz_frames, lambda x: x
    yield from in_loaders("SpikingJelly", frames, options)


def loaders(folder, cache, options):
    found = dict(our_loaders(folder, cache, options))
    if keras.config.backend() == "torch":
        for make in (tonic_loaders, spikingjelly_loaders):
            try:
                found.update(make(folder, cache, options))
            except ImportError as error:
                print(f"{make.__name__}: {error}", file=sys.stderr)
    return found


def consume(make):
    for _ in make():
        pass


def throughput(options, wanted):
    with tempfile.TemporaryDirectory() as folder:
        write_folder(folder, options.recordings, options.events)
        rows = []
        for kind in ("decoded", "cached"):
            cache = None if kind == "decoded" else os.path.join(folder, "cache")
            if cache is not None:
                ours(folder, cache, options).prepare(verbose=0)
            runs = {
                name: timing.Run(consume, lambda make=make: (make,))
                for name, make in loaders(folder, cache, options).items()
            }
            times = timing.take_turns(runs, options.rounds)
            for name, milliseconds in times.items():
                rate = options.recordings / milliseconds * 1e3
                rows.append([kind, name, rate, rate / wanted if wanted else "-"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"## Recordings of {options.events:,} events, {STEPS} frames, {SIZE} x {SIZE}, "
        f"batches of {options.batch}\n"
    )
    print(timing.table(["", "loader", "recordings/s", "of a training step"], rows))
    print(f"At most {peak:.0f} MiB in this process.\n", flush=True)


def training_step(options):
    """Recordings a second that SEW-ResNet-18 takes in training."""
    model = models.SEWResNet18((STEPS, *SHAPE), classes=10, timesteps=STEPS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    rng = np.random.default_rng(0)
    x = rng.poisson(0.1, (options.step_batch, STEPS, *SHAPE)).astype("float32")
    y = rng.integers(0, 10, options.step_batch)

    def step():
        for _ in range(3):
            model.train_on_batch(x, y)

    (milliseconds,) = timing.take_turns({"": timing.Run(step)}, options.rounds).values()
    rate = 3 * options.step_batch / milliseconds * 1e3
    print(
        f"A training step of SEW-ResNet-18 on {keras.config.backend()}, batches of "
        f"{options.step_batch}, takes {rate:.3g} recordings/s.\n",
        flush=True,
    )
    return rate


# Archives


def write_zip(path, count, events):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(count):
            data = atis_bytes(events, 34, 100_000, i % 100)
            file.writestr(f"{i % 10}/{i:06d}.bin", data)


def write_hdf5(path, count, events):
    import h5py

    with h5py.File(path, "w") as file:
        kinds = {"times": "float16", "units": "uint16"}
        ragged = {
            name: file.create_dataset(
                f"spikes/{name}", (count,), h5py.vlen_dtype(np.dtype(kind))
            )
            for name, kind in kinds.items()
        }
        block = 1000
        for start in range(0, count, block):
            rng = np.random.default_rng(start)
            times = np.sort(rng.uniform(0, 1, (block, events)), axis=1)
            found = {"times": times, "units": rng.integers(0, 700, times.shape)}
            for name, values in ragged.items():
                rows = np.empty(block, object)
                for i, row in enumerate(found[name].astype(kinds[name])):
                    rows[i] = row[: events - i % 2]
                values[start : start + block] = rows[: count - start]
        file["labels"] = np.arange(count) % 20


def index(path):
    """Recordings in an archive of one of three kinds."""
    if os.path.isdir(path):
        return datasets.Recordings.from_folder(path, (34, 34, 2), "*.bin")
    if path.endswith(".zip"):
        return datasets.Recordings.from_zip(path, (34, 34, 2), "*.bin")
    import h5py

    with h5py.File(path) as file:
        labels = file["labels"][()]
    sources = [(path, {"format": "hdf5", "index": i}) for i in range(len(labels))]
    return datasets.Recordings(sources, labels, (700,))


def measure(path):
    """In a process of its own: indexes an archive, then reads from it at random."""

    importlib.import_module("h5py")  # which is not to count
    read_before = bytes_read()
    before = resident()
    started = time.perf_counter()
    recordings = index(path)
    seconds = time.perf_counter() - started
    memory = resident() - before
    read = bytes_read() - read_before
    chosen = np.random.default_rng(0).integers(0, len(recordings), 2000)
    recordings[0]
    started = time.perf_counter()
    for i in chosen:
        recordings[int(i)]
    rate = len(chosen) / (time.perf_counter() - started)
    print(json.dumps([seconds, read / 2**20, memory / 2**20, rate]))


def resident():
    with open("/proc/self/statm") as file:
        return int(file.readline().split()[1]) * resource.getpagesize()


def bytes_read():
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


def archives(options):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (
            ("folder", lambda path, n, k: write_folder(path, n, k, 34)),
            ("all.zip", write_zip),
            ("all.h5", write_hdf5),
        ):
            path = os.path.join(folder, name)
            write(path, options.archives, options.small)
            files = pathlib.Path(path).rglob("*") if name == "folder" else [path]
            size = sum(os.path.getsize(file) for file in files) / 2**20
            command = [sys.executable, __file__, "--measure", path]
            output = subprocess.check_output(command, text=True)
            rows.append([name, size, *json.loads(output.splitlines()[-1])])
    print(f"## {options.archives:,} recordings of {options.small} events\n")
    columns = "archive,MiB,index (s),read for it (MiB),memory (MiB),recordings/s"
    print(timing.table(columns.split(","), rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recordings", type=int, default=128)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--step-batch", type=int, default=4, help="0 leaves it out")
    parser.add_argument("--archives", type=int, default=0, help="recordings in each")
    parser.add_argument("--small", type=int, default=200, help="events of these")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure)
    print(timing.setting())
    if options.recordings:
        wanted = training_step(options) if options.step_batch else None
        throughput(options, wanted)
    if options.archives:
        archives(options)


if __name__ == "__main__":
    main()
