"""Batch normalisation for sequences of a spiking network."""

from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.backends.loading import active
from keras_spiking.layers import batch_statistics
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import Explicit
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.per_step import first_step
from keras_spiking.layers.per_step import fix_timesteps
from keras_spiking.layers.per_step import weight_at
from keras_spiking.layers.remat import Rematerializable
from keras_spiking.validation import check_data_format
from keras_spiking.validation import check_keywords
from keras_spiking.validation import check_mask
from keras_spiking.validation import check_number
from keras_spiking.validation import check_time_axis
from keras_spiking.validation import check_timesteps


class BatchNormalizationOptions(LayerOptions, total=False):
    """Arguments of `keras.layers.BatchNormalization` that have its defaults."""

    center: bool
    scale: bool
    beta_initializer: Any
    gamma_initializer: Any
    moving_mean_initializer: Any
    moving_variance_initializer: Any
    beta_regularizer: Any
    gamma_regularizer: Any
    beta_constraint: Any
    gamma_constraint: Any
    renorm: bool
    renorm_clipping: Any
    renorm_momentum: float
    synchronized: bool


class BatchNormalizationOverTimeOptions(BatchNormalizationOptions, total=False):
    """All that the layers here pass on."""

    momentum: float
    epsilon: float
    data_format: str | None


class _BatchNormalization(Explicit, Rematerializable, keras.layers.BatchNormalization):
    """Keras's layer over `(batch, time, ...)`, with masks over batch and time."""

    has_time_axis = True

    def __init__(
        self,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        data_format: str | None = None,
        **kwargs: Unpack[BatchNormalizationOptions],
    ):
        check_keywords(type(self), kwargs)
        self.data_format = check_data_format(data_format)
        super().__init__(
            axis=2 if self.data_format == "channels_first" else -1,
            momentum=check_number("momentum", momentum, 0.0, 1.0),
            epsilon=check_number("epsilon", epsilon, above=0.0),
            **kwargs,
        )

    def build(self, input_shape):
        check_time_axis(self, input_shape)
        super().build(input_shape)

    def call(self, inputs, training=None, mask=None):
        check_mask(self, inputs.shape, mask)
        served = batch_statistics.serves(self, inputs, mask)
        mask = _of_features(mask, len(inputs.shape) - (not served))
        if served:
            return batch_statistics.batch_normalization(self, inputs, training, mask)
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        config = super().get_config()
        del config["axis"]
        return {**config, "data_format": self.data_format}


