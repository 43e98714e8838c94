"""Training steps that processes of PyTorch share."""

import functools

import keras

from keras_spiking.backends.loading import active
from keras_spiking.distribution.check import check
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers import batch_statistics


def data_parallel(model: keras.Model) -> None:
    """Lets the processes of PyTorch train one model, each on its part of the data.

    From now on `fit`, `evaluate` and `train_on_batch` do what one process would do with
    the batches of all of them put together:

    - `DistributedDataParallel` averages the gradients;
    - batch normalisation of all kinds takes mean and variance of the whole batch;
    - losses, metrics, `FiringRateLogger` and local learning rules count all samples;
    - `online.FPTT`, whose weights move at every time step, averages at every time step;
    - random layers draw other numbers in each process.

    Start the processes with `torchrun`, and the group before the model is made:

        torch.distributed.init_process_group()

    It runs `check(model)` first. On JAX call
    `keras.distribution.set_distribution(keras.distribution.DataParallel())` before the
    model is made, on TensorFlow make and compile the model within
    `tf.distribute.MirroredStrategy().scope()`, instead.

    Args:
        model: Keras model, built, the same in all processes.

    Raises:
        RuntimeError: if the backend is not PyTorch, or there is no group of processes.
        ValueError: if the model is not built, the processes do not have the same model,
            or a layer normalises over the batch in a way that cannot be shared.

    Example:

    >>> if keras.config.backend() == "torch":
    ...     import tempfile, torch
    ...     store = f"file://{tempfile.mkdtemp()}/store"
    ...     torch.distributed.init_process_group("gloo", store, rank=0, world_size=1)
    ...     model = keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(4)])
    ...     model.compile("sgd", "mse")
    ...     keras_spiking.distribution.data_parallel(model)
    ...     x, y = keras.ops.ones((8, 5, 3)), keras.ops.ones((8, 5, 4))
    ...     history = model.fit(x, y, verbose=0)
    ...     torch.distributed.destroy_process_group()
    """
    backend = active()
    backend.check_processes()
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built yet: processes can only share weights "
            "that exist. Give it a `keras.Input`, or call it on a batch first."
        )
    if "train_step" in vars(model):
        return
    check(model)
    hooks = [_around(layer) for layer in all_layers(model).values() if _is_plain(layer)]
    backend.share_steps(model, hooks)


def _is_plain(layer):
    """Whether it is Keras's batch normalisation, whose statistics are one process's."""
    normalization = keras.layers.BatchNormalization
    if not isinstance(layer, normalization):
        return False
    known = type(layer) is normalization or hasattr(layer, "has_time_axis")
    if not known or batch_statistics.renormalizes(layer):
        what = "`renorm=True`" if known else f"`{type(layer).__name__}`"
        raise ValueError(
            f"Layer '{layer.name}' takes statistics of the batch that processes cannot "
            f"share: {what}. Use `keras.layers.BatchNormalization` without `renorm`."
        )
    return type(layer) is normalization


def _around(layer):
    return layer, "call", functools.partial(_normalized, layer)


def _normalized(layer, call, inputs, training=None, mask=None):
    if mask is not None:
        missing = len(inputs.shape) - len(mask.shape)
        mask = keras.ops.reshape(mask, (*mask.shape, *(1,) * missing))
    return batch_statistics.batch_normalization(layer, inputs, training, mask)
