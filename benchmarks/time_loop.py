"""How long a training step of LIF neurons takes, and which loop over time is best.

    KERAS_BACKEND=jax python benchmarks/time_loop.py

prints two tables in Markdown:

1. `LIFLayer` beside `keras.layers.RNN` with a cell that does the same.
2. The loop over time unrolled and compiled as a loop, for numbers of steps on both
   sides of the limit in `keras_spiking/ops/time_loop.py`.

A training step is forward and backward: the gradient, with respect to the input,
of the weighted sum of all spikes. Times are medians; candidates take turns, so that
whatever else the machine does meets them alike. The first call includes tracing and
compilation. On a busy machine, `--clock cpu` counts processor time, of all threads,
in place of time on the wall.
"""

import argparse
import itertools
import os
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from keras_spiking import backends
from keras_spiking.layers import LIFLayer

BACKEND = keras.config.backend()
LIMIT = backends.active().unrolled_steps
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
MODES = {
    "jax": {"jit": True},
    "tensorflow": {"graph": False, "XLA": True},
    "torch": {"eager": False, "compiled": True},
}[BACKEND]


class LIFCell(keras.layers.Layer):
    """The step of a `LIFLayer` as a cell for `keras.layers.RNN`."""

    def __init__(self, units):
        super().__init__()
        self.built = True
        self.neuron = LIFLayer(tau=2.0, surrogate="atan")
        self.state_size = units
        self.output_size = units

    def call(self, inputs, states):
        spikes, states = self.neuron.step(inputs, states)
        return spikes, list(states)


def jax_training_step(layer, weight, jit):
    import jax

    step = jax.jit(jax.grad(lambda x: (layer(x) * weight).sum()))
    return lambda x: jax.block_until_ready(step(x))


def tensorflow_training_step(layer, weight, jit):
    import tensorflow as tf

    @tf.function(jit_compile=jit)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) * weight)
        return tape.gradient(loss, x)

    return lambda x: step(x).numpy()


def torch_training_step(layer, weight, jit):
    import torch

    call = torch.compile(layer) if jit else layer

    def step(x):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad((call(x) * weight).sum(), x)
        return gradient

    return step


def measure(candidates, x, repeats, clock):
    """Seconds of the first call, and the median of the others, of each candidate."""
    seconds = [[] for _ in candidates]
    gradients = [None for _ in candidates]
    for _ in range(repeats + 1):
        for i, step in enumerate(candidates):
            started = clock()
            gradients[i] = step(x)
            seconds[i].append(clock() - started)
    gradients = [keras.ops.convert_to_numpy(g) for g in gradients]
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-4)
    return [(s[0], statistics.median(s[1:])) for s in seconds]


def data(batch, timesteps, features):
    shape = (batch, timesteps, features)
    generator = np.random.default_rng(0)
    x = generator.uniform(0, 2, shape).astype("float32")
    weight = generator.normal(size=shape).astype("float32")
    return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(weight)


def lif_step(x, weight, jit, limit=None):
    """A training step of LIF neurons, traced with another limit if one is given."""
    layer = LIFLayer(tau=2.0, surrogate="atan")
    step = globals()[f"{BACKEND}_training_step"](layer, weight, jit)
    if limit is None:
        return step

    def limited(x):
        backends.active().unrolled_steps = limit
        try:
            return step(x)
        finally:
            backends.active().unrolled_steps = LIMIT

    return limited


def rnn_step(x, weight, jit):
    layer = keras.layers.RNN(LIFCell(x.shape[-1]), return_sequences=True)
    return globals()[f"{BACKEND}_training_step"](layer, weight, jit)


def compare(title, candidates, x, timing):
    (first_a, a), (first_b, b) = measure(candidates, x, **timing)
    print(
        f"| {title} | {a * 1e3:.2f} ms | {b * 1e3:.2f} ms | {a / b:.2f} "
        f"| {first_a:.1f} s | {first_b:.1f} s |",
        flush=True,
    )


def compare_with_rnn(modes, batch, timesteps, features, timing):
    x, weight = data(batch, timesteps, features)
    print(f"\n{batch} x {timesteps} x {features}:\n")
    print("| mode | LIFLayer | RNN | LIFLayer / RNN | first LIFLayer | first RNN |")
    print("|---|---|---|---|---|---|")
    for mode in modes:
        jit = MODES[mode]
        candidates = lif_step(x, weight, jit), rnn_step(x, weight, jit)
        compare(mode, candidates, x, timing)


def compare_loops(modes, batch, steps, sizes, timing):
    print(f"\nUnrolled and looped, batch {batch}:\n")
    print(
        "| mode, features, steps | unrolled | loop | unrolled / loop "
        "| first unrolled | first loop |"
    )
    print("|---|---|---|---|---|---|")
    for mode, features, timesteps in itertools.product(modes, sizes, steps):
        x, weight = data(batch, timesteps, features)
        candidates = [
            lif_step(x, weight, MODES[mode], limit=limit) for limit in (timesteps, 0)
        ]
        compare(f"{mode}, {features}, {timesteps}", candidates, x, timing)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--timesteps", type=int, default=64)
    parser.add_argument("--features", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--steps", nargs="+", type=int, default=[4, 8, 16, 32, 64])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 4096])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--only", choices=("rnn", "loops"))
    arguments = parser.parse_args()
    timing = {"repeats": arguments.repeats, "clock": CLOCKS[arguments.clock]}
    print(f"{BACKEND}, {arguments.clock} time, medians of {arguments.repeats} calls")
    common = arguments.modes, arguments.batch
    if arguments.only != "loops":
        compare_with_rnn(*common, arguments.timesteps, arguments.features, timing)
    if arguments.only != "rnn" and LIMIT is not None:
        compare_loops(*common, arguments.steps, arguments.sizes, timing)


if __name__ == "__main__":
    main()
