"""Averages over as many windows as there are to be outputs."""

from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_data_format
from keras_spiking.validation import check_integer


def windows(size: int, count: int) -> list[range]:
    """The windows of a given number of outputs along an axis of a given size."""
    starts = [i * size // count for i in range(count)]
    ends = [-(-(i + 1) * size // count) for i in range(count)]
    return [range(start, end) for start, end in zip(starts, ends)]


@keras.saving.register_keras_serializable("keras_spiking")
class AdaptiveAveragePooling2D(Layer):
    """Average pooling to a given size, whatever the size of the image.

    The output at row `i` of `n` is the mean of the rows `floor(i h / n)` to
    `ceil((i + 1) h / n) - 1` of an image of height `h`, and so on for columns: windows
    overlap where `n` does not divide `h`, and rows repeat where it is larger.

    Args:
        output_size: Integer >= 1, the height and width of the output.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or with channels first. For sequences, put
        it into a `SeqToBatch`.

    Output shape:
        `(batch, output_size, output_size, channels)`, or with channels first.

    Example:

    >>> layer = keras_spiking.layers.AdaptiveAveragePooling2D(7)
    >>> tuple(layer(keras.ops.ones((2, 16, 4, 3))).shape)
    (2, 7, 7, 3)
    """

    def __init__(
        self,
        output_size: int,
        *,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.output_size = check_integer("output_size", output_size, minimum=1)
        self.data_format = check_data_format(data_format)

    def build(self, input_shape):
        sizes = [input_shape[axis] for axis in self._axes()]
        if len(input_shape) != 4 or None in sizes:
            raise ValueError(
                f"AdaptiveAveragePooling2D '{self.name}' needs images of a known size, "
                f"(batch, height, width, channels). Received an input of shape "
                f"{tuple(input_shape)}."
            )
        self.means = [np.zeros((self.output_size, size)) for size in sizes]
        for matrix in self.means:
            for row, window in zip(matrix, windows(matrix.shape[1], len(matrix))):
                row[list(window)] = 1 / len(window)

    def _axes(self):
        return (2, 3) if self.data_format == "channels_first" else (1, 2)

    def call(self, inputs):
        if all(m.shape[0] == m.shape[1] for m in self.means):
            return inputs
        rows, columns = (ops.convert_to_tensor(m, inputs.dtype) for m in self.means)
        first = self.data_format == "channels_first"
        equation = "ih,bchw,jw->bcij" if first else "ih,bhwc,jw->bijc"
        return ops.einsum(equation, rows, inputs, columns)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis in self._axes():
            shape[axis] = self.output_size
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "data_format": self.data_format,
        }