@keras.saving.register_keras_serializable("keras_spiking")
class ThresholdDependentBatchNormalization(_BatchNormalization):
    """Batch normalisation in proportion to the threshold (tdBN).

        y = gamma (x - mean) / sqrt(variance + epsilon) + beta

    over batch, time and space, with `gamma` starting at `alpha v_th`, so that the
    inputs of the following neurons come in proportion to their threshold.

    Args:
        alpha: Float > 0. `1.0`, or `1 / sqrt(2)` where two branches are added.
            Defaults to `1.0`.
        v_th: Float > 0, the threshold of the following neurons. Defaults to
            `1.0`.
        momentum: Float, of the moving averages. Defaults to `0.9`.
        epsilon: Float. Defaults to `1e-5`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.BatchNormalization`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        training: Boolean, whether statistics are those of this batch.
        mask: Boolean tensor `(batch, time)`. Masked steps do not count.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if `alpha` or `v_th` is not positive.

    Example:

    >>> layer = keras_spiking.layers.ThresholdDependentBatchNormalization(v_th=0.5)
    >>> layer(keras.random.normal((2, 4, 6, 6, 3)), training=True).shape
    (2, 4, 6, 6, 3)

    References:
        - [Zheng et al., 2021](https://arxiv.org/abs/2011.05280)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        v_th: float = 1.0,
        **kwargs: Unpack[BatchNormalizationOverTimeOptions],
    ):
        self.alpha = check_number("alpha", alpha, above=0.0)
        self.v_th = check_number("v_th", v_th, above=0.0)
        gamma = keras.initializers.Constant(self.alpha * self.v_th)
        super().__init__(**{"gamma_initializer": gamma, **kwargs})

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "v_th": self.v_th}


@keras.saving.register_keras_serializable("keras_spiking")
class TemporalEffectiveBatchNormalization(_BatchNormalization):
    """Batch normalisation with a learned scale for each time step (TEBN).

        y[t] = scale[t] (gamma (x[t] - mean) / sqrt(variance + epsilon) + beta)

    with statistics over batch, time and space. Not to be folded into the layer
    before, whose weights are the same at all time steps.

    Args:
        T: Integer, the number of time steps, or `None` to take the input's.
            Defaults to `None`.
        **kwargs: `momentum`, `epsilon`, `data_format`, and the arguments of
            `keras.layers.BatchNormalization`. See
            `ThresholdDependentBatchNormalization`.

    Input shape:
        `(batch, T, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the input does not have `T` time steps.

    Example:

    >>> layer = keras_spiking.layers.TemporalEffectiveBatchNormalization()
    >>> layer(keras.random.normal((2, 4, 6, 6, 3)), training=True).shape
    (2, 4, 6, 6, 3)

    References:
        - [Duan et al., 2022](https://openreview.net/forum?id=fLIgyyQiJqz)
    """

    def __init__(
        self, T: int | None = None, **kwargs: Unpack[BatchNormalizationOverTimeOptions]
    ):
        super().__init__(**kwargs)
        self.T = None if T is None else check_timesteps(T, "T")

    def build(self, input_shape):
        super().build(input_shape)
        self.scale_per_step = self.add_weight(
            name="scale_per_step",
            shape=(fix_timesteps(self, input_shape),),
            initializer="ones",
        )

    def call(self, inputs, training=None, mask=None):
        y = super().call(inputs, training=training, mask=mask)
        scale = weight_at(self.scale_per_step, first_step(self, inputs))
        shape = (-1,) + (1,) * (len(inputs.shape) - 2)
        return y * ops.cast(ops.reshape(scale, shape), y.dtype)

    def get_config(self):
        return {**super().get_config(), "T": self.T}


@keras.saving.register_keras_serializable("keras_spiking")
class BatchNormalizationThroughTime(Layer):
    """Batch normalisation with statistics and scales of each time step (BNTT).

        y[t] = gamma[t] (x[t] - mean[t]) / sqrt(variance[t] + epsilon)

    Args:
        T: Integer, the number of time steps, or `None` to take the input's.
            Defaults to `None`.
        momentum: Float, of the moving averages. Defaults to `0.9`.
        epsilon: Float. Defaults to `1e-5`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, T, ...)`.
        training: Boolean, whether statistics are those of this batch.
        mask: Boolean tensor `(batch, T)`. Masked steps do not count; a step that is
            masked for all samples leaves its moving averages as they are.

    Input shape:
        `(batch, T, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the input does not have `T` time steps.

    Example:

    >>> layer = keras_spiking.layers.BatchNormalizationThroughTime()
    >>> layer(keras.random.normal((2, 4, 6, 6, 3)), training=True).shape
    (2, 4, 6, 6, 3)

    References:
        - [Kim and Panda, 2021](https://arxiv.org/abs/2010.01729)
    """

    has_time_axis = True

    def __init__(
        self,
        T: int | None = None,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.T = None if T is None else check_timesteps(T, "T")
        self.momentum = check_number("momentum", momentum, 0.0, 1.0)
        self.epsilon = check_number("epsilon", epsilon, above=0.0)
        self.data_format = check_data_format(data_format)
        self.supports_masking = True

    def build(self, input_shape):
        check_time_axis(self, input_shape)
        axis = 2 if self.data_format == "channels_first" else len(input_shape) - 1
        self.axes = [i for i in range(len(input_shape)) if i not in (1, axis)]
        # One value a time step and channel, in a shape that broadcasts.
        shape = [1] * (len(input_shape) - 1)
        shape[0] = fix_timesteps(self, input_shape)
        shape[axis - 1] = input_shape[axis]

        def weight(name, initializer, trainable):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                trainable=trainable,
                autocast=False,
            )

        self.gamma = weight("gamma", "ones", True)
        self.moving_mean = weight("moving_mean", "zeros", False)
        self.moving_variance = weight("moving_variance", "ones", False)

    def call(self, inputs, training=False, mask=None):
        check_mask(self, inputs.shape, mask)
        x = ops.cast(inputs, self.gamma.dtype)
        start = first_step(self, inputs)
        gamma, mean, variance = (
            weight_at(w, start)
            for w in (self.gamma, self.moving_mean, self.moving_variance)
        )
        if training:
            moments, counts = self._moments(x, _of_features(mask, len(x.shape)))
            moving = (self.moving_mean, self.moving_variance)
            for variable, old, new in zip(moving, (mean, variance), moments):
                new = self.momentum * old + (1 - self.momentum) * ops.stop_gradient(new)
                self._update(variable, ops.where(counts, new, old), start)
            mean, variance = moments
        y = gamma * (x - mean) * ops.rsqrt(variance + self.epsilon)
        return ops.cast(y, self.compute_dtype)

    def _moments(self, x, mask):
        """Mean and variance of each step, and whether anything counts there."""
        if mask is None:
            moments = batch_statistics.moments(x, self.axes)
            return [ops.squeeze(m, 0) for m in moments], True
        weight = ops.broadcast_to(ops.cast(mask, x.dtype), ops.shape(x))

        def total(values):
            local = ops.sum(weight * values, self.axes, keepdims=True)
            return active().sum_over_processes([local])[0]

        def average(values):
            return total(values) / divisor

        count = total(ops.ones_like(x))
        divisor = ops.where(count > 0.0, count, 1.0)
        mean = average(ops.where(weight > 0.0, x, 0.0))
        variance = average(ops.square(ops.where(weight > 0.0, x - mean, 0.0)))
        return [mean[0], variance[0]], count[0] > 0.0

    def _update(self, moving, new, start):
        if start is not None:
            whole = ops.convert_to_tensor(moving)
            at = [start] + [0] * (len(whole.shape) - 1)
            new = ops.slice_update(whole, at, new)
        moving.assign(new)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "T": self.T,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "data_format": self.data_format,
        }


def _of_features(mask, rank):
    """A mask `(batch, time)` with `rank` axes, or `None`."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    return ops.reshape(mask, (*ops.shape(mask), *(1,) * (rank - 2)))
