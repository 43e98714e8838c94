"""Batch normalisation by a native operation of the backend."""

import math

import keras

from keras_spiking.backends.loading import active


def serves(layer, x, mask=None):
    """Whether `batch_normalization` computes what Keras's layer would."""
    return (
        active().has_native_layers
        and mask is None
        and not isinstance(x, keras.KerasTensor)
        and not layer.renorm
        and not layer.synchronized
        and math.prod(x.shape) > 0
    )


def batch_normalization(layer, x, training):
    """`keras.layers.BatchNormalization.call`."""
    x = active().cast(x, keras.backend.result_type(x.dtype, "float32"))
    moving = layer.moving_mean, layer.moving_variance
    gamma, beta, *averages = (
        None if weight is None else active().cast(weight, x.dtype)
        for weight in (layer.gamma, layer.beta, *moving)
    )
    arguments = gamma, beta, layer.axis, layer.epsilon
    if training and layer.trainable:
        y, *moments = active().batch_norm(x, *arguments)
        for variable, old, new in zip(moving, averages, moments):
            variable.assign(old * layer.momentum + new * (1.0 - layer.momentum))
    else:
        y = active().normalize(x, *averages, *arguments)
    return active().cast(y, layer.compute_dtype)
