"""How long neurons remember: a cue is told after a delay.

One of some groups of inputs fires more than the others for a few steps; then all are
noise alike. A network of one hidden layer says which it was, from its last steps alone.
Both kinds of neurons have the same weights around them, the same surrogate and reset,
and learn their time constants, from the same ranges.

    KERAS_BACKEND=torch python benchmarks/delay.py
"""

import argparse

import keras
import numpy as np

from keras_spiking import layers

CLASSES, WIDTH, CUE, READ = 5, 4, 10, 10


def cue_after_delay(samples, delay, seed):
    """Spikes `(samples, CUE + delay + READ, CLASSES * WIDTH)` and the cues."""
    random = np.random.default_rng(seed)
    labels = random.integers(CLASSES, size=samples)
    rate = np.full((samples, CUE + delay + READ, CLASSES, WIDTH), 0.05)
    rate[np.arange(samples), :CUE, labels] = 0.5
    spikes = random.uniform(size=rate.shape) < rate
    return spikes.reshape(*rate.shape[:2], -1).astype("float32"), labels


def hidden(kind, units, seed):
    random = np.random.default_rng(seed)
    shared = {"surrogate": "super_spike", "detach_reset": True}
    tau = random.uniform(5.0, 25.0, units)
    if kind == "LIF":
        return layers.LIFLayer(tau, learnable="tau", **shared)
    return layers.SEAdLIFLayer(
        tau,
        tau_w=random.uniform(60.0, 300.0, units),
        a=random.uniform(0.0, 1.0, units),
        b=random.uniform(0.0, 2.0, units),
        learnable=["tau", "tau_w", "a", "b"],
        **shared,
    )


def accuracy(kind, delay, seed, options):
    keras.utils.set_random_seed(seed)
    train = cue_after_delay(options.samples, delay, seed)
    test = cue_after_delay(options.samples // 2, delay, seed + 1000)
    gain = keras.initializers.RandomNormal(stddev=options.gain, seed=seed)
    model = keras.Sequential(
        [
            keras.Input(train[0].shape[1:]),
            keras.layers.Dense(options.units, kernel_initializer=gain),
            hidden(kind, options.units, seed),
            keras.layers.Cropping1D((CUE + delay, 0)),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.compile(
        keras.optimizers.Adam(options.rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(*train, batch_size=100, epochs=options.epochs, verbose=0)
    return 100.0 * model.evaluate(*test, verbose=0)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--delays", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--gain", type=float, default=4.0)
    options = parser.parse_args()
    print(f"| delay | neurons | {' | '.join(map(str, range(options.seeds)))} | mean |")
    print(f"| --- | --- |{' --- |' * (options.seeds + 1)}")
    for delay in options.delays:
        for kind in ("LIF", "SE-adLIF"):
            found = [accuracy(kind, delay, s, options) for s in range(options.seeds)]
            cells = " | ".join(f"{value:.1f}" for value in [*found, np.mean(found)])
            print(f"| {delay} | {kind} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
