from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.encoders.encoder import UnitIntervalEncoder
from keras_spiking.layers.encoders.encoder import along_time
from keras_spiking.layers.encoders.encoder import to_unit_interval
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_integer


@keras.saving.register_keras_serializable("keras_spiking")
class WeightedPhaseEncoder(UnitIntervalEncoder):
    """Binary code: the spike in phase `k` is worth `2^-(k + 1)`.

    The spikes of one period are the bits of the input, highest first:

        x = sum_k S[k] 2^-(k + 1),    k = 0 ... bits - 1

    No gradient passes: layers before the encoder do not learn.

    Args:
        timesteps: Integer >= 1, number of time steps.
        bits: Integer >= 1 and at most 64, the length of a period. Periods
            repeat. Defaults to `timesteps`.
        clip: Boolean, whether to clip values outside [0, 1] and to take integers.
            Defaults to `False`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ...)`, values in [0, 1]. Values between the levels are rounded
        down; above `1 - 2^-bits` there is none.

    Output shape:
        `(batch, timesteps, ...)`.

    Raises:
        ValueError: if `bits` is not between 1 and 64, or the input has integers
            or values outside [0, 1], where they are known.

    Example:

    >>> encoder = keras_spiking.layers.WeightedPhaseEncoder(8)
    >>> spikes = encoder(keras.ops.array([[192 / 256]]))
    >>> [int(s) for s in spikes[0, :, 0]]
    [1, 1, 0, 0, 0, 0, 0, 0]

    References:
        - [Kim et al., 2018](https://doi.org/10.1016/j.neucom.2018.05.087)
    """

    has_gradient = False

    def __init__(
        self,
        timesteps: int,
        *,
        bits: int | None = None,
        clip: bool = False,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(timesteps, clip=clip, **kwargs)
        # A period of the phase code is that many steps long.
        self.bits = check_integer("bits", timesteps if bits is None else bits, 1, 64)

    def encode(self, x):
        # A float32 below 1 has 24 bits: more cannot be asked of it.
        x = ops.minimum(to_unit_interval(x), 1.0 - 2.0 ** -min(self.bits, 24))
        # Doubling is exact, so these are the bits of x and nothing is rounded.
        scale = [2.0 ** (1 + t % self.bits) for t in range(self.timesteps)]
        shifted = ops.expand_dims(x, 1) * along_time(scale, x)
        return ops.floor(shifted) % 2.0 >= 1.0

    def get_config(self):
        return {**super().get_config(), "bits": self.bits}
