"""How long neurons take over a sequence: fused, in `keras.ops`, and in peers.

    KERAS_BACKEND=jax python benchmarks/neurons.py

Spyx (JAX) and SpikingJelly (PyTorch) take part where they are installed. They get
their own layout, time first, and everything takes turns in one process. The
copies tell how long the memory takes: forward and backward of LIF read the input,
write the spikes and what is saved, read the gradient and what was saved, and write
the gradient, which is as much as three copies of a sequence.
"""

import argparse
import json
import multiprocessing.pool
import os
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import peers
import timing
from keras import ops

import keras_spiking

BACKEND = keras.config.backend()


class AdaptiveLIF(keras_spiking.layers.SpikingLayer):
    """LIF whose threshold rises with every spike: a neuron with two states."""

    def step(self, x, states):
        v, a = states
        h = v + (x - v) / 2.0
        spikes = self.surrogate(h - self.v_threshold - a)
        return spikes, (self.reset(h, spikes), 0.9 * a + 0.1 * spikes)

    def get_initial_state(self, x):
        return (ops.zeros_like(x), ops.zeros_like(x))


def lif(dtype="float32"):
    return keras_spiking.layers.LIFLayer(tau=2.0, surrogate="atan", dtype=dtype)


def two_states(dtype="float32"):
    return AdaptiveLIF(surrogate="atan", dtype=dtype)


def ours(layer, mode):
    def call(x):
        keras_spiking.config.set_fused(mode)
        return layer(x)

    return call


def spyx(features):
    import spyx.nn

    neuron = peers.spyx((features,))
    return lambda x: spyx.nn.run(neuron, x)[0]


def contestants(layer, with_peers, features):
    """`{name: (function of a sequence, whether time comes first)}`."""
    layer.build((None, None, features))
    found = {
        "fused": (ours(layer, "always"), False),
        "reference": (ours(layer, "never"), False),
    }
    if with_peers:
        makers = {"jax": lambda: {"Spyx": lambda: spyx(features)}, "torch": peers.torch}
        others = peers.installed(makers.get(BACKEND, dict)())
        found.update((name, (other, True)) for name, other in others.items())
    return found


def jax_runs(function, x, g):
    import jax

    forward = jax.jit(function)

    def both(x, g):
        spikes, pullback = jax.vjp(function, x)
        return pullback(g)[0], spikes

    # In a network the gradient of the spikes is of no use after the neurons: JAX
    # gives its memory to the first result of its shape.
    both = jax.jit(both, donate_argnums=1)
    kept = jax.tree.leaves(jax.eval_shape(lambda x: jax.vjp(function, x)[1], x))
    return (
        timing.Run(lambda: jax.block_until_ready(forward(x))),
        timing.Run(
            lambda g: jax.block_until_ready(both(x, g)),
            lambda: (jax.block_until_ready(jax.numpy.copy(g)),),
        ),
        sum(leaf.size * leaf.dtype.itemsize for leaf in kept) / x.nbytes,
    )


def torch_runs(function, x, g):
    import torch

    x = x.requires_grad_()

    def forward():
        with torch.no_grad():
            function(x)
        wait()

    def both():
        x.grad = None
        function(x).backward(g)
        wait()

    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        spikes = function(x)
        del spikes
    return timing.Run(forward), timing.Run(both), sum(kept.values()) / g.nbytes


def tensorflow_runs(function, x, g):
    import tensorflow as tf

    @tf.function
    def forward(x):
        return function(x)

    @tf.function
    def both(x, g):
        with tf.GradientTape() as tape:
            tape.watch(x)
            spikes = function(x)
        return spikes, tape.gradient(spikes, x, g)

    return (
        timing.Run(lambda: forward(x)[0, 0, 0].numpy()),
        timing.Run(lambda: both(x, g)[1][0, 0, 0].numpy()),
        "not measured",
    )


RUNS = {"jax": jax_runs, "torch": torch_runs, "tensorflow": tensorflow_runs}


def random_sequences(shape):
    """An input and a gradient of the spikes, as NumPy arrays."""
    random = np.random.default_rng(0)
    x = random.standard_normal(shape, dtype="float32") + np.float32(0.5)
    return x, random.standard_normal(shape, dtype="float32")


def runs_of(function, x, g, dtype="float32"):
    """Runs of a function of sequences, forward and with its gradient.

    Returns:
        Two `timing.Run`s, and how many sequences are kept between both ways.
    """
    arrays = [ops.convert_to_tensor(np.ascontiguousarray(a), dtype) for a in (x, g)]
    return RUNS[BACKEND](function, *arrays)


