from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer


@keras.saving.register_keras_serializable("keras_spiking")
class SpikeCountToBinary(Layer):
    """Writes spike counts as binary digits over time, or as so many spikes.

        Y[b] = floor(X / 2^(bits - 1 - b)) mod 2       (code="binary")
        Y[b] = 1 if b < X else 0                       (code="unary")

    in `bits` time steps `b = 0 ... bits - 1`. Counts are rounded, and clipped into
    the range of the code. The gradient of a count is shared by its digits in
    proportion to their value.

    SpikingJelly's layer of this name unfolds counts into spikes: `code="unary"`.

    Args:
        bits: Integer >= 1, the number of time steps.
        code: `"binary"`, the most significant digit first, or `"unary"`, a count of
            2 in 4 steps is `1100`. Defaults to `"binary"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ...)`, counts as `SpikeCount` gives them.

    Output shape:
        `(batch, bits, ...)`.

    Example:

    >>> digits = keras_spiking.layers.SpikeCountToBinary(3)(keras.ops.array([[6.0]]))
    >>> [int(d) for d in keras.ops.reshape(digits, (-1,))]
    [1, 1, 0]
    """

    def __init__(
        self, bits: int, *, code: str = "binary", **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(**kwargs)
        self.bits = check_integer("bits", bits, minimum=1)
        self.code = check_choice("code", code, ("binary", "unary"))

    def call(self, inputs):
        inputs = ops.cast(inputs, self.compute_dtype)
        steps = np.arange(self.bits).reshape((-1,) + (1,) * (len(inputs.shape) - 1))
        value = 2.0 ** steps[::-1] if self.code == "binary" else np.ones(steps.shape)
        largest = np.sum(value)
        value = ops.convert_to_tensor(value, dtype=inputs.dtype)
        count = ops.expand_dims(ops.clip(ops.round(inputs), 0.0, largest), 1)
        if self.code == "binary":
            digits = ops.floor(count / value)
            digits = digits - 2.0 * ops.floor(digits / 2.0)
        else:
            digits = ops.cast(count > ops.cast(steps, inputs.dtype), inputs.dtype)
        share = ops.expand_dims(inputs, 1) * value / ops.sum(ops.square(value))
        return straight_through(digits, share)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.bits, *input_shape[1:])

    def get_config(self):
        return {**super().get_config(), "bits": self.bits, "code": self.code}
