from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_data_format
from keras_spiking.validation import check_groups
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class LinearAttention(Layer):
    """Products of queries, keys and values, without a softmax and without weights.

        Y = Q (scale K^T V)

    It is what `SpikingSelfAttention` computes between its neurons, for networks made
    of ordinary layers. Of spikes the products only add. Every pixel of every time step
    is a token; `K^T V` is computed first, linear in their number.

    Args:
        num_heads: Integer >= 1, divides the channels. Defaults to `8`.
        scale: Float > 0. Defaults to `0.125`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: List of three tensors: queries, keys and values; or one tensor that
            has them side by side in its channels. Values may have a number of
            channels of their own in a list.

    Input shape:
        `(batch, time, height, width, channels)`, or with channels behind the time.

    Output shape:
        As the values.

    Raises:
        ValueError: if channels do not divide into heads.

    Example:

    >>> layer = keras_spiking.layers.LinearAttention(num_heads=2)
    >>> layer(keras.random.uniform((2, 4, 3, 3, 3 * 8))).shape
    (2, 4, 3, 3, 8)

    References:
        - [Zhou et al., 2023](https://arxiv.org/abs/2209.15425)
    """

    def __init__(
        self,
        num_heads: int = 8,
        *,
        scale: float = 0.125,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.num_heads = check_integer("num_heads", num_heads, minimum=1)
        self.scale = check_number("scale", scale, above=0.0)
        self.data_format = check_data_format(data_format)
        self.axis = -1 if self.data_format == "channels_last" else 2

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)):
            inputs = ops.split(inputs, 3, axis=self.axis)
        q, k, v = (self._heads(x) for x in inputs)
        # Scaled in the middle, sums of half precision stay in its range.
        if self.axis == -1:
            context = ops.einsum("bnhc,bnhd->bhcd", k, v) * self.scale
            y = ops.einsum("bnhc,bhcd->bnhd", q, context)
        else:
            context = ops.matmul(v, ops.swapaxes(k, 2, 3)) * self.scale
            y = ops.matmul(context, q)
        return ops.reshape(y, ops.shape(inputs[2]))

    def _heads(self, x):
        """`(images, tokens, heads, channels)`, or `(images, heads, channels, tokens)`.

        All axes but that of the images are known.
        """
        channels = x.shape[self.axis] // self.num_heads
        if self.axis == -1:
            return ops.reshape(
                x, (-1, x.shape[2] * x.shape[3], self.num_heads, channels)
            )
        return ops.reshape(x, (-1, self.num_heads, channels, x.shape[3] * x.shape[4]))

    def compute_output_shape(self, input_shape):
        shapes = input_shape
        if not isinstance(input_shape[0], (list, tuple)):
            shape = list(input_shape)
            shape[self.axis] = check_groups(self, "channels", shape[self.axis], 3)
            shapes = [tuple(shape)] * 3
        for shape in shapes:
            check_groups(self, "channels", shape[self.axis], self.num_heads)
        return tuple(shapes[2])

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "scale": self.scale,
            "data_format": self.data_format,
        }