def wait():
    """Waits for a GPU of PyTorch."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def copies(shape, dtype):
    """Copies of a sequence into memory that is there and new."""
    x = ops.ones(shape, dtype)
    if BACKEND == "torch" and x.is_cuda:
        return copies_on_gpu_of_torch(x)
    if BACKEND == "jax" and x.device.platform == "gpu":
        return copies_on_gpu_of_jax(x)
    return copies_on_two_threads(np.ones(shape, dtype.replace("bfloat16", "float16")))


def copies_on_gpu_of_torch(x):
    out = x.clone()
    return {
        "3 copies": timing.Run(lambda: ([out.copy_(x) for _ in range(3)], wait())),
        "3 copies, new memory": timing.Run(
            lambda: ([x.clone() for _ in range(3)], wait())
        ),
    }


def copies_on_gpu_of_jax(x):
    import jax

    run = timing.Run(
        lambda: jax.block_until_ready([jax.numpy.copy(x) for _ in range(3)])
    )
    return {"3 copies": run, "3 copies, new memory": run}


def copies_on_two_threads(x):
    pool = multiprocessing.pool.ThreadPool(2)
    rows = np.array_split(np.arange(len(x)), 2)
    out = np.zeros_like(x)

    def into(out):
        def copy(rows):
            np.copyto(out[rows[0] : rows[-1] + 1], x[rows[0] : rows[-1] + 1])

        pool.map(copy, rows)

    return {
        "3 copies": timing.Run(lambda: [into(out) for _ in range(3)]),
        "3 copies, new memory": timing.Run(
            lambda: [into(np.empty_like(x)) for _ in range(3)]
        ),
    }


def compare(title, make, with_peers, timesteps, options):
    """Prints the table of one neuron."""
    shape = (options.batch, timesteps, options.features)
    x, g = random_sequences(shape)
    dtype = options.dtype
    runs, kept = copies(shape, dtype), {}
    entrants = contestants(make(dtype), with_peers, options.features)
    for name, (function, time_first) in entrants.items():
        arrays = [np.swapaxes(a, 0, 1) if time_first else a for a in (x, g)]
        try:
            forward, both, sequences = runs_of(function, *arrays, dtype)
            both.function(*both.prepare())
        except (RuntimeError, ValueError) as error:
            print(f"{title}: {name} takes no part: {error}", file=sys.stderr)
            continue
        runs[name, "forward"], runs[name, "both"] = forward, both
        kept[name] = sequences
    times = timing.take_turns(runs, options.rounds)

    def fused_over(*run):
        fused = times.get(("fused", run[1]))
        return "" if fused is None else fused / times[run]

    rows = [
        [
            name,
            times[name, "forward"],
            times[name, "both"],
            fused_over(name, "forward"),
            fused_over(name, "both"),
            times[name, "both"] / times["3 copies"],
            times[name, "both"] / times["3 copies, new memory"],
            sequences,
        ]
        for name, sequences in kept.items()
    ]
    columns = [
        "implementation",
        "forward (ms)",
        "forward + backward (ms)",
        "fused / this, forward",
        "fused / this, forward + backward",
        "forward + backward / 3 copies",
        "/ 3 copies, new memory",
        "kept for backward (sequences)",
    ]
    sizes = " x ".join(map(str, shape))
    print(f"\n### {title}, {BACKEND}, {sizes}, {dtype}\n")
    print(timing.table(columns, rows), flush=True)


def compile_times():
    """Prints how long it takes to make a kernel, first and from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "KERAS_SPIKING_CACHE": folder}
        command = [sys.executable, __file__, "--kernel"]
        runs = [
            json.loads(subprocess.check_output(command, env=environment))
            for _ in range(2)
        ]
    rows = [[name, runs[0][name], runs[1][name]] for name in runs[0]]
    print("\n### Making a kernel: trace, differentiate, print, compile, load\n")
    print(timing.table(["neuron", "first time (ms)", "from the cache (ms)"], rows))


def make_kernels():
    """Prints how long it takes to make each kernel in this process, as JSON."""
    from keras_spiking.backends import fused

    times = {}
    for name, layer in {
        "warm up": keras_spiking.layers.IFLayer(),
        "LIF": lif(),
        "adaptive threshold": two_states(),
    }.items():
        start = time.perf_counter()
        layer.build((None, None, 4096))
        _, library, _, reason = fused.choose(layer, (4096,))
        if library is None:
            raise RuntimeError(reason)
        times[name] = (time.perf_counter() - start) * 1e3
    del times["warm up"]
    print(json.dumps(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--timesteps", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--features", type=int, default=4096)
    parser.add_argument("--dtype", default="float32", help="of sequences")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--kernel", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kernel:
        return make_kernels()
    print(timing.setting())
    for timesteps in options.timesteps:
        compare("LIF", lif, True, timesteps, options)
    for timesteps in options.timesteps:
        compare("Adaptive threshold", two_states, False, timesteps, options)
    compile_times()


if __name__ == "__main__":
    main()
