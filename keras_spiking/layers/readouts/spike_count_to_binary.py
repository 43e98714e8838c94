import keras
import numpy as np
from keras import ops

from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_number


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
