"""How much faster compiled inference is with pruned weights.

    KERAS_BACKEND=numpy python benchmarks/pruning.py

Two layers of LIF neurons, of random weights, of which a share is kept at random. Inputs
are random spikes. "all" is the network before pruning; both take turns. `--density` is
the share of inputs that spike.
"""

import argparse

import keras
import numpy as np
import timing
from keras import layers

import keras_spiking
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import LILayer

SIZES = {"512-512": (512, 512), "784-800": (784, 800), "2048-2048": (2048, 2048)}


def network(inputs, units, share, seed=0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((None, inputs)),
            layers.Dense(units),
            LIFLayer(),
            layers.Dense(units),
            LIFLayer(),
            layers.Dense(10),
            LILayer(reduce="mean"),
        ]
    )
    random = np.random.default_rng(seed)
    for layer in (model.layers[0], model.layers[2]):
        weights = keras.ops.convert_to_numpy(layer.kernel)
        # As many spikes with few connections as with all.
        scale = 4.0 / np.sqrt(len(weights) * share)
        keep = random.random(weights.shape) < share
        layer.kernel.assign(random.normal(0.02, 1.0, weights.shape) * keep * scale)
    return model


def stream(net, x):
    def run():
        net.reset()
        for t in range(x.shape[1]):
            net.step(x[:, t])

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--timesteps", type=int, default=16)
    options = parser.parse_args()
    print(timing.setting() + "\n")
    rows = []
    for size, (inputs, units) in SIZES.items():
        every = keras_spiking.inference.compile(network(inputs, units, 1.0), threads=1)
        for pruned in (0.9, 0.95, 0.98, 0.99):
            model = network(inputs, units, 1.0 - pruned)
            few = keras_spiking.inference.compile(model, threads=1)
            served = str(few).count("weights that are not 0")
            for batch in (1, 64):
                random = np.random.default_rng(1)
                shape = (batch, options.timesteps, inputs)
                x = (random.random(shape) < options.density).astype("float32")
                runs = {"all": every, "pruned": few}
                call = stream if batch == 1 else lambda net, x: lambda: net(x)
                runs = {k: timing.Run(call(net, x)) for k, net in runs.items()}
                times = timing.take_turns(runs, options.rounds)
                rows.append(
                    [
                        size,
                        f"{100 * pruned:g} %",
                        "stream of 1" if batch == 1 else f"{batch} samples",
                        f"{served} of 3",
                        times["all"],
                        times["pruned"],
                        times["all"] / times["pruned"],
                    ]
                )
    columns = ["layers", "pruned", "call", "sparse", "all, ms", "pruned, ms", "ratio"]
    print(timing.table(columns, rows))


if __name__ == "__main__":
    main()
