"""What a training step of the convolutional network keeps for its backward pass.

    KERAS_BACKEND=torch python benchmarks/rematerialize.py

Network (b) of `training.py`, plain and with each of its two convolutional blocks, up
to the neurons, in a `Rematerialize`. On PyTorch the saved tensors are counted, on JAX
the residuals of `jax.vjp`, each without weights and input. On JAX the memory of the
compiled step is told, too: XLA on CPUs merges what is computed twice.
"""

import argparse

import keras
import numpy as np
import timing
from training import BACKEND
from training import batch_of
from training import image_shape
from training import keras_convolutional
from training import lif

from keras_spiking.layers import Rematerialize


def plain(timesteps):
    return keras.Sequential(keras_convolutional(lif, timesteps))


def compact(timesteps):
    first, *rest = keras_convolutional(lif, timesteps)
    blocks = [Rematerialize(rest[:2]), rest[2], Rematerialize(rest[3:5])]
    return keras.Sequential([first, *blocks, *rest[5:]])


def torch_bytes(model, x):
    import torch

    x = torch.tensor(x)
    ours = {v.value.untyped_storage().data_ptr() for v in model.variables}
    ours.add(x.untyped_storage().data_ptr())
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model(x, training=True)
        found = sum(n for address, n in kept.items() if address not in ours)
        del y
    return {"kept for backward (MB)": found / 1e6}


def jax_bytes(model, x):
    import jax

    others = [v.value for v in model.non_trainable_variables]

    def outputs(weights, x):
        return model.stateless_call(weights, others, x, training=True)[0]

    def step(weights, x):
        y, pullback = jax.vjp(lambda w: outputs(w, x), weights)
        return pullback(y)

    weights = [v.value for v in model.trainable_variables]
    pullback = jax.eval_shape(lambda w, x: jax.vjp(outputs, w, x)[1], weights, x)
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pullback)]
    known = sum(w.nbytes for w in weights) + x.nbytes
    compiled = jax.jit(step).lower(weights, x).compile()
    return {
        "kept for backward (MB)": (sum(sizes) - known) / 1e6,
        "temporary memory of the compiled step (MB)": (
            compiled.memory_analysis().temp_size_in_bytes / 1e6
        ),
    }


MEASURES = {"torch": torch_bytes, "jax": jax_bytes}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--timesteps", type=int, default=16)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    if BACKEND == "torch":
        keras.config.set_image_data_format("channels_first")
    x, _ = batch_of((options.batch, options.timesteps, *image_shape(28, 1)))
    found = {}
    for make in (plain, compact):
        found[make.__name__] = MEASURES[BACKEND](make(options.timesteps), np.array(x))
    columns = list(found["plain"])
    rows = [[name, *sizes.values()] for name, sizes in found.items()]
    rows.append(
        ["compact / plain", *(found["compact"][c] / found["plain"][c] for c in columns)]
    )
    print(timing.setting())
    print(f"\n### {BACKEND}, {options.batch} x {options.timesteps} x 28 x 28\n")
    print(timing.table(["network", *columns], rows))


if __name__ == "__main__":
    main()
