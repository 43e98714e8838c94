"""Benchmarks of generated data: Yin-Yang, words of delays, Randman, adding.

    KERAS_BACKEND=torch python benchmarks/generated_tasks.py [task ...]

The tasks are `yin_yang`, `delayed_keywords`, `randman` and `adding`, for which the
number is the mean squared error. Results: `benchmarks/results/generated_tasks.md`.
"""

import argparse
import sys
import time

import keras
import numpy as np

from keras_spiking import datasets
from keras_spiking import layers

SHARED = {"surrogate": "atan", "detach_reset": True}


def lif(units, seed):
    random = np.random.default_rng(seed)
    tau = random.uniform(5.0, 25.0, units)
    return layers.LIFLayer(tau, learnable="tau", **SHARED)


def se_adlif(units, seed):
    random = np.random.default_rng(seed)
    return layers.SEAdLIFLayer(
        random.uniform(5.0, 25.0, units),
        tau_w=random.uniform(60.0, 300.0, units),
        a=random.uniform(0.0, 1.0, units),
        b=random.uniform(0.0, 2.0, units),
        learnable=["tau", "tau_w", "a", "b"],
        **SHARED,
    )


def fast_lif(units, seed):
    tau = np.geomspace(2.0, 20.0, units).astype("float32")
    options = {"decay_input": False, "v_reset": None, "learnable": "tau"}
    return layers.LIFLayer(tau, **options, **SHARED)


def sequences(shape, neurons, units, outputs, gain, seed, reduce="last"):
    normal = keras.initializers.RandomNormal(stddev=gain, seed=seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Dense(units, kernel_initializer=normal),
            neurons(units, seed),
            keras.layers.Dense(outputs),
            layers.LILayer(20.0, reduce=reduce),
        ]
    )


def train(model, data, loss, metric, epochs, rate, batch_size):
    x, y = data["train"]
    steps = epochs * -(-len(x) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    model.compile(optimizer, loss, metrics=[metric])
    start = time.process_time()
    model.fit(x, y, batch_size, epochs=epochs, verbose=0)
    seconds = time.process_time() - start
    return model.evaluate(*data["test"], verbose=0)[1], seconds


def splits(function, sizes, seed, **options):
    names = ("train", "test")
    return {
        name: function(size, split=name, seed=seed, **options)
        for name, size in zip(names, sizes)
    }


def classification(model, data, epochs, rate, batch_size):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return train(model, data, loss, "accuracy", epochs, rate, batch_size)


def yin_yang(seed):
    data = splits(datasets.yin_yang, (5000, 1000), seed)
    units, timesteps = 60, 20
    normal = keras.initializers.RandomNormal(stddev=3.0, seed=seed)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.DirectEncoder(timesteps),
            keras.layers.Dense(units, kernel_initializer=normal),
            fast_lif(units, seed),
            keras.layers.Dense(3),
            layers.LILayer(10.0, decay_input=False, reduce="mean"),
        ]
    )
    yield "LIF, 4-60-3", classification(model, data, 40, 2e-2, 200)


def delayed_keywords(seed):
    data = splits(datasets.delayed_keywords, (2000, 1000), seed)
    for name, neurons in (("LIF", lif), ("SE-adLIF", se_adlif)):
        model = sequences((60, 20), neurons, 64, 10, 4.0, seed)
        yield f"{name}, 20-64-10", classification(model, data, 10, 1e-2, 50)


def randman(seed):
    data = splits(datasets.randman, (2000, 1000), seed)
    for name, neurons in (("LIF", lif), ("SE-adLIF", se_adlif)):
        model = sequences((100, 20), neurons, 64, 10, 8.0, seed, reduce="mean")
        yield f"{name}, 20-64-10", classification(model, data, 15, 1e-2, 50)


def adding(seed):
    data = splits(datasets.adding_problem, (2000, 1000), seed, timesteps=40)
    for name, neurons in (("LIF", lif), ("SE-adLIF", se_adlif)):
        model = sequences((40, 2), neurons, 64, 1, 8.0, seed)
        yield f"{name}, 2-64-1", train(model, data, "mse", "mse", 20, 5e-3, 50)


TASKS = {f.__name__: f for f in (yin_yang, delayed_keywords, randman, adding)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*", metavar="task", help=f"of {[*TASKS]}")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(TASKS):
        parser.error(f"unknown tasks {sorted(unknown)}: known are {[*TASKS]}")
    seeds = "".join(f" {seed} |" for seed in range(options.seeds))
    print(f"| task | network |{seeds} mean | processor time |")
    print(f"| --- | --- |{' --- |' * (options.seeds + 2)}")
    for task in options.tasks or TASKS:
        form = "{:.4f}" if task == "adding" else "{:.1%}"
        results = []
        for seed in range(options.seeds):
            results.append(dict(TASKS[task](seed)))
            print(f"{task}, seed {seed}: {results[-1]}", file=sys.stderr, flush=True)
        for network in results[0]:
            scores, seconds = zip(*(r[network] for r in results))
            cells = [form.format(value) for value in [*scores, np.mean(scores)]]
            row = " | ".join([task, network, *cells, f"{sum(seconds):.0f} s"])
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
