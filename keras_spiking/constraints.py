"""Constraints that keep learnable parameters of neurons valid."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_spiking")
class Interval(keras.constraints.Constraint):
    """Clips a weight into `[minimum, maximum]`.

    Args:
        minimum: Float or `None` for no lower bound.
        maximum: Float or `None` for no upper bound.

    Example:

    >>> at_least_one = keras_spiking.constraints.Interval(minimum=1.0)
    """

    def __init__(self, minimum=None, maximum=None):
        self.minimum = minimum
        self.maximum = maximum

    def __call__(self, w):
        if self.minimum is not None:
            w = ops.maximum(w, ops.cast(self.minimum, w.dtype))
        if self.maximum is not None:
            w = ops.minimum(w, ops.cast(self.maximum, w.dtype))
        return w

    def get_config(self):
        return {"minimum": self.minimum, "maximum": self.maximum}
