"""
Title: One network, several processes and hosts
Description: Train on several machines what one would learn, though a worker may die.

Alone, `python guides/distributed.py` trains in one process. On one machine with two:
`torchrun --nproc-per-node 2 guides/distributed.py`.
"""

"""
## Start

`torchrun`, which comes with PyTorch, starts the processes on each machine, and tells
each of them by its environment which one it is. The same variables serve for JAX, see
`recipes/distributed` for files that set them on a cluster. First of all the processes
have to know each other.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_spiking
from keras_spiking import layers

backend = keras.config.backend()
short = os.environ.get("KERAS_SPIKING_SHORT") == "1"
process = int(os.environ.get("RANK", 0))
processes = int(os.environ.get("WORLD_SIZE", 1))

if backend == "torch":
    import torch

    alone = {"store": torch.distributed.HashStore(), "rank": 0, "world_size": 1}
    on = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(on, **(alone if processes == 1 else {}))
elif backend == "jax":
    if processes > 1:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        keras.distribution.initialize(address, processes, process)
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)

"""
Processes that do not fit together wait for each other for ever, or train a mixture of
their models. `check` tells on all of them what differs: here, packages, settings and
the random seed.
"""

keras.utils.set_random_seed(0)
keras_spiking.distribution.check()

"""
## Data

Each process gets its own part of the samples, as many as the others. `batch_size` is
that of one process: together they take steps of 64.
"""

digits = load_digits()
count = 256 if short else 1536
images = (digits.images[:count, ..., np.newaxis] / 16.0).astype("float32")
x, y = images[process::processes], digits.target[:count][process::processes]
batch_size = 64 // processes
steps = len(x) // batch_size
epochs = 2 if short else 10

"""
## The network

It starts afresh, or from what an earlier run has left: if a worker dies, `torchrun`
starts all of them again (`--max-restarts 3`, see `recipes/distributed`), and a file
that all of them see says where to go on. The number of steps that the optimizer has
made says which epoch is next.
"""

path = "distributed.keras"
if os.path.exists(path):
    model = keras.models.load_model(path)
else:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.DirectEncoder(4),
            layers.SeqToBatch(keras.layers.Conv2D(16, 3, use_bias=False)),
            layers.ThresholdDependentBatchNormalization(),
            layers.LIFLayer(surrogate="atan", name="lif"),
            layers.SeqToBatch([keras.layers.Flatten(), keras.layers.Dense(10)]),
            layers.FiringRate(),
        ]
    )
    model.compile(
        keras.optimizers.Adam(2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
first_epoch = int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // steps

"""
On PyTorch `data_parallel` makes the training steps of `fit` those of all processes:
gradients, batch normalisation, metrics, and callbacks such as `FiringRateLogger`. On
JAX the distribution above did that already. A second `check` compares models and data.
"""

if backend == "torch":
    keras_spiking.distribution.data_parallel(model)
keras_spiking.distribution.check(model, x, batch_size=batch_size)


class Save(keras.callbacks.Callback):
    """Saves the model after each epoch. The file appears whole or not at all."""

    def on_epoch_end(self, epoch, logs=None):
        if process == 0:
            self.model.save(f"part_of_{path}")
            os.replace(f"part_of_{path}", path)


history = model.fit(
    x,
    y,
    batch_size=batch_size,
    initial_epoch=first_epoch,
    epochs=epochs,
    shuffle=False,
    verbose=0,
    callbacks=[keras_spiking.callbacks.FiringRateLogger(), Save()],
)

"""
## What came out

All processes have the same weights and the same logs, those of all samples: one of them
tells.
"""

if process == 0:
    print(f"{processes} processes, epochs {first_epoch + 1} to {epochs}")
    for epoch, values in enumerate(zip(*history.history.values()), first_epoch + 1):
        logs = zip(history.history, values)
        print(epoch, ", ".join(f"{name} {value:.4f}" for name, value in logs))
    os.remove(path)
if backend == "torch":
    torch.distributed.destroy_process_group()
