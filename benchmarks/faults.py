"""A training of 10,000 steps with a fault every 50, and one without, end in the same.

    KERAS_BACKEND=torch python benchmarks/faults.py

Each attempt is a process that goes on with `--resume` where the one before it ended.
Prints what each kind of fault did, whether checkpoint, table and report equal those of
the training without faults, bit for bit, what is left on the disk, and how the resident
memory of that training grew.
"""

import argparse
import collections
import contextlib
import errno
import filecmp
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback

import keras
import numpy as np
import timing

from keras_spiking import layers
from keras_spiking.backends.kernels import cache
from keras_spiking.backends.kernels import compiler
from keras_spiking.files import claimed
from keras_spiking.models import options
from keras_spiking.train import checkpoint
from keras_spiking.train import progress
from keras_spiking.train import run  # noqa: F401  children find it imported
from keras_spiking.train.__main__ import main as train

STEPS_AN_EPOCH = 100
BATCH = 8


def tiny(input_shape, *, classes=3, timesteps=3, return_sequences=False, **_):
    dense = [keras.layers.Flatten(), keras.layers.Dense(16)]
    stack = [
        layers.DirectEncoder(timesteps),
        layers.SeqToBatch([*dense, keras.layers.BatchNormalization()]),
        layers.LIFLayer(surrogate="atan"),
        keras.layers.Dropout(0.1),
        keras.layers.Dense(classes),
        layers.FiringRate(),
    ]
    inputs = x = keras.Input(input_shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x, name="tiny")


def write_images(path):
    """80 % of them are a hundred batches."""
    rng = np.random.default_rng(0)
    count = STEPS_AN_EPOCH * BATCH * 5 // 4
    y = np.arange(count) % 3
    x = rng.integers(0, 128, (count, 5, 6))
    x[np.arange(count), y] += 127
    np.savez(path, x=x.astype("uint8"), y=y)


# Faults. Each takes the place of something until the process ends.


def at_step(steps, function):
    """Calls a function at the beginning of a step of this process."""
    left = steps

    def begin(self, batch, logs=None):
        nonlocal left
        left -= 1
        if left == 0:
            function()

    progress.MoreLogs.on_train_batch_begin = begin


def send(number):
    return lambda: os.kill(os.getpid(), number)


die = send(signal.SIGKILL)


def killed(steps):
    at_step(steps, die)


def terminated(steps):
    at_step(steps, send(signal.SIGTERM))


def interrupted(steps):
    at_step(steps, send(signal.SIGINT))


def killed_in_saving(steps):
    def save(file, **arrays):
        file.write(b"half")
        file.flush()
        die()

    def begin():
        checkpoint.savez = save

    at_step(steps, begin)


