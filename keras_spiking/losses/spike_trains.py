"""Losses that compare spike trains and potentials with targets."""

import math
from typing import Any

import keras
from keras import ops

from keras_spiking.losses.over_time import LossOverTime
from keras_spiking.losses.over_time import one_hot
from keras_spiking.ops.reduce import mean
from keras_spiking.ops.reduce import reduce_time
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class VanRossumDistance(LossOverTime):
    """Van Rossum distance between spike trains.

        L = 1 / tau sum_t (sum_{s <= t} exp(-(t - s) / tau) (S[s] - target[s]))^2

    averaged over neurons: spikes that are close in time count as nearly equal.

    Args:
        tau: Float > 0, the time constant in time steps, which sets what counts as
            near. Defaults to `5.0`.
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Target spikes `(batch, time, ...)`.
        y_pred: Spikes `(batch, time, ...)`.

    Example:

    >>> loss = keras_spiking.losses.VanRossumDistance(tau=2.0)
    >>> spikes = keras.ops.array([[[1.0], [0.0], [0.0]]])
    >>> float(loss(spikes, spikes))
    0.0

    References:
        - [van Rossum, 2001](https://doi.org/10.1162/089976601300014321)
    """

    has_classes = False

    def __init__(
        self,
        tau: float = 5.0,
        *,
        name: str = "van_rossum_distance",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        self.tau = check_number("tau", tau, above=0.0)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        difference = y_pred - ops.cast(y_true, y_pred.dtype)
        decay = math.exp(-1.0 / self.tau)

        def step(x, trace):
            trace = decay * trace + x
            return trace, trace

        traces, _ = time_loop(step, difference, ops.zeros_like(difference[:, 0]))
        distance = ops.sum(ops.square(traces), axis=1) / self.tau
        axes = tuple(range(1, len(distance.shape)))
        return mean(distance, axis=axes) if axes else distance

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tau": self.tau}


@keras.saving.register_keras_serializable("keras_spiking")
class SpikeCountLoss(LossOverTime):
    """Mean squared error of spike counts.

        L = mean_c ((sum_t S[t, c] - target_c) / timesteps)^2

    where the targets are counts, or, for labels, `true_count` for the true class
    and `false_count` for the others.

    Args:
        true_count: Float >= 0, or `None` for as many spikes as there are time
            steps. Defaults to `None`.
        false_count: Float >= 0. Defaults to `0.0`.
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Integer labels `(batch,)` or one-hot labels `(batch, classes)`.
        y_pred: Spikes `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.SpikeCountLoss(true_count=8)
    >>> float(loss(keras.ops.array([0]), keras.ops.zeros((1, 8, 4))))
    0.25
    """

    def __init__(
        self,
        true_count: float | None = None,
        false_count: float = 0.0,
        *,
        name: str = "spike_count",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        if true_count is not None:
            true_count = check_number("true_count", true_count, minimum=0.0)
        self.true_count = true_count
        self.false_count = check_number("false_count", false_count, minimum=0.0)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        timesteps = reduce_time(ops.ones_like(y_pred), "sum", mask)
        true = timesteps if self.true_count is None else self.true_count
        labels = one_hot(y_true, y_pred)
        target = self.false_count + labels * (true - self.false_count)
        error = ops.sum(y_pred, axis=1) - target
        error = error / ops.where(timesteps > 0.0, timesteps, 1.0)  # all masked: 0
        return mean(ops.square(error), axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "true_count": self.true_count}
        return {**config, "false_count": self.false_count}


@keras.saving.register_keras_serializable("keras_spiking")
class MembraneLoss(LossOverTime):
    """Mean squared error of membrane potentials at every time step.

        L = mean_{t, c} (V[t, c] - target_c)^2

    with the target `on_target` for the true class and `off_target` for the others.

    Args:
        on_target: Float. Defaults to `1.0`.
        off_target: Float. Defaults to `0.0`.
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Integer labels `(batch,)` or one-hot labels `(batch, classes)`.
        y_pred: Potentials `(batch, time, classes)`, as of an `LILayer`.

    Example:

    >>> loss = keras_spiking.losses.MembraneLoss()
    >>> float(loss(keras.ops.array([0]), keras.ops.zeros((1, 8, 4))))
    0.25
    """

    def __init__(
        self,
        on_target: float = 1.0,
        off_target: float = 0.0,
        *,
        name: str = "membrane",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        self.on_target = check_number("on_target", on_target)
        self.off_target = check_number("off_target", off_target)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        labels = ops.expand_dims(one_hot(y_true, y_pred), 1)
        target = self.off_target + labels * (self.on_target - self.off_target)
        error = reduce_time(ops.square(y_pred - target), "mean", mask)
        return mean(error, axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "on_target": self.on_target}
        return {**config, "off_target": self.off_target}
