"""Regularizers of activity."""

from typing import Any

import keras
from keras import ops

from keras_spiking.ops.reduce import mean
from keras_spiking.validation import check_number

__all__ = ["FiringRateRegularizer"]


@keras.saving.register_keras_serializable("keras_spiking")
class FiringRateRegularizer(keras.regularizers.Regularizer):
    """Penalises neurons whose firing rate leaves a target range.

        L = strength sum_i (max(0, minimum - r_i)^2 + max(0, r_i - maximum)^2)

    where `r_i` is the mean rate of neuron `i` over batch and time, in spikes per time
    step. Use it as the `activity_regularizer` of a spiking layer.

    Args:
        minimum: Float >= 0, the lower end of the target range. Defaults to `0.0`.
        maximum: Float >= `minimum`, the upper end. Defaults to `1.0`.
        strength: Float >= 0, the weight of the penalty. Defaults to `0.01`.

    Example:

    >>> layer = keras_spiking.layers.LIFLayer(
    ...     activity_regularizer=keras_spiking.regularizers.FiringRateRegularizer(
    ...         minimum=0.02, maximum=0.2
    ...     )
    ... )

    References:
        - [Zenke and Vogels, 2021](https://doi.org/10.1162/neco_a_01367)
    """

    def __init__(
        self, minimum: float = 0.0, maximum: float = 1.0, strength: float = 0.01
    ):
        self.minimum = check_number("minimum", minimum, minimum=0.0)
        self.maximum = check_number("maximum", maximum, minimum=self.minimum)
        self.strength = check_number("strength", strength, minimum=0.0)

    def __call__(self, x: Any) -> Any:
        if len(x.shape) < 3:
            raise ValueError(
                "FiringRateRegularizer needs the spikes of every time step, (batch, "
                f"time, ...). Received spikes of shape {tuple(x.shape)}: use "
                "`return_sequences=True`."
            )
        if keras.backend.standardize_dtype(x.dtype) != "float64":
            x = ops.cast(x, "float32")
        rate = mean(x, axis=(0, 1))
        below = ops.relu(self.minimum - rate)
        above = ops.relu(rate - self.maximum)
        penalty = ops.sum(ops.square(below) + ops.square(above))
        # Keras divides activity losses by the batch size. A rate is a mean over
        # the batch already.
        batch = ops.cast(ops.shape(x)[0], penalty.dtype)
        return self.strength * penalty * batch

    def get_config(self) -> dict[str, Any]:
        return {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "strength": self.strength,
        }
