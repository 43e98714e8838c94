from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.validation import check_integer


@keras.saving.register_keras_serializable("keras_spiking")
class RunningMean(TemporalLayer):
    """The mean of all inputs so far, a readout that may start with a delay.

        Y[t] = (X[1] + ... + X[t]) / t                    (t <= delay)
        Y[t] = (X[delay + 1] + ... + X[t]) / (t - delay)  (t > delay)

    Args:
        delay: Integer >= 0, number of steps to leave out, in which spikes have
            not yet reached the deep layers. Defaults to `0`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Example:

    >>> x = keras.ops.array([[[9.0], [1.0], [3.0]]])
    >>> y = keras_spiking.conversion.RunningMean(delay=1)(x)
    >>> [float(v) for v in keras.ops.reshape(y, (-1,))]
    [9.0, 1.0, 2.0]
    """

    def __init__(self, delay: int = 0, **kwargs: Unpack[TemporalOptions]):
        super().__init__(**kwargs)
        self.delay = check_integer("delay", delay, minimum=0)

    def get_initial_state(self, x):
        (zeros,) = super().get_initial_state(x)
        return zeros, zeros

    def step(self, x, states):
        total, count = states
        count = count + 1.0
        total = ops.where(ops.equal(count, self.delay + 1.0), 0.0, total) + x
        left_out = ops.where(count > self.delay, float(self.delay), 0.0)
        return total / (count - left_out), (total, count)

    def get_config(self):
        return {**super().get_config(), "delay": self.delay}
