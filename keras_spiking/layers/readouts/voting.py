"""Neurons of the same class, or channels, taken together."""

from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_data_format
from keras_spiking.validation import check_groups
from keras_spiking.validation import check_integer


@keras.saving.register_keras_serializable("keras_spiking")
class Voting(Layer):
    """Mean over groups of neurons that vote for the same class.

        Y[c] = mean_{j < voting_size} X[c voting_size + j]

    Args:
        voting_size: Integer >= 1, neurons per class. Defaults to `10`.
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

    def __init__(self, voting_size: int = 10, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.voting_size = check_integer("voting_size", voting_size, minimum=1)
        self.supports_masking = True

    def call(self, inputs):
        shape = (*ops.shape(inputs)[:-1], -1, self.voting_size)
        return ops.mean(ops.reshape(inputs, shape), axis=-1)

    def compute_output_shape(self, input_shape):
        classes = check_groups(self, "features", input_shape[-1], self.voting_size)
        return (*input_shape[:-1], classes)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "voting_size": self.voting_size}


_REDUCTIONS = {"max": ops.max, "mean": ops.mean, "sum": ops.sum}


@keras.saving.register_keras_serializable("keras_spiking")
class ChannelPooling(Layer):
    """Pools groups of neighbouring channels.

    Args:
        pool_size: Integer >= 1, the channels of a group. Defaults to `2`.
        mode: `"max"`, `"mean"` or `"sum"`. Defaults to `"max"`.
        data_format: `"channels_last"`: channels are the last axis;
            `"channels_first"`: the third from the end. Defaults to
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

    def __init__(
        self,
        pool_size: int = 2,
        *,
        mode: str = "max",
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.pool_size = check_integer("pool_size", pool_size, minimum=1)
        self.mode = check_choice("mode", mode, _REDUCTIONS)
        self.data_format = check_data_format(data_format)
        self.supports_masking = True

    def _axis(self, rank):
        return rank - (1 if self.data_format == "channels_last" else 3)

    def call(self, inputs):
        axis = self._axis(len(inputs.shape))
        shape = list(ops.shape(inputs))
        shape[axis : axis + 1] = [inputs.shape[axis] // self.pool_size, self.pool_size]
        reduce = _REDUCTIONS[self.mode]
        return reduce(ops.reshape(inputs, shape), axis=axis + 1)

    def compute_output_shape(self, input_shape):
        axis, shape = self._axis(len(input_shape)), list(input_shape)
        shape[axis] = check_groups(self, "channels", shape[axis], self.pool_size)
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
