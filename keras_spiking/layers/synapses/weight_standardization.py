"""Layers whose weights are standardised, in place of normalised activations."""

import math
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.options import Conv2DOptions
from keras_spiking.layers.options import DenseOptions
from keras_spiking.layers.options import Explicit
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_keywords


class _Standardized:
    """What makes a layer of Keras one with standardised weights."""

    def build(self, input_shape):
        super().build(input_shape)
        self.gain = self.add_weight(
            name="gain", shape=self.kernel.shape[-1:], initializer="ones"
        )

    @property
    def standardized_kernel(self):
        """The kernel that inputs are multiplied by."""
        kernel = ops.convert_to_tensor(self.kernel)
        mean, variance = ops.moments(
            kernel, axes=tuple(range(len(kernel.shape) - 1)), keepdims=True
        )
        fan_in = math.prod(kernel.shape[:-1])
        # The published layers estimate the variance without bias.
        variance = variance * fan_in / max(fan_in - 1, 1)
        gain = ops.convert_to_tensor(self.gain)
        standardized = gain * (kernel - mean) * ops.rsqrt(fan_in * variance + 1e-4)
        return ops.cast(standardized, kernel.dtype)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["gain"] = self.gain  # Keras saves kernel and bias only

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.gain.assign(store["gain"])


@keras.saving.register_keras_serializable("keras_spiking")
class WeightStandardizedDense(Explicit, _Standardized, keras.layers.Dense):
    """A dense layer with standardised weights.

        W' = gain (W - mean) / sqrt(fan_in variance + 1e-4)

    with mean and variance over the inputs of each unit, and a learned `gain`. It
    does without statistics of a batch, which suits learning online.

    Args:
        units: Integer >= 1, the number of outputs.
        **kwargs: The arguments of `keras.layers.Dense`.

    Input shape:
        `(batch, ..., features)`.

    Output shape:
        `(batch, ..., units)`.

    Example:

    >>> layer = keras_spiking.layers.WeightStandardizedDense(5)
    >>> layer(keras.ops.ones((2, 10))).shape
    (2, 5)

    References:
        - [Qiao et al., 2019](https://arxiv.org/abs/1903.10520)
        - [Xiao et al., 2022](https://arxiv.org/abs/2210.04195)
    """

    def __init__(self, units: int, **kwargs: Unpack[DenseOptions]):
        check_keywords(type(self), kwargs)
        super().__init__(check_integer("units", units, minimum=1), **kwargs)

    def call(self, inputs, training=None):
        y = ops.matmul(inputs, self.standardized_kernel)
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)


@keras.saving.register_keras_serializable("keras_spiking")
class WeightStandardizedConv2D(Explicit, _Standardized, keras.layers.Conv2D):
    """A 2D convolution with standardised weights.

        W' = gain (W - mean) / sqrt(fan_in variance + 1e-4)

    with mean and variance over the inputs of each filter, and a learned `gain`.
    See `WeightStandardizedDense`.

    Args:
        filters: Integer >= 1, the number of outputs.
        kernel_size: Integer or tuple of two.
        **kwargs: The arguments of `keras.layers.Conv2D`.

    Input shape:
        `(batch, height, width, channels)`. For sequences, put it into a
        `SeqToBatch`.

    Output shape:
        As of `keras.layers.Conv2D`.

    Example:

    >>> layer = keras_spiking.layers.WeightStandardizedConv2D(8, 3)
    >>> layer(keras.ops.ones((2, 6, 6, 3))).shape
    (2, 4, 4, 8)

    References:
        - [Qiao et al., 2019](https://arxiv.org/abs/1903.10520)
        - [Xiao et al., 2022](https://arxiv.org/abs/2210.04195)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        **kwargs: Unpack[Conv2DOptions],
    ):
        check_keywords(type(self), kwargs)
        filters = check_integer("filters", filters, minimum=1)
        super().__init__(filters, kernel_size, **kwargs)

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, self.standardized_kernel)
