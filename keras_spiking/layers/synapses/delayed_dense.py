from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.synapses.delay_line import DelayLineOptions
from keras_spiking.layers.synapses.delay_line import LearnedDelays
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer

__all__ = ["DelayedDense"]


@keras.saving.register_keras_serializable("keras_spiking")
class DelayedDense(LearnedDelays):
    """A dense layer with a learned delay for each synapse.

        Y_j[t] = sum_i W_ij sum_n k(n - d_ij) X_i[t - n] + b_j,    0 <= n <= max_delay

    It is the dilated convolution with learnable spacings over time (DCLS) of one
    element for each synapse. In training, the kernel `k` spreads a delay over whole
    steps, so that it has a gradient:

        k(x) = max(0, 1 - |x|)                      (interpolated)
        k(x) = exp(-x^2 / (2 sigma^2)) / its sum    (gaussian)

    A wide Gaussian finds delays that are far away. Let it narrow during training by
    `keras_spiking.callbacks.DelayAnnealing`, since at inference delays are rounded.
    `keras_spiking.utils.round_delays` rounds them for good, and reports what that
    changes.

    Delays have to move by steps while weights move by fractions: give them a learning
    rate that is 10 to 100 times as high, by a `keras.optimizers.MultiOptimizer`. To
    keep them as they were drawn, set `layer.delay.trainable = False`.

    In a `RecurrentGraph`, on the way back to the neurons, these are recurrent delays,
    of one step more. Between `EventPropLayer`s, with `"interpolated"` and
    `round_at_inference=False`, they have the gradient of spike times.

    Args:
        units: Integer >= 1, the number of outputs.
        max_delay: Integer >= 1, the longest delay in time steps. Defaults to `8`.
        delay_kernel: `"gaussian"` or `"interpolated"`. Defaults to `"gaussian"`.
        sigma: Float > 0, the width of the Gaussian in time steps at the start of
            training. `None` for `max_delay / 2`. Defaults to `None`.
        round_at_inference: Boolean, whether delays are rounded at inference. Otherwise
            they are spread as in training. Defaults to `True`.
        use_bias: Boolean. Defaults to `True`.
        kernel_initializer: Initializer of the weights `W`. Defaults to
            `"glorot_uniform"`.
        bias_initializer: Initializer of `b`. Defaults to `"zeros"`.
        delay_initializer: Initializer of the delays, which are kept within `[0,
            max_delay]`. Defaults to uniform over that range.
        kernel_regularizer: Regularizer of the weights, or `None`. Defaults to `None`.
        kernel_constraint: Constraint of the weights, or `None`. Defaults to `None`.
        stateful: Boolean, whether a call goes on where the last one ended;
            `reset_state()` starts afresh. Needs a fixed batch size. Defaults to
            `False`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ..., features)`.
        training: Boolean, whether delays are real numbers.

    Input shape:
        `(batch, time, ..., features)`, with more than `max_delay` steps.

    Output shape:
        `(batch, time, ..., units)`.

    Raises:
        ValueError: if `max_delay` is less than 1, or not less than the steps of the
            sequence, or `sigma` is given without a Gaussian.

    Example:

    >>> layer = keras_spiking.layers.DelayedDense(5, max_delay=4)
    >>> layer(keras.ops.ones((2, 8, 10))).shape
    (2, 8, 5)
    >>> layer.delay.shape
    (10, 5)

    References:
        - [Hammouamri et al., 2023](https://arxiv.org/abs/2306.17670)
        - [Khalfaoui-Hassani et al., 2021](https://arxiv.org/abs/2112.03740)
    """

    def __init__(
        self,
        units: int,
        *,
        max_delay: int = 8,
        delay_kernel: str = "gaussian",
        sigma: float | None = None,
        round_at_inference: bool = True,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        delay_initializer: Any = None,
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Unpack[DelayLineOptions],
    ):
        super().__init__(
            max_delay,
            delay_kernel=delay_kernel,
            sigma=sigma,
            delay_initializer=delay_initializer,
            round_at_inference=round_at_inference,
            **kwargs,
        )
        self.units = check_integer("units", units, minimum=1)
        self.use_bias = check_bool("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)

    def delay_shape(self, input_shape):
        return (input_shape[-1], self.units)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), initializer=self.bias_initializer
            )
        super().build(input_shape)
        features = {-1: input_shape[-1]}
        self.input_spec = keras.layers.InputSpec(min_ndim=3, axes=features)

    def call(self, inputs, training=False):
        kernel = ops.convert_to_tensor(self.kernel)
        # A convolution begins with the steps longest ago.
        taps = ops.flip(self.taps(training), axis=0)
        taps = ops.cast(taps, kernel.dtype) * kernel
        y = _convolve(self.with_past(inputs), taps)
        if self.bias is not None:
            y = y + ops.convert_to_tensor(self.bias)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "delay_initializer": serialize(self.delay_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
        }


def _convolve(sequence, taps):
    """Convolves `(batch, time, ..., features)` over time."""
    if len(sequence.shape) == 3:
        return _convolve_over_time(sequence, taps)
    batch, time, *places, features = ops.shape(sequence)
    sequence = ops.reshape(sequence, (batch, time, -1, features))
    sequence = ops.reshape(ops.swapaxes(sequence, 1, 2), (-1, time, features))
    y = _convolve_over_time(sequence, taps)
    after, units = ops.shape(y)[1:]
    y = ops.swapaxes(ops.reshape(y, (batch, -1, after, units)), 1, 2)
    return ops.reshape(y, (batch, after, *places, units))


def _convolve_over_time(sequence, taps):
    return ops.conv(sequence, taps, padding="valid", data_format="channels_last")
