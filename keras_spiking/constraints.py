"""Constraints that keep learnable parameters of neurons valid."""

from typing import Any

import keras
from keras import ops

from keras_spiking.described import Described
from keras_spiking.validation import check_number

__all__ = ["Interval"]


@keras.saving.register_keras_serializable("keras_spiking")
class Interval(Described, keras.constraints.Constraint):
    """Clips a weight into `[minimum, maximum]`.

    Args:
        minimum: Float, or `None` for no lower bound. Defaults to `None`.
        maximum: Float >= `minimum`, or `None` for no upper bound. Defaults to `None`.

    Example:

    >>> at_least_one = keras_spiking.constraints.Interval(minimum=1.0)
    """

    def __init__(self, minimum: float | None = None, maximum: float | None = None):
        if minimum is not None:
            minimum = check_number("minimum", minimum)
        if maximum is not None:
            maximum = check_number("maximum", maximum, minimum=minimum)
        self.minimum = minimum
        self.maximum = maximum

    def __call__(self, w: Any) -> Any:
        # Not `ops.maximum`, which makes float32 of float64 on PyTorch.
        w = ops.convert_to_tensor(w)
        if self.minimum is not None:
            w = ops.where(w < self.minimum, ops.cast(self.minimum, w.dtype), w)
        if self.maximum is not None:
            w = ops.where(w > self.maximum, ops.cast(self.maximum, w.dtype), w)
        return w

    def get_config(self) -> dict[str, Any]:
        return {"minimum": self.minimum, "maximum": self.maximum}