def full_disk(steps):
    def save(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def begin():
        checkpoint.savez = save

    at_step(steps, begin)


def killed_in_the_compiler(steps):
    for path in cache.folder().glob("*"):
        path.unlink()
    compiler._run = lambda command, folder: die()


def damaged_kernels(steps):
    for path in cache.folder().glob("*.so"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    killed(steps)


def foreign_kernels(steps):
    cache._user = lambda: os.geteuid() + 12345
    killed(steps)


def full_cache(steps):
    replace = os.replace

    def full(source, target):
        if str(target).endswith(".so"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    for path in cache.folder().glob("*"):
        path.unlink()
    os.replace = full
    killed(steps)


def full_temporary_folder(steps):
    here, is_fit = tempfile.gettempdir(), compiler._is_fit
    compiler._is_fit = lambda place: place != here and is_fit(place)
    killed(steps)


def clock_set_back(steps):
    now = time.time
    at_step(steps // 2, lambda: setattr(time, "time", lambda: now() - 86400.0))
    begin = progress.MoreLogs.on_train_batch_begin
    killed(steps)
    end = progress.MoreLogs.on_train_batch_begin

    def both(self, batch, logs=None):
        begin(self, batch)
        end(self, batch)

    progress.MoreLogs.on_train_batch_begin = both


def second_process(steps):
    """It is refused; the first one goes on, and is then killed."""

    def start():
        process = os.fork()
        if not process:
            with contextlib.suppress(BlockingIOError), claimed(OUTPUT):
                os._exit(0)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 2
        die()

    at_step(steps, start)


FAULTS = {
    "SIGKILL in a step": killed,
    "SIGKILL half way through a checkpoint": killed_in_saving,
    "SIGTERM, as of a cluster": terminated,
    "SIGINT, as of Ctrl-C": interrupted,
    "no space for a checkpoint": full_disk,
    "SIGKILL in the compiler": killed_in_the_compiler,
    "kernels in the cache cut in half": damaged_kernels,
    "cache of kernels of another user": foreign_kernels,
    "no space for kernels in the cache": full_cache,
    "no space in the temporary folder": full_temporary_folder,
    "clock set back by a day": clock_set_back,
    "a second process for the same folder": second_process,
}


# Attempts.


def in_child(function, log):
    """The exit code of a child that runs a function, minus the signal that ended it."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    code = 1
    try:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
        code = function()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def arguments(output, epochs):
    return [
        *f"--model tiny --data images.npz --output {output} --epochs {epochs}".split(),
        *f"--batch-size {BATCH} --save-steps 10 --augmentation flip --ema 0.9".split(),
        "--no-firing-rates",
    ]


def position(folder):
    """How many steps the checkpoint of a training is after."""
    try:
        with np.load(folder / "checkpoint.npz") as file:
            state = json.loads(str(file["state"]))
    except FileNotFoundError:
        return 0
    return state["epoch"] * STEPS_AN_EPOCH + state["step"]


OUTPUT = pathlib.Path("faults")


def with_faults(epochs, every, log):
    """Trains with faults; returns a row of numbers for each kind."""
    told = {name: collections.Counter() for name in FAULTS}
    names, code = [], None
    while position(OUTPUT) < epochs * STEPS_AN_EPOCH:
        name = list(FAULTS)[len(names) % len(FAULTS)]
        resume = ["--resume"] if (OUTPUT / "recipe.json").exists() else []

        def attempt(name=name, resume=resume):
            FAULTS[name](every)
            return train([*arguments(OUTPUT, epochs), *resume])

        before = position(OUTPUT)
        code = in_child(attempt, log)
        names.append(name)
        told[name].update({"times": 1, "kept": position(OUTPUT) - before})
        told[name][f"code {code}"] += 1
    if code:  # the network and the report are still to be written
        code = in_child(lambda: train([*arguments(OUTPUT, epochs), "--resume"]), log)
    rows = []
    for name, counts in told.items():
        codes = [key[5:] for key in counts if key.startswith("code ")]
        rows.append([name, counts["times"], ", ".join(codes), counts["kept"]])
    return rows, len(names), code


def without_faults(epochs, log):
    """Trains without; returns resident memory in MB after each tenth of the steps."""
    resident, steps = [], 0
    marks = epochs * STEPS_AN_EPOCH // 10

    def begin(self, batch, logs=None):
        nonlocal steps
        steps += 1
        if steps % marks == 0 or steps == marks // 2:
            with open("/proc/self/statm") as file:
                resident.append(int(file.read().split()[1]) * 4096 / 1e6)

    def whole():
        progress.MoreLogs.on_train_batch_begin = begin
        code = train(arguments("whole", epochs))
        pathlib.Path("resident.json").write_text(json.dumps(resident))
        return code

    if code := in_child(whole, log):
        sys.exit(
            f"The training without faults ended with {code}:\n{open('log').read()}"
        )
    return json.loads(pathlib.Path("resident.json").read_text())


def differences():
    """Names of what differs between both trainings."""
    whole, found = pathlib.Path("whole"), []
    for name in ("history.csv", "report.json"):
        if not filecmp.cmp(whole / name, OUTPUT / name, shallow=False):
            found.append(name)
    name = "checkpoint.npz"
    with np.load(whole / name) as a, np.load(OUTPUT / name) as b:
        found += sorted({*a} ^ {*b})
        found += [key for key in {*a} & {*b} if (a[key] != b[key]).any()]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=50)
    chosen = parser.parse_args()
    epochs = chosen.steps // STEPS_AN_EPOCH
    options.networks["Tiny"] = tiny
    with contextlib.suppress(ImportError):
        import tensorflow  # noqa: F401  Keras does in `fit`; children find it imported
    setting = timing.setting()
    # Shells have what they start in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        temporary = pathlib.Path(folder, "temporary")
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)
        os.environ["KERAS_SPIKING_CACHE"] = str(pathlib.Path(folder, "kernels"))
        tempfile.tempdir = None
        write_images("images.npz")
        with open("log", "w") as log:
            started = time.monotonic()
            resident = without_faults(epochs, log)
            rows, attempts, code = with_faults(epochs, chosen.every, log)
        print(setting)
        print(f"\n{epochs * STEPS_AN_EPOCH} steps, {attempts} attempts, ", end="")
        print(f"{time.monotonic() - started:.0f} s, last exit code {code}\n")
        columns = ["fault", "times", "exit codes", "steps kept"]
        print(timing.table(columns, rows))
        print(
            f"Different from the training without faults: {differences() or 'nothing'}"
        )
        left = {
            name: sorted(path.name for path in pathlib.Path(name).iterdir())
            for name in ("faults", "kernels", "temporary")
        }
        for name, files in left.items():
            print(f"Left in {name}: {', '.join(files) or 'nothing'}")
        numbers = ", ".join(f"{n:.1f}" for n in resident)
        print(f"Resident memory (MB) after 5, 10, 20 ... 100 % of the steps: {numbers}")
        print(f"Growth: {100 * (resident[-1] / resident[0] - 1):.2f} %")
        os.chdir("/")


if __name__ == "__main__":
    main()
