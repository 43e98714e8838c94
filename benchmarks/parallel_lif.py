"""LIF with its time steps in parallel, against the loop over time.

    KERAS_BACKEND=jax python benchmarks/parallel_lif.py

Everything takes turns in one process. "Loop" is the reference in `keras.ops`, which
is `lax.scan` on JAX; "fused" is the kernel that serves by default on a CPU.
"""

import argparse

import timing
from neurons import BACKEND
from neurons import ours
from neurons import random_sequences
from neurons import runs_of

from keras_spiking.layers import LIFLayer
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--timesteps", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--tau", type=float, default=2.0)
    parser.add_argument("--chunk-length", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
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
