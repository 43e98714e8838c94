"""Batch normalisation by a native operation, and over several processes."""

import math

import keras
from keras import ops

from keras_spiking.backends.loading import active


def serves(layer, x, mask=None):
    """Whether `batch_normalization` computes what Keras's layer would."""
    if not active().has_native_layers or isinstance(x, keras.KerasTensor):
        return False
    if active().processes() > 1:
        return True
    plain = mask is None and not renormalizes(layer) and not layer.synchronized
    return plain and math.prod(x.shape) > 0


def renormalizes(layer):
    """Whether a batch normalisation has `renorm`, which older Keras does not know."""
    return getattr(layer, "renorm", False)


def batch_normalization(layer, x, training, mask=None):
    """`keras.layers.BatchNormalization.call`, with statistics of all processes.

    Args:
        mask: Boolean tensor of as many axes as `x`, or `None`: where processes share a
            step.
    """
    x = active().cast(x, keras.backend.result_type(x.dtype, "float32"))
    moving = layer.moving_mean, layer.moving_variance
    gamma, beta, *averages = (
        None if weight is None else active().cast(weight, x.dtype)
        for weight in (layer.gamma, layer.beta, *moving)
    )
    arguments = gamma, beta, layer.axis, layer.epsilon
    if training and layer.trainable:
        y, *moments = active().batch_norm(x, *arguments, mask)
        for variable, old, new in zip(moving, averages, moments):
            variable.assign(old * layer.momentum + new * (1.0 - layer.momentum))
    else:
        y = active().normalize(x, *averages, *arguments)
    return active().cast(y, layer.compute_dtype)


def moments(x, axes):
    """`keras.ops.moments` of the whole batch, with axes of size 1."""
    if active().processes() == 1:
        return ops.moments(x, axes=axes, keepdims=True)
    (mean,) = active().mean_over_processes([ops.mean(x, axis=axes, keepdims=True)])
    variance = ops.mean(ops.square(x - mean), axis=axes, keepdims=True)
    (variance,) = active().mean_over_processes([variance])
    return mean, variance
