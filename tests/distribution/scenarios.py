"""Trainings that give the same on one process and on several.

Run as a program in each process: `python scenarios.py NAMES FOLDER` trains networks and
writes losses, weights and logs to the folder. What starts the processes sets the
environment. TensorFlow has one process with two devices.
"""

import os
import sys

import keras
import numpy as np
from keras import layers

import keras_spiking
from keras_spiking import callbacks
from keras_spiking import online
from keras_spiking.layers import BatchNormalizationThroughTime
from keras_spiking.layers import FiringRate
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import MembraneBatchNormalizationLIFLayer
from keras_spiking.layers import ParametricLIFLayer
from keras_spiking.layers import SeqToBatch
from keras_spiking.layers import TemporalEffectiveBatchNormalization
from keras_spiking.layers import ThresholdDependentBatchNormalization
from keras_spiking.regularizers import FiringRateRegularizer

BATCH, STEPS, TIMESTEPS = 8, 10, 5
# On TensorFlow each replica has statistics of its own unless a layer is told, and the
# `FiringRateLogger` is refused.
ON_REPLICAS = keras.config.backend() == "tensorflow"


def data(features):
    """All samples of an epoch, and their targets."""
    generator = np.random.default_rng(1)
    x = generator.random((BATCH * STEPS, TIMESTEPS, *features))
    # Samples of the second half of a batch are unlike those of the first.
    x = x + (np.arange(len(x)) % BATCH // (BATCH // 2)).reshape(
        -1, *(1,) * (x.ndim - 1)
    )
    x = np.floor(x * 1.2)  # spikes and what is a little more
    return x.astype("float32"), (np.arange(len(x)) % 3).astype("int32")


def share(values, process, processes):
    """What a process trains on: its part of each batch."""
    batches = values.reshape(STEPS, processes, BATCH // processes, *values.shape[1:])
    return batches[:, process].reshape(-1, *values.shape[1:])


def convolutional():
    """Fused kernels, products, batch normalisation; logs and monitors."""
    model = keras.Sequential(
        [
            keras.Input((TIMESTEPS, 6, 6, 1)),
            SeqToBatch(layers.Conv2D(4, 3, use_bias=False, name="conv")),
            ThresholdDependentBatchNormalization(epsilon=0.1, synchronized=ON_REPLICAS),
            LIFLayer(name="lif", surrogate="atan"),
            SeqToBatch(
                [
                    layers.Conv2D(4, 3, padding="same", use_bias=False),
                    layers.BatchNormalization(epsilon=0.1, synchronized=ON_REPLICAS),
                ],
                name="stage",
            ),
            ParametricLIFLayer(name="plif"),
            SeqToBatch(layers.Flatten()),
            layers.Dense(3, name="scores"),
            FiringRate(),
        ]
    )
    x, _ = data((6, 6, 1))
    logger = [] if ON_REPLICAS else [callbacks.FiringRateLogger()]
    return model, [*logger, callbacks.OutputMonitor(x[:2], "lif")]


def normalized():
    """Statistics of the batch in other places."""
    model = keras.Sequential(
        [
            keras.Input((TIMESTEPS, 7)),
            layers.Dense(5),
            TemporalEffectiveBatchNormalization(epsilon=0.1),
            BatchNormalizationThroughTime(epsilon=0.1),
            MembraneBatchNormalizationLIFLayer(
                name="mpbn",
                epsilon=0.1,
                activity_regularizer=FiringRateRegularizer(0.4, 0.5, strength=0.1),
            ),
            layers.Dense(5),
            layers.BatchNormalization(epsilon=0.1),  # without a container of ours
            LIFLayer(),
            layers.Dense(3),
            FiringRate(),
        ]
    )
    return model, [callbacks.FiringRateLogger("mpbn")]


def local(learning_rate):
    """A synapse that learns by STDP, by itself or together with the loss."""

    def make():
        model = keras.Sequential(
            [
                keras.Input((TIMESTEPS, 7)),
                layers.Dense(5, name="synapse"),
                LIFLayer(name="neuron"),
                layers.Dense(3),
                FiringRate(),
            ]
        )
        rule = callbacks.STDP(
            "synapse",
            "neuron",
            3.0,
            3.0,
            lambda w: 0.01 * w,
            lambda w: 0.01 * (1.0 - w),
            learning_rate,
        )
        return model, [rule]

    return make


def learned_online(kind, **options):
    def make():
        stack = [
            layers.Dense(5),
            layers.BatchNormalization(),
            LIFLayer(name="lif"),
            layers.Dense(3),
        ]
        model = kind(stack, **options)
        model.build((None, TIMESTEPS, 7))
        return model, [callbacks.FiringRateLogger()]

    return make


SCENARIOS = {
    "convolutional": convolutional,
    "normalized": normalized,
    "stdp": local(0.1),
    "stdp_in_gradients": local(None),
    "ottt": learned_online(online.OTTT),
    "fptt": learned_online(online.FPTT),
}


def run(name, process=0, processes=1, prepare=None):
    """Trains for two epochs; returns arrays by name."""
    keras.utils.set_random_seed(5)
    model, watching = SCENARIOS[name]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, metrics=["accuracy"])
    if prepare is not None:
        prepare(model)
    x, y = data((6, 6, 1) if name == "convolutional" else (7,))
    x, y = (share(values, process, processes) for values in (x, y))
    history = model.fit(
        x,
        y,
        batch_size=BATCH // processes,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=watching,
    )
    found = {f"log {key}": values for key, values in history.history.items()}
    for number, variable in enumerate(model.weights):
        found[f"weight {number} {variable.name}"] = keras.ops.convert_to_numpy(variable)
    for callback in watching:
        for key, records in getattr(callback, "records", {}).items():
            found[f"record {key}"] = records
    return {key: np.asarray(value) for key, value in found.items()}


def refusal(action):
    """What an error says that all processes get."""
    try:
        action()
    except ValueError as error:
        return str(error)
    return ""


def on_replicas(names, path):
    """Trains on two devices of this process, by TensorFlow's strategy."""
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, halves)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        for name in names.split(","):
            np.savez(f"{path}/{name}_0.npz", **run(name))


def in_processes(names, path):
    """Trains in this process of several, by the engine of the backend."""
    process, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if keras.config.backend() == "torch":
        import torch.distributed

        torch.distributed.init_process_group("gloo")
        prepare = keras_spiking.distribution.data_parallel
    else:
        address = f"localhost:{os.environ['MASTER_PORT']}"
        keras.distribution.initialize(address, processes, process)
        parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(parallel)
        prepare = keras_spiking.distribution.check
    keras.utils.set_random_seed(process)
    errors = [refusal(keras_spiking.distribution.check)]
    results = {
        name: run(name, process, processes, prepare) for name in names.split(",")
    }
    for name, result in results.items():
        np.savez(f"{path}/{name}_{process}.npz", errors=errors, **result)


if __name__ == "__main__":
    (on_replicas if ON_REPLICAS else in_processes)(*sys.argv[1:])
