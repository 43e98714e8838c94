"""Readouts without weights: what a sequence of spikes says in the end."""

from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.reduce import reduce_time
from keras_spiking.validation import check_mask
from keras_spiking.validation import check_time_axis


class _Reduction(Layer):
    has_time_axis = True
    removes_time_axis = True

    def __init__(self, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        check_time_axis(self, input_shape)

    def call(self, inputs, mask=None):
        check_mask(self, inputs.shape, mask)
        return ops.cast(reduce_time(inputs, self.reduce, mask), self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *input_shape[2:])


@keras.saving.register_keras_serializable("keras_spiking")
class FiringRate(_Reduction):
    """Mean of the spikes over time, in spikes per time step.

    Args:
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        mask: Boolean tensor `(batch, time)`. Masked steps do not count.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        `(batch, ...)`.

    Example:

    >>> spikes = keras.ops.array([[[0.0], [1.0], [0.0], [1.0]]])
    >>> float(keras_spiking.layers.FiringRate()(spikes)[0, 0])
    0.5
    """

    reduce = "mean"


@keras.saving.register_keras_serializable("keras_spiking")
class SpikeCount(_Reduction):
    """Number of spikes over time.

    Args:
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        mask: Boolean tensor `(batch, time)`. Masked steps do not count.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        `(batch, ...)`.

    Example:

    >>> spikes = keras.ops.array([[[0.0], [1.0], [0.0], [1.0]]])
    >>> float(keras_spiking.layers.SpikeCount()(spikes)[0, 0])
    2.0
    """

    reduce = "sum"
