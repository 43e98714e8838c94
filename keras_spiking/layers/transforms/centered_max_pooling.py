from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.options import Explicit
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_keywords


@keras.saving.register_keras_serializable("keras_spiking")
class CenteredMaxPooling2D(Explicit, keras.layers.MaxPooling2D):
    """Maximum pooling whose windows lie around every `strides`-th pixel.

    `padding="same"` of Keras pads an image of even size at its lower right only: a
    window begins at every `strides`-th pixel. The padding of networks from PyTorch is
    equal on both sides. What is padded never is the maximum, negative as numbers may
    be.

    Args:
        pool_size: Odd integer >= 1, height and width of a window. Defaults to `3`.
        strides: Integer >= 1. Defaults to `2`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or with channels first.

    Output shape:
        As the input, with height and width `(size - 1) // strides + 1`.

    Raises:
        ValueError: if `pool_size` is even.

    Example:

    >>> x = keras.ops.reshape(keras.ops.arange(4.0), (1, 4, 1, 1)) - 5.0
    >>> y = keras_spiking.layers.CenteredMaxPooling2D()(x)
    >>> [float(v) for v in keras.ops.reshape(y, (-1,))]
    [-4.0, -2.0]
    """

    def __init__(
        self,
        pool_size: int = 3,
        *,
        strides: int = 2,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        check_keywords(type(self), kwargs)
        check_integer("pool_size", pool_size, minimum=1)
        check_integer("strides", strides, minimum=1)
        if pool_size % 2 == 0:
            raise ValueError(
                "A window around a pixel has an odd size. "
                f"Received: pool_size={pool_size}"
            )
        super().__init__(pool_size, strides, data_format=data_format, **kwargs)
        self.margin = pool_size // 2

    def call(self, inputs):
        widths = [(0, 0), (self.margin, self.margin), (self.margin, self.margin)]
        widths.insert(1 if self.data_format == "channels_first" else 3, (0, 0))
        return super().call(ops.pad(inputs, widths, constant_values=-float("inf")))

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        first = 2 if self.data_format == "channels_first" else 1
        for axis in (first, first + 1):
            if shape[axis] is not None:
                shape[axis] = (shape[axis] - 1) // self.strides[0] + 1
        return tuple(shape)

    def get_config(self):
        config = super().get_config()
        del config["padding"]
        config["pool_size"], config["strides"] = self.pool_size[0], self.strides[0]
        return config
