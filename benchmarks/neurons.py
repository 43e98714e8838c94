"""How long neurons take over a sequence: fused, in `keras.ops`, and in peers.

    KERAS_BACKEND=jax python benchmarks/neurons.py

Spyx (JAX), and SpikingJelly, snnTorch and Norse (PyTorch) take part where they are
installed. They get their own layout, time first, and everything takes turns in one
process. The copies tell how long the memory takes, that of a GPU if the neurons run
there. Forward, LIF reads the input and writes the spikes, which is as much as one copy
of a sequence. Forward and backward it reads the input, writes the spikes and what is
saved, reads the gradient and what was saved, and writes the gradient, which is as much
as three: bytes per second are those of one and three copies by the time that it took.
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

    x = x.detach().requires_grad_()

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


def random_sequences(shape, dtype="float32"):
    """An input and a gradient of the spikes, made where the neurons run."""
    draw = keras.random.normal
    return draw(shape, mean=0.5, dtype=dtype, seed=0), draw(shape, dtype=dtype, seed=1)


def runs_of(function, x, g):
    """Runs of a function of sequences, forward and with its gradient.

    Returns:
        Two `timing.Run`s, and how many sequences are kept between both ways.
    """
    return RUNS[BACKEND](function, x, g)


def time_first(x):
    x = ops.swapaxes(x, 0, 1)
    return x.contiguous() if BACKEND == "torch" else x


def wait():
    """Waits for a GPU of PyTorch."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def copies(x):
    """Functions that copy a sequence, into memory that is there and into new memory."""
    if BACKEND == "torch" and x.is_cuda:
        out = x.clone()
        return (lambda: (out.copy_(x), wait())), (lambda: (x.clone(), wait()))
    if BACKEND == "jax" and x.device.platform == "gpu":
        import jax

        # XLA gives memory that has just been freed.
        return (lambda: jax.block_until_ready(jax.numpy.copy(x)),) * 2
    return copies_on_two_threads(x)


def copies_on_two_threads(x):
    x = np.zeros(x.shape, str(x.dtype).split(".")[-1].replace("bfloat16", "float16"))
    x += 1  # zeros that nobody has touched are no memory
    pool = multiprocessing.pool.ThreadPool(2)
    rows = np.array_split(np.arange(len(x)), 2)
    out = np.zeros_like(x)

    def into(out):
        def copy(rows):
            np.copyto(out[rows[0] : rows[-1] + 1], x[rows[0] : rows[-1] + 1])

        pool.map(copy, rows)

    return (lambda: into(out)), (lambda: into(np.empty_like(x)))


COPIES = ("copies", "copies, new memory")
THREE_COPIES = {name: (name, "both") for name in COPIES}


def compare(title, make, with_peers, timesteps, options):
    """Prints the table of one neuron."""
    shape = (options.batch, timesteps, options.features)
    dtype = options.dtype
    x, g = random_sequences(shape, dtype)
    runs, kept = {}, {}
    for name, copy in zip(COPIES, copies(x)):
        runs[name, "forward"] = timing.Run(copy)
        runs[name, "both"] = timing.Run(lambda copy=copy: [copy() for _ in range(3)])
        kept[name] = ""
    entrants = contestants(make(dtype), with_peers, options.features)
    swapped = [time_first(a) for a in (x, g)] if with_peers else None
    for name, (function, is_time_first) in entrants.items():
        try:
            arrays = swapped if is_time_first else (x, g)
            forward, both, sequences = runs_of(function, *arrays)
            both.function(*both.prepare())
        except Exception as error:  # of any package
            message = str(error).strip().split("\n")[0]
            print(f"{title}: {name} takes no part: {message}", file=sys.stderr)
            continue
        runs[name, "forward"], runs[name, "both"] = forward, both
        kept[name] = sequences
    times = timing.take_turns(runs, options.rounds)
    gigabytes = 2 * np.prod(shape) * int(dtype[-2:]) / 8e9
    fused = {way: times.get(("fused", way)) for way in ("forward", "both")}
    rows = []
    for name, sequences in kept.items():
        forward, both = times[name, "forward"], times[name, "both"]
        rows.append(
            [
                name,
                forward,
                both,
                fused["forward"] / forward if fused["forward"] else "",
                fused["both"] / both if fused["both"] else "",
                *(both / times[copies] for copies in THREE_COPIES.values()),
                gigabytes / forward * 1e3,
                3 * gigabytes / both * 1e3,
                sequences,
            ]
        )
    columns = [
        "implementation",
        "forward (ms)",
        "forward + backward (ms)",
        "fused / this, forward",
        "fused / this, forward + backward",
        "forward + backward / 3 copies",
        "/ 3 copies, new memory",
        "forward (GB/s)",
        "forward + backward (GB/s)",
        "kept for backward (sequences)",
    ]
    sizes = " x ".join(map(str, shape))
    print(f"\n### {title}, {BACKEND}, {sizes}, {dtype}\n")
    print(timing.table(columns, rows), flush=True)


def compile_times():
    """Prints how long it takes to make a kernel, first and from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        caches = {"KERAS_SPIKING_CACHE": folder, "CUPY_CACHE_DIR": f"{folder}/cupy"}
        environment = {**os.environ, **caches}
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
        if BACKEND == "torch":  # CuPy compiles in the first call
            layer(ops.zeros((1, 1, 4096)))
            wait()
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
