import keras
import numpy as np
from keras import ops

from keras_spiking.layers.encoders.encoder import Encoder
from keras_spiking.layers.encoders.encoder import along_time
from keras_spiking.layers.encoders.encoder import to_unit_interval
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class WeightedPhaseEncoder(Encoder):
    """Binary code: the spike in phase `k` is worth `2^-(k + 1)`.

    The spikes of one period are the bits of the input, highest first:

        x = sum_k S[k] 2^-(k + 1),    k = 0 ... bits - 1

    Args:
        timesteps: Integer >= 1, number of time steps.
        bits: Integer >= 1 and at most 64, the length of a period. Periods
            repeat. Defaults to `timesteps`.

    Input shape:
        `(batch, ...)`, values in [0, 1 - 2^-bits]. Values outside are clipped,
        values between the levels are rounded down.

    Output shape:
        `(batch, timesteps, ...)`.

    Raises:
        ValueError: if `bits` is not between 1 and 64.

    Example:

    >>> encoder = keras_spiking.layers.WeightedPhaseEncoder(8)
    >>> spikes = encoder(keras.ops.array([[192 / 256]]))
    >>> [int(s) for s in spikes[0, :, 0]]
    [1, 1, 0, 0, 0, 0, 0, 0]

    References:
        - [Kim et al., 2018](https://doi.org/10.1016/j.neucom.2018.05.087)
    """

    def __init__(self, timesteps, bits=None, **kwargs):
        super().__init__(timesteps, **kwargs)
        self.bits = timesteps if bits is None else check_number("bits", bits)
        if not 1 <= self.bits <= 64 or self.bits != int(self.bits):
            raise ValueError(
                "`bits` must be an integer from 1 to 64: a period of the phase "
                f"code is that many steps long. Received: bits={bits}, "
                f"timesteps={timesteps}"
            )
        self.bits = int(self.bits)

    def encode(self, x):
        # A float32 below 1 has 24 bits: more cannot be asked of it.
        x = ops.minimum(to_unit_interval(x), 1.0 - 2.0 ** -min(self.bits, 24))
        # Doubling is exact, so these are the bits of x and nothing is rounded.
        scale = 2.0 ** (1 + np.arange(self.timesteps) % self.bits)
        shifted = ops.expand_dims(x, 1) * along_time(scale, x)
        return ops.floor(shifted) % 2.0 >= 1.0

    def get_config(self):
        return {**super().get_config(), "bits": self.bits}
