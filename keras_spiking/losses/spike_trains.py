"""Losses that compare spike trains and potentials with targets."""

import math

import keras
from keras import ops

from keras_spiking.losses.classification import check_time_axis
from keras_spiking.losses.classification import one_hot
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class VanRossumDistance(keras.losses.Loss):
    """Van Rossum distance between spike trains.

        L = 1 / tau sum_t (sum_{s <= t} exp(-(t - s) / tau) (S[s] - target[s]))^2

    averaged over neurons: spikes that are near count as nearly the same.

    Args:
        tau: Float > 0, the time constant in time steps: what is near. Defaults to
            `5.0`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

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

    def __init__(self, tau=5.0, name="van_rossum_distance", **kwargs):
        super().__init__(name=name, **kwargs)
        self.tau = check_number("tau", tau, above=0.0)

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        difference = y_pred - ops.cast(y_true, y_pred.dtype)
        decay = math.exp(-1.0 / self.tau)

        def step(x, trace):
            trace = decay * trace + x
            return trace, trace

        traces, _ = time_loop(step, difference, ops.zeros_like(difference[:, 0]))
        distance = ops.sum(ops.square(traces), axis=1) / self.tau
        axes = tuple(range(1, len(distance.shape)))
        return ops.mean(distance, axis=axes) if axes else distance

    def get_config(self):
        return {**super().get_config(), "tau": self.tau}


@keras.saving.register_keras_serializable("keras_spiking")
class SpikeCountLoss(keras.losses.Loss):
    """Mean squared error of spike counts.

        L = mean_c ((sum_t S[t, c] - target_c) / timesteps)^2

    where the targets are counts, or, for labels, `true_count` for the true class
    and `false_count` for the others.

    Args:
        true_count: Float >= 0 or `None` for as many spikes as time steps. Defaults
            to `None`.
        false_count: Float >= 0. Defaults to `0.0`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Call arguments:
        y_true: Integer labels `(batch,)` or one-hot labels `(batch, classes)`.
        y_pred: Spikes `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.SpikeCountLoss(true_count=8)
    >>> float(loss(keras.ops.array([0]), keras.ops.zeros((1, 8, 4))))
    0.25
    """

    def __init__(self, true_count=None, false_count=0.0, name="spike_count", **kwargs):
        super().__init__(name=name, **kwargs)
        if true_count is not None:
            true_count = check_number("true_count", true_count, minimum=0.0)
        self.true_count = true_count
        self.false_count = check_number("false_count", false_count, minimum=0.0)

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        check_time_axis("SpikeCountLoss", y_pred)
        timesteps = ops.cast(ops.shape(y_pred)[1], y_pred.dtype)
        true = timesteps if self.true_count is None else self.true_count
        labels = one_hot(y_true, y_pred)
        target = self.false_count + labels * (true - self.false_count)
        error = (ops.sum(y_pred, axis=1) - target) / timesteps
        return ops.mean(ops.square(error), axis=-1)

    def get_config(self):
        config = {**super().get_config(), "true_count": self.true_count}
        return {**config, "false_count": self.false_count}


@keras.saving.register_keras_serializable("keras_spiking")
class MembraneLoss(keras.losses.Loss):
    """Mean squared error of membrane potentials at every time step.

        L = mean_{t, c} (V[t, c] - target_c)^2

    with the target `on_target` for the true class and `off_target` for the others.

    Args:
        on_target: Float. Defaults to `1.0`.
        off_target: Float. Defaults to `0.0`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Call arguments:
        y_true: Integer labels `(batch,)` or one-hot labels `(batch, classes)`.
        y_pred: Potentials `(batch, time, classes)`, as of an `LILayer`.

    Example:

    >>> loss = keras_spiking.losses.MembraneLoss()
    >>> float(loss(keras.ops.array([0]), keras.ops.zeros((1, 8, 4))))
    0.25
    """

    def __init__(self, on_target=1.0, off_target=0.0, name="membrane", **kwargs):
        super().__init__(name=name, **kwargs)
        self.on_target = check_number("on_target", on_target)
        self.off_target = check_number("off_target", off_target)

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        check_time_axis("MembraneLoss", y_pred)
        labels = ops.expand_dims(one_hot(y_true, y_pred), 1)
        target = self.off_target + labels * (self.on_target - self.off_target)
        return ops.mean(ops.square(y_pred - target), axis=(1, 2))

    def get_config(self):
        config = {**super().get_config(), "on_target": self.on_target}
        return {**config, "off_target": self.off_target}
