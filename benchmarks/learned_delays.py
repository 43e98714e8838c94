"""Tasks that need delays: with learned, random and without delays of synapses.

Neurons forget within a few steps, and what has to be compared is further apart.

- `xor`: one of two inputs fires, 20 steps later one of two others: were they
  different?
- `rhythm`: three groups of inputs fire one after the other, as syllables do, with
  pauses of 8 or 14 steps; each input is up to a step early or late, or misses. Which of
  the four rhythms was it?

    OMP_NUM_THREADS=1 KERAS_BACKEND=torch python benchmarks/learned_delays.py
"""

import argparse

import keras
import numpy as np

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking import utils

TIMESTEPS, MAX_DELAY = 40, 30


def delayed_xor(samples, seed):
    random = np.random.default_rng(seed)
    first, second = random.integers(2, size=(2, samples))
    start = random.integers(6, size=samples)
    spikes = np.zeros((samples, TIMESTEPS, 4), "float32")
    spikes[np.arange(samples), start, first] = 1.0
    spikes[np.arange(samples), start + 20, 2 + second] = 1.0
    return spikes, first ^ second


def rhythm(samples, seed, width=5):
    random = np.random.default_rng(seed)
    pauses = random.integers(2, size=(samples, 2))
    times = np.cumsum(8 + 6 * pauses, axis=1)
    times = np.concatenate([np.zeros_like(times[:, :1]), times], axis=1)
    times = times + random.integers(1, 10, size=(samples, 1))
    times = np.repeat(times, width, axis=1)
    times = times + random.integers(-1, 2, size=times.shape)
    spikes = np.zeros((samples, TIMESTEPS, 3 * width), "float32")
    inputs = np.arange(3 * width)
    spikes[np.arange(samples)[:, None], times, inputs] = 1.0
    spikes *= random.uniform(size=(samples, 1, 3 * width)) > 0.1
    return spikes, 2 * pauses[:, 0] + pauses[:, 1]


# Data, number of classes and the largest initial weight.
TASKS = {"xor": (delayed_xor, 2, 1.0), "rhythm": (rhythm, 4, 0.4)}


def accuracies(task, kind, seed, options):
    """In %: before and after rounding, decisions that it changed, and at the end.

    After three quarters of the epochs delays are rounded; weights learn on.
    """
    keras.utils.set_random_seed(seed)
    make, classes, largest = TASKS[task]
    x, y = make(options.samples, 2 * seed)
    test = make(options.samples // 2, 2 * seed + 1)
    weights = keras.initializers.RandomUniform(0.0, largest)
    if kind == "none":
        synapses = keras.layers.Dense(options.units, kernel_initializer=weights)
    else:
        synapses = layers.DelayedDense(
            options.units,
            max_delay=MAX_DELAY,
            round_at_inference=False,
            kernel_initializer=weights,
        )
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            synapses,
            layers.LIFLayer(
                2.0, decay_input=False, v_reset=None, surrogate="atan", name="neurons"
            ),
            keras.layers.Dense(classes),
            layers.FiringRate(),
        ]
    )
    if kind == "random":
        synapses.delay.trainable = False
    steps = options.epochs * -(-options.samples // 50)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(options.rate, steps, alpha=0.1)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def fit(first, last, *callbacks):
        model.fit(
            x,
            y,
            batch_size=50,
            initial_epoch=first,
            epochs=last,
            callbacks=list(callbacks),
            verbose=0,
        )
        return 100.0 * model.evaluate(*test, verbose=0)[1]

    if kind == "none":
        return fit(0, options.epochs), *[float("nan")] * 3
    learned = round(0.75 * options.epochs)
    trained = fit(0, learned, callbacks.DelayAnnealing(learned // 2))
    report = utils.round_delays(model, test[0])
    rounded = 100.0 * model.evaluate(*test, verbose=0)[1]
    whole = callbacks.DelayAnnealing(learned, round_delays=True)
    tuned = fit(learned, options.epochs, whole)
    return trained, rounded, 100.0 * report.changed_decisions, tuned


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    kinds = ["learned", "random", "none"]
    parser.add_argument("--delays", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.03)
    options = parser.parse_args()
    print(
        "| task | delays | seed | trained | rounded | decisions changed | trained on |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for task in options.tasks:
        for kind in options.delays:
            for seed in options.seeds:
                found = accuracies(task, kind, seed, options)
                cells = " | ".join(f"{value:.1f}" for value in found)
                print(f"| {task} | {kind} | {seed} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
