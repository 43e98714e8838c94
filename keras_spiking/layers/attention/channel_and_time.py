"""Attention weights for the time steps, channels and places of a sequence."""

from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_data_format
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_time_axis
from keras_spiking.validation import check_timesteps


class _Attention(Layer):
    """Images are handled as `(batch, time, height, width, channels)`."""

    has_time_axis = True

    def __init__(
        self, *, data_format: str | None = None, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(**kwargs)
        self.data_format = check_data_format(data_format)
        self.supports_masking = True

    def build(self, input_shape):
        axes = "a sequence of images (batch, time, height, width, channels)"
        check_time_axis(self, input_shape, 5, axes, exact=True)
        last = self.data_format == "channels_last"
        self.channels = input_shape[-1 if last else 2]
        self.channels_axis = 4 if last else 2
        self.space_axes = (2, 3) if last else (3, 4)

    def call(self, inputs):
        return inputs * self.attention(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class _SqueezeAndExcite(_Attention):
    """`sigmoid(mlp(mean(X)) + mlp(max(X)))` along one axis."""

    def _build_mlp(self, size, reduction, what):
        if size is None or size < reduction:
            raise ValueError(
                f"`reduction` of {type(self).__name__} '{self.name}' must be at "
                f"most the number of {what}. Received: reduction={reduction}, with "
                f"{size} {what}."
            )
        hidden = size // reduction

        def kernel(name, shape):
            return self.add_weight(name=name, shape=shape, initializer="glorot_uniform")

        self.squeeze = kernel("squeeze", (size, hidden))
        self.excite = kernel("excite", (hidden, size))

    def _mlp(self, x):
        hidden = ops.relu(ops.matmul(x, ops.convert_to_tensor(self.squeeze)))
        return ops.matmul(hidden, ops.convert_to_tensor(self.excite))

    def _along(self, inputs, axis):
        axes = tuple(i for i in range(1, 5) if i != axis)
        mean = ops.mean(inputs, axis=axes)
        weights = ops.sigmoid(self._mlp(mean) + self._mlp(ops.max(inputs, axis=axes)))
        shape = [-1, 1, 1, 1, 1]
        shape[axis] = inputs.shape[axis]
        return ops.reshape(weights, shape)


@keras.saving.register_keras_serializable("keras_spiking")
class TemporalAttention(_SqueezeAndExcite):
    """Weights for the time steps of a sequence.

        Y[t] = X[t] sigmoid(mlp(mean(X)) + mlp(max(X)))[t]

    with mean and maximum over channels and places, and a network of two layers
    without biases, `T -> T // reduction -> T`, relu between them.

    Args:
        T: Integer, the number of time steps, or `None` to take the input's.
            Defaults to `None`.
        reduction: Integer >= 1, at most `T`. Defaults to `16`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, T, height, width, channels)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the input does not have `T` time steps, or `reduction`
            exceeds them.

    Example:

    >>> layer = keras_spiking.layers.TemporalAttention(reduction=2)
    >>> layer(keras.ops.ones((2, 8, 6, 6, 3))).shape
    (2, 8, 6, 6, 3)

    References:
        - [Yao et al., 2021](https://arxiv.org/abs/2107.11711)
    """

    def __init__(
        self,
        T: int | None = None,
        *,
        reduction: int = 16,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.T = None if T is None else check_timesteps(T, "T")
        self.reduction = check_integer("reduction", reduction, minimum=1)

    def build(self, input_shape):
        super().build(input_shape)
        _check_size(self, "T", self.T, input_shape[1])
        self._build_mlp(input_shape[1], self.reduction, "time steps")
        self.timesteps = input_shape[1]

    def attention(self, inputs):
        _check_size(self, "T", self.timesteps, inputs.shape[1])
        return self._along(inputs, 1)

    def get_config(self):
        config = {**super().get_config(), "T": self.T}
        return {**config, "reduction": self.reduction}


@keras.saving.register_keras_serializable("keras_spiking")
class ChannelAttention(_SqueezeAndExcite):
    """Weights for the channels of a sequence, the same at all time steps.

        Y[c] = X[c] sigmoid(mlp(mean(X)) + mlp(max(X)))[c]

    with mean and maximum over time and places, and a network of two layers
    without biases, `C -> C // reduction -> C`, relu between them.

    Args:
        reduction: Integer >= 1, at most the number of channels. Defaults to `16`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, time, height, width, channels)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if `reduction` exceeds the number of channels.

    Example:

    >>> layer = keras_spiking.layers.ChannelAttention(reduction=4)
    >>> layer(keras.ops.ones((2, 8, 6, 6, 16))).shape
    (2, 8, 6, 6, 16)

    References:
        - [Yao et al., 2023](https://arxiv.org/abs/2209.13929)
    """

    def __init__(
        self,
        reduction: int = 16,
        *,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.reduction = check_integer("reduction", reduction, minimum=1)

    def build(self, input_shape):
        super().build(input_shape)
        self._build_mlp(self.channels, self.reduction, "channels")

    def attention(self, inputs):
        return self._along(inputs, self.channels_axis)

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}


@keras.saving.register_keras_serializable("keras_spiking")
class SpatialAttention(_Attention):
    """Weights for the places of a sequence of images, the same at all time steps.

        Y[h, w] = X[h, w] sigmoid(conv([mean(X), max(X)]))[h, w]

    with mean and maximum over time and channels, and a convolution without bias.

    Args:
        kernel_size: Odd integer, the size of the convolution. Defaults to `3`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, time, height, width, channels)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if `kernel_size` is not odd.

    Example:

    >>> layer = keras_spiking.layers.SpatialAttention(kernel_size=5)
    >>> layer(keras.ops.ones((2, 8, 6, 6, 3))).shape
    (2, 8, 6, 6, 3)

    References:
        - [Yao et al., 2023](https://arxiv.org/abs/2209.13929)
    """

    def __init__(
        self,
        kernel_size: int = 3,
        *,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.kernel_size = check_integer("kernel_size", kernel_size, minimum=1)
        if kernel_size % 2 == 0:
            raise ValueError(
                f"`kernel_size` must be odd. Received: kernel_size={kernel_size}"
            )

    def build(self, input_shape):
        super().build(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, 2, 1),
            initializer="glorot_uniform",
        )

    def attention(self, inputs):
        axes = (1, self.channels_axis)
        mean, maximum = ops.mean(inputs, axis=axes), ops.max(inputs, axis=axes)
        weights = ops.conv(
            ops.stack([mean, maximum], axis=-1),
            ops.convert_to_tensor(self.kernel),
            padding="same",
            data_format="channels_last",
        )
        weights = ops.expand_dims(ops.sigmoid(ops.squeeze(weights, -1)), 1)
        return ops.expand_dims(weights, self.channels_axis)

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable("keras_spiking")
class MultiDimensionalAttention(_Attention):
    """Temporal, channel and spatial attention, one after the other.

        Y = relu(spatial(channel(temporal(X))))

    Args:
        T: Integer, the number of time steps, or `None` to take the input's.
            Defaults to `None`.
        C: Integer, the number of channels, or `None` to take the input's.
            Defaults to `None`.
        reduction_t: Integer, `reduction` of `TemporalAttention`. Defaults to `16`.
        reduction_c: Integer, `reduction` of `ChannelAttention`. Defaults to `16`.
        kernel_size: Odd integer, of `SpatialAttention`. Defaults to `3`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, T, height, width, C)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the input does not have `T` time steps or `C` channels, or
            a reduction exceeds them.

    Example:

    >>> layer = keras_spiking.layers.MultiDimensionalAttention(
    ...     reduction_t=2, reduction_c=4
    ... )
    >>> layer(keras.ops.ones((2, 8, 6, 6, 16))).shape
    (2, 8, 6, 6, 16)

    References:
        - [Yao et al., 2023](https://arxiv.org/abs/2209.13929)
    """

    def __init__(
        self,
        T: int | None = None,
        *,
        C: int | None = None,
        reduction_t: int = 16,
        reduction_c: int = 16,
        kernel_size: int = 3,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.C = None if C is None else check_integer("C", C, minimum=1)
        shared = {"data_format": data_format, "dtype": self.dtype_policy}
        self.temporal = TemporalAttention(T, reduction=reduction_t, **shared)
        self.channel = ChannelAttention(reduction_c, **shared)
        self.spatial = SpatialAttention(kernel_size, **shared)

    def build(self, input_shape):
        super().build(input_shape)
        _check_size(self, "C", self.C, self.channels)
        for layer in (self.temporal, self.channel, self.spatial):
            layer.build(input_shape)

    def call(self, inputs):
        return ops.relu(self.spatial(self.channel(self.temporal(inputs))))

    def get_config(self):
        return {
            **super().get_config(),
            "T": self.temporal.T,
            "C": self.C,
            "reduction_t": self.temporal.reduction,
            "reduction_c": self.channel.reduction,
            "kernel_size": self.spatial.kernel_size,
        }


def _check_size(layer, name, expected, given):
    if expected is not None and given != expected:
        raise ValueError(
            f"{type(layer).__name__} '{layer.name}' was made for {name}={expected}. "
            f"Received an input with {name}={given}."
        )
