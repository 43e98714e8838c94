"""Small layers without a state: pooling, votes, transforms, bits."""

import math

import keras
import numpy as np
from keras import ops

from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class Voting(keras.layers.Layer):
    """Mean over groups of neurons that vote for the same class.

        Y[c] = mean_{j < voting_size} X[c voting_size + j]

    Args:
        voting_size: Integer >= 1, neurons a class. Defaults to `10`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., classes * voting_size)`.

    Output shape:
        `(batch, ..., classes)`.

    Raises:
        ValueError: if the features do not divide into groups.

    Example:

    >>> keras_spiking.layers.Voting(10)(keras.ops.ones((2, 8, 100))).shape
    (2, 8, 10)
    """

    def __init__(self, voting_size=10, **kwargs):
        super().__init__(**kwargs)
        self.voting_size = int(check_number("voting_size", voting_size, minimum=1))
        self.supports_masking = True

    def call(self, inputs):
        shape = (*ops.shape(inputs)[:-1], -1, self.voting_size)
        return ops.mean(ops.reshape(inputs, shape), axis=-1)

    def compute_output_shape(self, input_shape):
        classes = _divide(self, "features", input_shape[-1], self.voting_size)
        return (*input_shape[:-1], classes)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "voting_size": self.voting_size}


@keras.saving.register_keras_serializable("keras_spiking")
class ChannelPooling(keras.layers.Layer):
    """Pools groups of neighbouring channels.

    Args:
        pool_size: Integer >= 1, the channels of a group. Defaults to `2`.
        mode: `"max"` or `"mean"`. Defaults to `"max"`.
        data_format: `"channels_last"`: channels are the last axis;
            `"channels_first"`: the third from behind. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., height, width, channels)`, for example.

    Output shape:
        As the input, with `channels / pool_size` channels.

    Raises:
        ValueError: if the channels do not divide into groups.

    Example:

    >>> keras_spiking.layers.ChannelPooling(2)(keras.ops.ones((2, 4, 4, 8))).shape
    (2, 4, 4, 4)
    """

    def __init__(self, pool_size=2, mode="max", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = int(check_number("pool_size", pool_size, minimum=1))
        self.mode = check_choice("mode", mode, ("max", "mean"))
        self.data_format = check_choice(
            "data_format",
            data_format or keras.config.image_data_format(),
            ("channels_last", "channels_first"),
        )
        self.supports_masking = True

    def _axis(self, rank):
        return rank - (1 if self.data_format == "channels_last" else 3)

    def call(self, inputs):
        axis = self._axis(len(inputs.shape))
        shape = list(ops.shape(inputs))
        shape[axis : axis + 1] = [inputs.shape[axis] // self.pool_size, self.pool_size]
        reduce = ops.max if self.mode == "max" else ops.mean
        return reduce(ops.reshape(inputs, shape), axis=axis + 1)

    def compute_output_shape(self, input_shape):
        axis, shape = self._axis(len(input_shape)), list(input_shape)
        shape[axis] = _divide(self, "channels", shape[axis], self.pool_size)
        return tuple(shape)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "mode": self.mode,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable("keras_spiking")
class AXAT(keras.layers.Layer):
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

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = int(check_number("units", units, minimum=1))
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
class DCT(keras.layers.Layer):
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

    def __init__(self, kernel_size, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = n = int(check_number("kernel_size", kernel_size, minimum=1))
        k, i = np.arange(n)[:, None], np.arange(n)[None]
        matrix = np.cos(math.pi * (2 * i + 1) * k / (2 * n)) * math.sqrt(2.0 / n)
        matrix[0] /= math.sqrt(2.0)
        self.matrix = matrix
        self.supports_masking = True

    def build(self, input_shape):
        for name, size in zip(("height", "width"), input_shape[-2:]):
            _divide(self, name, size, self.kernel_size)

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


@keras.saving.register_keras_serializable("keras_spiking")
class SpikeCountToBinary(keras.layers.Layer):
    """Writes spike counts as binary digits, one time step a digit.

        Y[b] = floor(X / 2^(bits - 1 - b)) mod 2

    the most significant digit first; counts are clipped into the range of `bits`.
    The gradient of a count is shared by its digits in proportion to their value.

    Args:
        bits: Integer >= 1, the number of digits.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ...)`, counts as `SpikeCount` and `ILIFLayer` give them.

    Output shape:
        `(batch, bits, ...)`.

    Example:

    >>> digits = keras_spiking.layers.SpikeCountToBinary(3)(keras.ops.array([[6.0]]))
    >>> [int(d) for d in keras.ops.reshape(digits, (-1,))]
    [1, 1, 0]
    """

    def __init__(self, bits, **kwargs):
        super().__init__(**kwargs)
        self.bits = int(check_number("bits", bits, minimum=1))

    def call(self, inputs):
        largest = 2.0**self.bits - 1.0
        count = ops.expand_dims(ops.clip(ops.round(inputs), 0.0, largest), 1)
        shape = (-1,) + (1,) * (len(inputs.shape) - 1)
        value = 2.0 ** np.arange(self.bits - 1, -1, -1).reshape(shape)
        value = ops.convert_to_tensor(value, dtype=inputs.dtype)
        digits = ops.floor(count / value)
        digits = digits - 2.0 * ops.floor(digits / 2.0)
        share = ops.expand_dims(inputs, 1) * value / ops.sum(ops.square(value))
        return straight_through(digits, share)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.bits, *input_shape[1:])

    def get_config(self):
        return {**super().get_config(), "bits": self.bits}


def _divide(layer, what, size, group):
    if size is None or size % group:
        raise ValueError(
            f"The {what} of {type(layer).__name__} '{layer.name}' must divide into "
            f"groups of {group}. Received: {size} {what}."
        )
    return size // group
