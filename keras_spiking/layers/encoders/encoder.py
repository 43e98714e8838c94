"""The base class of encoders, and those that only repeat their input."""

import keras
import numpy as np
from keras import ops

from keras_spiking.validation import check_timesteps


class Encoder(keras.layers.Layer):
    """Base class of the encoders: `(batch, ...)` to `(batch, timesteps, ...)`.

    Subclasses implement `encode(x)`.

    Args:
        timesteps: Integer >= 1, number of time steps.
    """

    has_time_axis = True

    def __init__(self, timesteps, **kwargs):
        super().__init__(**kwargs)
        self.timesteps = check_timesteps(timesteps)

    def encode(self, x):
        """Spikes `(batch, timesteps, ...)` of an input `(batch, ...)`."""
        raise NotImplementedError

    def call(self, inputs):
        return ops.cast(self.encode(inputs), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.timesteps, *input_shape[1:])

    def get_config(self):
        return {**super().get_config(), "timesteps": self.timesteps}


def along_time(values, x):
    """One value a time step, as a tensor that broadcasts over the time axis of
    `(batch, time, ...)`, for an input `x` of shape `(batch, ...)`."""
    values = np.asarray(values, "float32")
    return ops.convert_to_tensor(values.reshape(-1, *(1,) * (len(x.shape) - 1)))


def to_unit_interval(x):
    """`x` as float32, clipped into [0, 1]."""
    return ops.clip(ops.cast(x, "float32"), 0.0, 1.0)


@keras.saving.register_keras_serializable("keras_spiking")
class DirectEncoder(Encoder):
    """Presents the same analog input at every time step.

        S[t] = x

    The first spiking layer behind it then encodes the input by its firing, and
    is learned with the rest of the network.

    Args:
        timesteps: Integer >= 1, number of time steps.

    Input shape:
        `(batch, ...)`.

    Output shape:
        `(batch, timesteps, ...)`.

    Example:

    >>> tuple(keras_spiking.layers.DirectEncoder(4)(keras.ops.ones((2, 3))).shape)
    (2, 4, 3)
    """

    def encode(self, x):
        return ops.repeat(ops.expand_dims(x, 1), self.timesteps, axis=1)


@keras.saving.register_keras_serializable("keras_spiking")
class PeriodicEncoder(Encoder):
    """Repeats a pattern of spikes periodically.

        S[t] = x[t mod period]

    Args:
        timesteps: Integer >= 1, number of time steps.

    Input shape:
        `(batch, period, ...)`.

    Output shape:
        `(batch, timesteps, ...)`.

    Raises:
        ValueError: if the input has no axis for the period.

    Example:

    >>> pattern = keras.ops.array([[1.0, 0.0, 0.0]])
    >>> spikes = keras_spiking.layers.PeriodicEncoder(7)(pattern)
    >>> [int(s) for s in spikes[0]]
    [1, 0, 0, 1, 0, 0, 1]
    """

    def build(self, input_shape):
        if len(input_shape) < 2 or input_shape[1] is None:
            raise ValueError(
                "PeriodicEncoder needs an input (batch, period, ...) with a known "
                f"period. Received an input of shape {tuple(input_shape)}."
            )

    def encode(self, x):
        steps = ops.arange(self.timesteps, dtype="int32") % x.shape[1]
        return ops.take(x, steps, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.timesteps, *input_shape[2:])
