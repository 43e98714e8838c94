"""Regularizers of activity: firing rates, synaptic operations."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.backends.loading import active
from keras_spiking.described import Described
from keras_spiking.keras_version import KERAS_VERSION
from keras_spiking.ops.reduce import mean
from keras_spiking.validation import check_array
from keras_spiking.validation import check_fan_out
from keras_spiking.validation import check_number

__all__ = ["FiringRateRegularizer", "SynapticOperationsRegularizer"]


@keras.saving.register_keras_serializable("keras_spiking")
class FiringRateRegularizer(Described, keras.regularizers.Regularizer):
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
        (rate,) = active().mean_over_processes([mean(x, axis=(0, 1))])
        below = ops.relu(self.minimum - rate)
        above = ops.relu(rate - self.maximum)
        penalty = ops.sum(ops.square(below) + ops.square(above))
        # A rate is a mean over the batch already.
        return _activity_loss(self.strength * penalty * _batch_size(x), x)

    def get_config(self) -> dict[str, Any]:
        return {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "strength": self.strength,
        }


@keras.saving.register_keras_serializable("keras_spiking")
class SynapticOperationsRegularizer(Described, keras.regularizers.Regularizer):
    """Penalises synaptic operations: spikes, times the synapses behind each neuron.

        L = strength sum_t,i |S_i[t]| fan_out_i

    per sample. Use it as the `activity_regularizer` of a spiking layer; its gradient
    passes through the spikes by their surrogate. `strength` may be the energy of an
    operation.

    Args:
        fan_out: Float >= 0, the number of synapses per neuron, or an array of the
            features' shape, one for each neuron, such as `keras_spiking.energy.fan_out`
            returns it for the layer that follows. Where several follow, their sum.
        strength: Float >= 0, the weight of the penalty for each operation. Defaults to
            `1e-6`.

    Example:

    >>> convolution = keras.layers.Conv2D(16, 3, strides=2)
    >>> fan_out = keras_spiking.energy.fan_out(convolution, (28, 28, 8))
    >>> regularizer = keras_spiking.regularizers.SynapticOperationsRegularizer(fan_out)
    >>> layer = keras_spiking.layers.LIFLayer(activity_regularizer=regularizer)

    References:
        - [Sorbaro et al., 2020](https://doi.org/10.3389/fnins.2020.00662)
    """

    def __init__(self, fan_out: ArrayLike, strength: float = 1e-6):
        self.fan_out = check_array("fan_out", fan_out, minimum=0.0)
        self.strength = check_number("strength", strength, minimum=0.0)

    def __call__(self, x: Any) -> Any:
        if len(x.shape) < 3:
            raise ValueError(
                "SynapticOperationsRegularizer needs the spikes of every time step, "
                f"(batch, time, ...). Received spikes of shape {tuple(x.shape)}: use "
                "`return_sequences=True`."
            )
        check_fan_out(self.fan_out, x)
        if keras.backend.standardize_dtype(x.dtype) != "float64":
            x = ops.cast(x, "float32")
        fan_out = ops.convert_to_tensor(self.fan_out, x.dtype)
        return _activity_loss(self.strength * ops.sum(ops.abs(x) * fan_out), x)

    def get_config(self) -> dict[str, Any]:
        fan_out = np.asarray(self.fan_out).tolist()
        return {"fan_out": fan_out, "strength": self.strength}


def _activity_loss(total, x):
    """A sum over samples, which Keras divides by their number since version 3.14."""
    if KERAS_VERSION >= (3, 14):
        return total
    return ops.divide_no_nan(total, _batch_size(x))


def _batch_size(x):
    return ops.cast(ops.shape(x)[0], x.dtype)
