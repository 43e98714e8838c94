"""Encoders that only repeat their input."""

import warnings

import keras
from keras import ops

from keras_spiking import backends
from keras_spiking.layers.encoders.encoder import Encoder

_ENOUGH = 32  # images of a batch, to know what they are


def _is_image(shape):
    if len(shape) == 2:
        return shape[0] == shape[1] >= 8
    return len(shape) == 3 and (shape[-1] in (1, 3) or shape[0] in (1, 3))


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

    has_looked = False  # once is enough

    def checked(self, x):
        if keras.backend.standardize_dtype(x.dtype) == "uint8":
            self._warn_of_bytes()
        if not (self.has_looked or isinstance(x, keras.KerasTensor)):
            if backends.active().knows(x):
                self.look(ops.convert_to_numpy(x[:_ENOUGH]))
        return x

    def look(self, images):
        """Warns if an array are images of 0 to 255."""
        self.has_looked = True
        if _is_image(images.shape[1:]):
            x = images[:_ENOUGH]
            if x.size and x.min() >= 0 and 128 <= x.max() <= 255 and (x % 1 == 0).all():
                self._warn_of_bytes()

    def _warn_of_bytes(self):
        if not self.has_warned:
            self.has_warned = True
            warnings.warn(
                f"DirectEncoder '{self.name}' presents values of 0 to 255 as they are. "
                "Scale images by `keras.layers.Rescaling(1 / 255)` first.",
                stacklevel=5,
            )

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
