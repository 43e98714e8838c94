"""What models leave behind: memory of many models and of many fits, time to build.

    KERAS_BACKEND=torch python benchmarks/lifetime.py

Prints the time to build and first call a network of 50 LIF layers (kernels of an equal
layer are in the cache), the resident memory before and after `--count` models that were
built, called and dropped, before and after as many fits of one model, and before and
after `--steps` training steps of it.
"""

import argparse
import gc
import time

import keras
import numpy as np
import timing

from keras_spiking import layers
from keras_spiking.backends.kernels import library as libraries

X = np.random.default_rng(0).uniform(size=(8, 6, 32)).astype("float32")


def deep(different):
    """Seconds of the processor for 50 layers, with equal or different constants."""
    started = time.process_time()
    lif = [layers.LIFLayer(tau=2.0 + different * i) for i in range(50)]
    keras.Sequential([keras.Input(X.shape[1:]), *lif])(X)
    return time.process_time() - started


def model(i=0):
    return keras.Sequential(
        [
            keras.Input(X.shape[1:]),
            layers.SeqToBatch(keras.layers.Dense(32)),
            layers.LIFLayer(tau=2.0 + i / 100),
            layers.ALIFLayer(v_threshold=0.5 + i / 1000),
            layers.FiringRate(),
        ]
    )


def growth(run, count):
    """Resident memory in MB before and after, once a few runs have warmed up."""
    for i in range(30):
        run(i)
    resident = []
    for runs in (0, count):
        for i in range(runs):
            run(i)
        gc.collect()
        with open("/proc/self/statm") as file:
            resident.append(int(file.read().split()[1]) * 4096 / 1e6)
    return [*resident, resident[1] / resident[0]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--steps", type=int, default=10_000)
    chosen = parser.parse_args()
    count = chosen.count
    layers.LIFLayer()(X)
    print(timing.setting())
    rows = [["equal", deep(0.0)], ["different", deep(0.01)]]
    print(timing.table(["50 LIF layers, constants", "build and first call (s)"], rows))
    rows = [[f"{count} models", *growth(lambda i: model(i)(X), count)]]
    if keras.config.backend() != "numpy":
        trained = model()
        trained.compile("adam", "mse")
        y = np.zeros((len(X), 32))
        fit = growth(lambda i: trained.fit(X, y, verbose=0), count)
        rows.append([f"{count} fits of one model", *fit])
        many, targets = np.tile(X, (100, 1, 1)), np.tile(y, (100, 1))
        epochs = {"batch_size": len(X), "verbose": 0}
        steps = growth(
            lambda i: trained.fit(many, targets, **epochs), chosen.steps // 100
        )
        rows.append([f"{chosen.steps:,} steps", *steps])
    print(timing.table(["", "before (MB)", "after (MB)", "after / before"], rows))
    alive = [x for x in gc.get_objects() if isinstance(x, layers.TemporalLayer)]
    print(f"Layers alive: {len(alive)}; libraries: {len(libraries._libraries)}")


if __name__ == "__main__":
    main()
