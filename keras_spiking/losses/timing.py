"""Losses over the times of spikes."""

from typing import Any

import keras
from keras import ops

from keras_spiking.described import Described
from keras_spiking.losses.over_time import LossOverTime
from keras_spiking.losses.over_time import one_hot
from keras_spiking.ops.reduce import mean
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_number


def first_spike_index(spikes: Any) -> Any:
    """Marks the first spike of each neuron.

    Args:
        spikes: Tensor `(batch, time, ...)` of 0 and 1.

    Returns:
        A tensor of booleans of the same shape, true at the first spike; all false
        for a neuron that does not fire.

    Example:

    >>> spikes = keras.ops.array([[0.0, 1.0, 1.0]])
    >>> [bool(b) for b in keras_spiking.losses.first_spike_index(spikes)[0]]
    [False, True, False]
    """
    fires = ops.cast(ops.convert_to_tensor(spikes) > 0.0, "int32")
    return ops.logical_and(fires == 1, ops.cumsum(fires, axis=1) == 1)


def first_spike_time(spikes: Any) -> Any:
    """The time step of each neuron's first spike, with a gradient.

    A neuron that does not fire has the time `timesteps`. The gradient is -1 at the
    first spike, or at every step of a silent neuron: more potential there makes the
    first spike earlier.

    Args:
        spikes: Tensor `(batch, time, ...)` of 0 and 1.

    Returns:
        A tensor `(batch, ...)`.

    Example:

    >>> spikes = keras.ops.array([[[0.0], [1.0], [1.0]], [[0.0], [0.0], [0.0]]])
    >>> times = keras_spiking.losses.first_spike_time(spikes)
    >>> [float(t) for t in keras.ops.reshape(times, (-1,))]
    [1.0, 3.0]
    """
    spikes = ops.convert_to_tensor(spikes)
    first = ops.cast(first_spike_index(spikes), spikes.dtype)
    timesteps = spikes.shape[1]
    shape = (-1,) + (1,) * (len(spikes.shape) - 2)
    left = ops.cast(ops.arange(timesteps, 0, -1), spikes.dtype)
    time = timesteps - ops.sum(first * ops.reshape(left, shape), axis=1)
    silent = 1.0 - ops.max(first, axis=1, keepdims=True)
    moves = -ops.sum(ops.stop_gradient(first + silent) * spikes, axis=1)
    return straight_through(time, moves)


@keras.saving.register_keras_serializable("keras_spiking")
class FirstSpikeTimeLoss(LossOverTime):
    """Mean squared error of first-spike times.

        L = mean_c (t_c - target_c)^2

    Args:
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Target times in time steps, `(batch, classes)`; `timesteps` for a
            neuron that should not fire.
        y_pred: Spikes `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.FirstSpikeTimeLoss()
    >>> spikes = keras.ops.array([[[0.0], [0.0], [1.0]]])
    >>> float(loss(keras.ops.array([[1.0]]), spikes))
    1.0
    """

    def __init__(
        self,
        *,
        name: str = "first_spike_time",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        error = first_spike_time(y_pred) - ops.cast(y_true, y_pred.dtype)
        return mean(ops.square(error), axis=-1)


@keras.saving.register_keras_serializable("keras_spiking")
class TimeToFirstSpikeCrossentropy(LossOverTime):
    """Cross-entropy over which neuron fires first.

        L = -log softmax(-t / temperature)[y]

    Args:
        temperature: Float > 0, in time steps. Defaults to `1.0`.
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Integer labels `(batch,)` or one-hot labels `(batch, classes)`.
        y_pred: Spikes `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.TimeToFirstSpikeCrossentropy()
    >>> round(float(loss(keras.ops.array([3]), keras.ops.zeros((1, 5, 10)))), 3)
    2.303

    References:
        - [Göltz et al., 2021](https://arxiv.org/abs/1912.11443)
    """

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        name: str = "time_to_first_spike_crossentropy",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        self.temperature = check_number("temperature", temperature, above=0.0)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        logits = -first_spike_time(y_pred) / self.temperature
        labels = one_hot(y_true, y_pred)
        return keras.losses.categorical_crossentropy(labels, logits, from_logits=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("keras_spiking")
class TempotronLoss(Described, keras.losses.Loss):
    """Squared distance to the threshold, for neurons that decide wrongly.

        L = sum_c wrong_c (V_max_c - v_threshold)^2

    A neuron is wrong if it fires (`V_max >= v_threshold`) for another class than
    its own, or does not fire for its own.

    Args:
        v_threshold: Float > 0, the threshold of the `Tempotron`. Defaults to `1.0`.
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Integer labels `(batch,)` or one-hot labels `(batch, classes)`.
        y_pred: Largest potentials `(batch, classes)`.

    Example:

    >>> loss = keras_spiking.losses.TempotronLoss()
    >>> float(loss(keras.ops.array([0]), keras.ops.array([[0.5, 1.5]])))
    0.5

    References:
        - [Gütig and Sompolinsky, 2006](https://doi.org/10.1038/nn1643)
    """

    def __init__(
        self,
        v_threshold: float = 1.0,
        *,
        name: str = "tempotron",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        self.v_threshold = check_number("v_threshold", v_threshold, above=0.0)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = ops.convert_to_tensor(y_pred)
        excess = y_pred - self.v_threshold
        fires = ops.cast(excess >= 0.0, y_pred.dtype)
        wrong = ops.abs(fires - one_hot(y_true, y_pred))
        return ops.sum(wrong * ops.square(excess), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "v_threshold": self.v_threshold}
