"""Matrix transforms: learned ones of rows and columns, and the cosine transform."""

import math
from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_groups
from keras_spiking.validation import check_integer


@keras.saving.register_keras_serializable("keras_spiking")
class AXAT(Layer):
    """A learned transform of rows and columns.

        Y = A X A^T

    Args:
        units: Integer >= 1, the rows of `A`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., n, n)`.

    Output shape:
        `(batch, ..., units, units)`.

    Raises:
        ValueError: if the last two axes differ.

    Example:

    >>> keras_spiking.layers.AXAT(3)(keras.ops.ones((2, 8, 6, 6))).shape
    (2, 8, 3, 3)
    """

    def __init__(self, units: int, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.units = check_integer("units", units, minimum=1)
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) < 3 or input_shape[-1] != input_shape[-2]:
            raise ValueError(
                f"AXAT '{self.name}' needs an input (batch, ..., n, n). Received "
                f"an input of shape {tuple(input_shape)}."
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.units, input_shape[-1]),
            initializer="glorot_uniform",
        )

    def call(self, inputs):
        a = ops.convert_to_tensor(self.kernel)
        return ops.matmul(ops.matmul(a, inputs), ops.transpose(a))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-2], self.units, self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("keras_spiking")
class DCT(Layer):
    """Discrete cosine transform of the blocks of an image.

        Y = D X D^T    for each block X, with the orthonormal DCT-II matrix D

    Args:
        kernel_size: Integer >= 1, the height and width of a block.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., height, width)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if height or width do not divide into blocks.

    Example:

    >>> keras_spiking.layers.DCT(4)(keras.ops.ones((2, 3, 8, 8))).shape
    (2, 3, 8, 8)

    References:
        - [Ahmed et al., 1974](https://doi.org/10.1109/T-C.1974.223784)
    """

    def __init__(self, kernel_size: int, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.kernel_size = n = check_integer("kernel_size", kernel_size, minimum=1)
        k, i = np.arange(n)[:, None], np.arange(n)[None]
        matrix = np.cos(math.pi * (2 * i + 1) * k / (2 * n)) * math.sqrt(2.0 / n)
        matrix[0] /= math.sqrt(2.0)
        self.matrix = matrix
        self.supports_masking = True

    def build(self, input_shape):
        for name, size in zip(("height", "width"), input_shape[-2:]):
            check_groups(self, name, size, self.kernel_size)

    def call(self, inputs):
        n = self.kernel_size
        *batch, height, width = ops.shape(inputs)
        x = ops.reshape(inputs, (-1, height // n, n, width // n, n))
        d = ops.convert_to_tensor(self.matrix, dtype=inputs.dtype)
        y = ops.einsum("ki,bhiwj,lj->bhkwl", d, x, d)
        return ops.reshape(y, (*batch, height, width))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}
