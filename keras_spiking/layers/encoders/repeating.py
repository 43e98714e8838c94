"""Encoders that only repeat their input."""

import warnings

import keras
from keras import ops

from keras_spiking.layers.encoders.encoder import Encoder


@keras.saving.register_keras_serializable("keras_spiking")
class DirectEncoder(Encoder):
    """Presents the same analog input at every time step.

        S[t] = x

    The first spiking layer after it then encodes the input by its firing, and
    is learned with the rest of the network. Gradients pass.

    Args:
        timesteps: Integer >= 1, number of time steps.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ...)`.

    Output shape:
        `(batch, timesteps, ...)`.

    Example:

    >>> tuple(keras_spiking.layers.DirectEncoder(4)(keras.ops.ones((2, 3))).shape)
    (2, 4, 3)
    """

    def checked(self, x):
        if keras.backend.standardize_dtype(x.dtype) == "uint8" and not self.has_warned:
            self.has_warned = True
            warnings.warn(
                f"DirectEncoder '{self.name}' presents values of 0 to 255 as they are. "
                "Scale images by `keras.layers.Rescaling(1 / 255)` first.",
                stacklevel=3,
            )
        return x

    def encode(self, x):
        return ops.repeat(ops.expand_dims(x, 1), self.timesteps, axis=1)


@keras.saving.register_keras_serializable("keras_spiking")
class PeriodicEncoder(Encoder):
    """Repeats a pattern of spikes periodically.

        S[t] = x[t mod period]

    Args:
        timesteps: Integer >= 1, number of time steps.
        **kwargs: The arguments of `keras.layers.Layer`.

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
        if len(input_shape) < 2 or not input_shape[1]:
            raise ValueError(
                "PeriodicEncoder needs an input (batch, period, ...) with a known "
                f"period. Received an input of shape {tuple(input_shape)}."
            )

    def encode(self, x):
        steps = ops.arange(self.timesteps, dtype="int32") % x.shape[1]
        return ops.take(x, steps, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.timesteps, *input_shape[2:])
