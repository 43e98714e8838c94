"""How much faster the fused kernel of each neuron is than the reference.

    KERAS_BACKEND=jax python benchmarks/zoo_neurons.py

Every layer of the package that has a kernel takes part, a new one by itself. Both
implementations take turns in one process.
"""

import argparse
import pathlib
import sys

import keras
import neurons
import timing

from keras_spiking.backends import explain
from keras_spiking.layers import TemporalLayer

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))

import registry  # noqa: E402


def fused_layers(features):
    """`{name: layer}` of all that have a kernel, and why the others have none."""
    fused, others = {}, {}
    for name in registry.layer_names():
        layer = registry.make(name)
        if not isinstance(layer, TemporalLayer):
            continue
        layer.build((None, None, features))
        for row in explain(layer):
            if row["implementation"] == "fused":
                fused[name] = layer
            else:
                others[name] = row["reason"]
    return fused, others


def without_side_effects(function):
    def call(x):
        with keras.StatelessScope():  # a seed may be drawn
            return function(x)

    return call


def compare(layer, x, g, rounds):
    runs = {}
    for mode in ("always", "never"):
        function = without_side_effects(neurons.ours(layer, mode))
        forward, both, _ = neurons.runs_of(function, x, g)
        runs[mode, "forward"], runs[mode, "both"] = forward, both
    times = timing.take_turns(runs, rounds)
    row = []
    for run in ("forward", "both"):
        fused, reference = times["always", run], times["never", run]
        row += [fused, reference, fused / reference]
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--timesteps", type=int, default=16)
    parser.add_argument("--features", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="names of layers")
    options = parser.parse_args()
    shape = (options.batch, options.timesteps, options.features)
    x, g = neurons.random_sequences(shape)
    fused, others = fused_layers(options.features)
    rows = [
        [name, *compare(layer, x, g, options.rounds)]
        for name, layer in fused.items()
        if options.only is None or name in options.only
    ]
    print(timing.setting())
    print(f"\n### {neurons.BACKEND}, {' x '.join(map(str, shape))}, float32\n")
    columns = ["layer"]
    for run in ("forward", "forward + backward"):
        columns += [f"{run}: fused (ms)", "reference (ms)", "fused / reference"]
    print(timing.table(columns, rows))
    for name, reason in others.items():
        print(f"- {name} has no kernel: {reason}")


if __name__ == "__main__":
    main()
