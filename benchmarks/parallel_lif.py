"""LIF with its time steps in parallel, against the loop over time.

    KERAS_BACKEND=jax python benchmarks/parallel_lif.py [--digits]

Everything takes turns in one process. "Loop" is the reference in `keras.ops`, which
is `lax.scan` on JAX; "fused" is the kernel that serves by default on a CPU. With
`--digits`, networks learn digits one pixel at a time, as in
`guides/sequential_digits.py`, with either implementation.
"""

import argparse

import keras
import numpy as np
import timing
from neurons import BACKEND
from neurons import ours
from neurons import random_sequences
from neurons import runs_of

import keras_spiking
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import LILayer
from keras_spiking.layers import ParallelLIFLayer


def compare(timesteps, options):
    shape = (options.batch, timesteps, options.features)
    x, g = random_sequences(shape)
    arguments = dict(tau=options.tau, surrogate="atan", decay_input=False)
    parallel = ParallelLIFLayer(chunk_length=options.chunk_length, **arguments)
    entrants = {
        "parallel": ours(parallel, "never"),
        "loop": ours(LIFLayer(**arguments), "never"),
        "fused": ours(LIFLayer(**arguments), "always"),
    }
    runs = {}
    for name, function in entrants.items():
        runs[name, "forward"], runs[name, "both"], _ = runs_of(function, x, g)
    times = timing.take_turns(runs, options.rounds)
    return [
        [timesteps, name, forward, both]
        + [
            times["parallel", "forward"] / forward,
            times["parallel", "both"] / both,
        ]
        for name in entrants
        for forward, both in [(times[name, "forward"], times[name, "both"])]
    ]


def network(neurons, timesteps, units=64):
    """Two layers of neurons of many time constants, and leaky integrators."""
    time_constants = np.geomspace(2.0, 64.0, units).astype("float32")
    stack = [keras.Input((timesteps, 1))]
    for _ in range(2):
        stack += [
            keras.layers.Dense(units, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
            neurons(
                time_constants,
                learnable={"tau": "channel"},
                decay_input=False,
                surrogate="atan",
                detach_reset=True,
            ),
        ]
    return keras.Sequential(
        [*stack, keras.layers.Dense(10), LILayer(20.0, reduce="last")]
    )


def compare_digits(epochs, seed):
    """Prints accuracies of networks that learned, and answer, with either."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = (digits.data / 16.0).astype("float32")[..., np.newaxis]
    x_train, x_test, y_train, y_test = train_test_split(
        pixels, digits.target, test_size=0.2, stratify=digits.target, random_state=seed
    )
    keras_spiking.config.set_fused("never")
    layers = {
        "LIFLayer": LIFLayer,
        "ParallelLIFLayer": lambda *args, **kwargs: ParallelLIFLayer(
            *args, chunk_length=16, **kwargs
        ),
    }
    rows = []
    for learner in layers:
        models = {}
        for name, neurons in layers.items():
            keras.utils.set_random_seed(seed)  # all start, and shuffle, alike
            models[name] = network(neurons, pixels.shape[1])
        model = models[learner]
        steps = epochs * -(-len(x_train) // 32)
        model.compile(
            keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, steps)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.fit(x_train, y_train, 32, epochs=epochs, verbose=0)
        answers = []
        for other in models.values():
            other.set_weights(model.get_weights())
            answers.append(other.predict(x_test, verbose=0).argmax(-1))
        accuracies = [f"{np.mean(answer == y_test):.1%}" for answer in answers]
        rows.append([learner, *accuracies, int(np.sum(answers[0] != answers[1]))])
    columns = ["learned with", *(f"answers with {n}" for n in layers), "that differ"]
    print(f"\n### Digits, {BACKEND}, {epochs} epochs, seed {seed}\n")
    print(timing.table(columns, rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--timesteps", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--tau", type=float, default=2.0)
    parser.add_argument("--chunk-length", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--digits", action="store_true")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.digits:
        print(timing.setting())
        return compare_digits(options.epochs, options.seed)
    rows = [row for t in options.timesteps for row in compare(t, options)]
    columns = [
        "time steps",
        "implementation",
        "forward (ms)",
        "forward + backward (ms)",
        "parallel / this, forward",
        "parallel / this, forward + backward",
    ]
    print(timing.setting())
    sizes = f"{options.batch} x time x {options.features}"
    title = f"LIF, tau {options.tau:g}, chunks of {options.chunk_length} steps"
    print(f"\n### {title}, {BACKEND}, {sizes}, float32\n")
    print(timing.table(columns, rows))


if __name__ == "__main__":
    main()
