"""The base classes of encoders, and the checks of what they encode."""

import warnings
from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking import backends
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.mistakes import operations_before
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_timesteps

_TOLERANCE = 0.01  # more than a scaled image in half precision is off


class Encoder(Layer):
    """Base class of the encoders: `(batch, ...)` to `(batch, timesteps, ...)`.

    Subclasses implement `encode(x)`.

    Args:
        timesteps: Integer >= 1, number of time steps.
        **kwargs: The arguments of `keras.layers.Layer`.
    """

    has_time_axis = True
    has_gradient = True  # whether layers before the encoder can learn

    def __init__(self, timesteps: int, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.timesteps = check_timesteps(timesteps)
        self.has_warned = False

    def encode(self, x: Any) -> Any:
        """Spikes `(batch, timesteps, ...)` of an input `(batch, ...)`."""
        raise NotImplementedError

    def checked(self, x):
        """The input, symbolic or not, if it can be encoded."""
        return x

    def call(self, inputs):
        return ops.cast(self.encode(self.checked(inputs)), self.compute_dtype)

    def compute_output_spec(self, inputs):
        self.checked(inputs)
        if not (self.has_gradient or self.has_warned) and _has_weights(inputs):
            self.has_warned = True
            warnings.warn(
                f"No gradient passes through {type(self).__name__} '{self.name}': the "
                "layers before it will not learn. DirectEncoder, or PoissonEncoder "
                "with `straight_through=True`, pass one.",
                stacklevel=3,
            )
        return super().compute_output_spec(inputs)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.timesteps, *input_shape[1:])

    def get_config(self):
        return {**super().get_config(), "timesteps": self.timesteps}


class UnitIntervalEncoder(Encoder):
    """Base class of the encoders of values between 0 and 1.

    Args:
        timesteps: Integer >= 1, number of time steps.
        clip: Boolean, whether to clip other values, instead of refusing integers,
            and values out of range where they are known: compiled functions of JAX
            cannot tell.
        **kwargs: The arguments of `keras.layers.Layer`.
    """

    def __init__(
        self, timesteps: int, *, clip: bool = False, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(timesteps, **kwargs)
        self.clip = check_bool("clip", clip)

    def checked(self, x):
        if self.clip:
            return x
        dtype = check_no_integers(self, x)
        if isinstance(x, keras.KerasTensor) or dtype == "bool":
            return x
        outside = ops.logical_or(x < -_TOLERANCE, x > 1.0 + _TOLERANCE)
        inside = ops.logical_not(ops.any(outside))
        message = _out_of_range(self, "values outside")
        try:
            (x,) = backends.active().require(inside, message, (x,))
        except ValueError:  # values are known, say which
            low, high = float(ops.min(x)), float(ops.max(x))
            message = _out_of_range(self, f"values from {low:g} to {high:g}")
            raise ValueError(message) from None
        return x

    def get_config(self):
        return {**super().get_config(), "clip": self.clip}


def check_no_integers(encoder, x):
    """Returns the dtype of an input; refuses images of 0 to 255 and the like."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if "int" in dtype:
        raise ValueError(_out_of_range(encoder, f"an input of dtype {dtype}"))
    return dtype


def _out_of_range(encoder, received):
    return (
        f"{type(encoder).__name__} '{encoder.name}' encodes values in [0, 1]. "
        f"Received: {received}. Scale images by `keras.layers.Rescaling(1 / 255)`, "
        "cast what is 0 and 1 to float, or clip values by `clip=True`."
    )


def _has_weights(x):
    """Whether trainable weights take part in a symbolic tensor."""
    operations = operations_before(x, lambda operation: False)
    return any(getattr(y, "trainable_variables", None) for y in operations)


def along_time(values, x):
    """One value a time step, as a tensor that broadcasts over the time axis of
    `(batch, time, ...)`, for an input `x` of shape `(batch, ...)`."""
    # Not from an array: `torch.compile` would break its graph there.
    values = ops.convert_to_tensor([float(v) for v in values], dtype="float32")
    return ops.reshape(values, (-1, *(1,) * (len(x.shape) - 1)))


def to_unit_interval(x):
    """`x` as float32, clipped into [0, 1]."""
    return ops.clip(ops.cast(x, "float32"), 0.0, 1.0)
