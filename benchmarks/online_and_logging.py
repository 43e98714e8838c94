"""Cost of FiringRateLogger, and memory and accuracy of online training.

KERAS_BACKEND=jax python benchmarks/online_and_logging.py overhead
KERAS_BACKEND=jax python benchmarks/online_and_logging.py memory
KERAS_BACKEND=jax python benchmarks/online_and_logging.py accuracy mnist10k.npz
"""

import resource
import subprocess
import sys
import time

import keras
import numpy as np

import keras_spiking
from keras_spiking import layers
from keras_spiking import online


def overhead(rounds=200):
    """Ratio of the times of a training step with and without, taking turns."""
    x = np.random.rand(32, 16, 784).astype("float32")
    y = np.zeros((32, 10), "float32")
    models = {"plain": wide_model(), "logger": wide_model()}
    logger = keras_spiking.callbacks.FiringRateLogger()
    logger.set_model(models["logger"])
    logger.on_train_begin()
    times = {name: [] for name in models}
    for i in range(int(rounds) + 5):
        for name in sorted(models, reverse=i % 2):
            start = time.perf_counter()
            models[name].train_on_batch(x, y)
            times[name].append(time.perf_counter() - start)
    plain, logger = (np.asarray(times[name][5:]) for name in ("plain", "logger"))
    print(f"medians: {np.median(plain):.4f} s plain, {np.median(logger):.4f} s logger")
    print(f"ratio of medians {np.median(logger) / np.median(plain):.3f}")
    ratios = np.percentile(logger / plain, (25, 50, 75))
    print("quartiles of the ratio of neighbours", *(f"{r:.3f}" for r in ratios))


def wide_model():
    model = keras.Sequential(
        [
            keras.Input((16, 784)),
            keras.layers.Dense(512),
            layers.LIFLayer(),
            keras.layers.Dense(512),
            layers.LIFLayer(),
            layers.FiringRate(),
            keras.layers.Dense(10),
        ]
    )
    model.compile("adam", "mse")
    return model


def stack():
    keras.utils.set_random_seed(0)
    return [
        keras.layers.Dense(128),
        layers.LIFLayer(surrogate="atan"),
        keras.layers.Dense(128),
        layers.LIFLayer(surrogate="atan"),
        keras.layers.Dense(10),
    ]


METHODS = {
    "BPTT": lambda timesteps: layers.StepByStep(stack(), timesteps, "mean"),
    "SLTT": lambda timesteps: online.SLTT(stack(), timesteps),
    "OTTT": lambda timesteps: online.OTTT(stack(), timesteps),
    "FPTT": lambda timesteps: online.FPTT(stack(), timesteps),
    "EProp": lambda timesteps: online.EProp(stack(), timesteps=timesteps),
}


def compiled(method, timesteps):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = METHODS[method](timesteps)
    if method == "BPTT":
        model = keras.Sequential([keras.Input((784,)), model])
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def peak(method, timesteps):
    """Peak memory of the process before and after the first training steps."""
    model = compiled(method, timesteps)
    # e-prop needs memory for each synapse and sample.
    batch_size = 32 if method == "EProp" else 256
    x = np.random.rand(2 * batch_size, 784).astype("float32")
    y = np.zeros(2 * batch_size, "int32")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.fit(x, y, batch_size, verbose=0)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(before / 1024, after / 1024)


def memory(*methods):
    """What training adds to the peak memory of a process of its own."""
    for method in methods or METHODS:
        added = {}
        for timesteps in (20, 200):
            command = [sys.executable, __file__, "peak", method, str(timesteps)]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            before, after = map(float, result.stdout.split()[-2:])
            added[timesteps] = after - before
            print(
                f"{method} T={timesteps}: {after:.0f} MiB at most, "
                f"{after - before:.0f} MiB of it by training",
                flush=True,
            )
        print(f"{method} ratio of what training adds {added[200] / added[20]:.2f}")


def accuracy(path, timesteps=8, epochs=2):
    with np.load(path) as file:
        data = {name: file[name] for name in file}
    x_train, x_test = (
        data[name].reshape(-1, 784).astype("float32") / 255.0
        for name in ("x_train", "x_test")
    )
    for method in METHODS:
        model = compiled(method, timesteps)
        start = time.perf_counter()
        model.fit(x_train, data["y_train"], 64, epochs, verbose=0)
        seconds = time.perf_counter() - start
        _, result = model.evaluate(x_test, data["y_test"], verbose=0)
        print(
            f"{method}: {result:.2%} of the test digits after {epochs} epochs of "
            f"{len(x_train)} digits, T={timesteps}, {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "peak":
        peak(arguments[0], int(arguments[1]))
    else:
        {"overhead": overhead, "memory": memory, "accuracy": accuracy}[task](*arguments)
