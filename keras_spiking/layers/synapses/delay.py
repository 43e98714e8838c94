"""Delays on the way from spike to spike."""

from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.synapses.delay_line import DelayLine
from keras_spiking.layers.synapses.delay_line import DelayLineOptions
from keras_spiking.layers.synapses.delay_line import LearnedDelays
from keras_spiking.validation import check_integer


@keras.saving.register_keras_serializable("keras_spiking")
class Delay(DelayLine):
    """Delays a sequence by a number of time steps.

        Y[t] = X[t - delay_steps],    Y[t] = 0 for t < delay_steps

    Args:
        delay_steps: Integer >= 0.
        stateful: Boolean, whether a call goes on where the last one ended;
            `reset_state()` starts afresh. Needs a fixed batch size. Defaults to
            `False`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, time, ...)`, with more than `delay_steps` steps.

    Output shape:
        As the input.

    Raises:
        ValueError: if `delay_steps` is negative, or not less than the steps of the
            sequence.

    Example:

    >>> spikes = keras.ops.array([[[1.0], [0.0], [1.0], [1.0]]])
    >>> delayed = keras_spiking.layers.Delay(2)(spikes)
    >>> [int(s) for s in keras.ops.reshape(delayed, (-1,))]
    [0, 0, 1, 0]
    """

    def __init__(self, delay_steps: int, **kwargs: Unpack[DelayLineOptions]):
        super().__init__(**kwargs)
        self.delay_steps = check_integer("delay_steps", delay_steps, minimum=0)

    @property
    def length(self):
        return self.delay_steps

    def call(self, inputs):
        if self.delay_steps == 0:
            return inputs
        return self.with_past(inputs)[:, : ops.shape(inputs)[1]]

    def get_config(self):
        return {**super().get_config(), "delay_steps": self.delay_steps}


@keras.saving.register_keras_serializable("keras_spiking")
class LearnableDelay(LearnedDelays):
    """A learned delay for each channel.

        Y[t] = sum_n k(n - d) X[t - n]

    In training, the kernel `k` spreads a delay `d` over whole steps, so that it has a
    gradient: by linear interpolation between the two steps next to it, or as a
    Gaussian. At inference delays are rounded: spikes stay spikes.

    After neurons and before a dense layer, these are axonal delays; between a dense
    layer and its neurons, dendritic ones. For delays of each synapse, see
    `DelayedDense`.

    Args:
        max_delay: Integer >= 1, the longest delay in time steps. Defaults to
            `8`.
        initializer: Initializer of the delays, which are kept within `[0,
            max_delay]`. Defaults to uniform over that range.
        delay_kernel: `"interpolated"` or `"gaussian"`, see `DelayedDense`. Defaults to
            `"interpolated"`.
        sigma: Float > 0 or `None`, see `DelayedDense`. Defaults to `None`.
        round_at_inference: Boolean, see `DelayedDense`. Defaults to `True`.
        stateful: Boolean, see `Delay`. Defaults to `False`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ..., channels)`.
        training: Boolean, whether delays are real numbers.

    Input shape:
        `(batch, time, ..., channels)`, with more than `max_delay` steps.

    Output shape:
        As the input.

    Raises:
        ValueError: if `max_delay` is less than 1, or not less than the steps of the
            sequence.

    Example:

    >>> layer = keras_spiking.layers.LearnableDelay(max_delay=4)
    >>> layer(keras.ops.ones((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Shrestha and Orchard, 2018](https://arxiv.org/abs/1810.08646)
        - [Hammouamri et al., 2023](https://arxiv.org/abs/2306.17670)
    """

    def __init__(
        self,
        max_delay: int = 8,
        *,
        initializer: Any = None,
        delay_kernel: str = "interpolated",
        sigma: float | None = None,
        round_at_inference: bool = True,
        **kwargs: Unpack[DelayLineOptions],
    ):
        super().__init__(
            max_delay,
            delay_kernel=delay_kernel,
            sigma=sigma,
            delay_initializer=initializer,
            round_at_inference=round_at_inference,
            **kwargs,
        )

    def call(self, inputs, training=False):
        sequence = self.with_past(inputs)
        timesteps = ops.shape(inputs)[1]
        taps = ops.cast(self.taps(training), inputs.dtype)
        outputs = 0.0
        for steps in range(self.max_delay + 1):
            start = self.max_delay - steps
            delayed = sequence[:, start : start + timesteps]
            outputs = outputs + taps[steps] * delayed
        return ops.cast(outputs, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "initializer": keras.initializers.serialize(self.delay_initializer),
        }
