import math
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.encoders.encoder import UnitIntervalEncoder
from keras_spiking.layers.encoders.encoder import along_time
from keras_spiking.layers.encoders.encoder import to_unit_interval
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_choice


@keras.saving.register_keras_serializable("keras_spiking")
class LatencyEncoder(UnitIntervalEncoder):
    """Time-to-first-spike code: the larger the input, the earlier its one spike.

    With `T = timesteps`, the spike comes at the step

        t = round((T - 1) (1 - x))                               ("linear")
        t = round((T - 1) - log(alpha x + 1)),  alpha = e^(T - 1) - 1  ("log")

    No gradient passes: layers before the encoder do not learn.

    Args:
        timesteps: Integer >= 1, number of time steps.
        function: `"linear"` or `"log"`. Defaults to `"linear"`.
        clip: Boolean, whether to clip values outside [0, 1] and to take integers.
            Defaults to `False`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ...)`, values in [0, 1].

    Output shape:
        `(batch, timesteps, ...)`, one spike for every input.

    Raises:
        ValueError: if the input has integers or values outside [0, 1], where they
            are known: functions that JAX has compiled cannot tell.

    Example:

    >>> spikes = keras_spiking.layers.LatencyEncoder(5)(keras.ops.array([[0.75]]))
    >>> [int(s) for s in spikes[0, :, 0]]
    [0, 1, 0, 0, 0]
    """

    has_gradient = False

    def __init__(
        self,
        timesteps: int,
        *,
        function: str = "linear",
        clip: bool = False,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(timesteps, clip=clip, **kwargs)
        choices = ("linear", "log")
        self.function = check_choice("function", function, choices)

    def encode(self, x):
        x = to_unit_interval(x)
        last = self.timesteps - 1
        if self.function == "linear" or last == 0:
            time = last * (1.0 - x)
        else:
            # log(alpha x + 1) without e^last, which overflows for long sequences.
            log_alpha = last + math.log1p(-math.exp(-last))
            time = last - ops.softplus(log_alpha + ops.log(x))
        time = ops.expand_dims(ops.round(time), 1)
        return time == along_time(range(self.timesteps), x)

    def get_config(self):
        return {**super().get_config(), "function": self.function}
