"""Delays on the way from spike to spike."""

from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.constraints import Interval
from keras_spiking.layers import streaming
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_time_axis


class _DelayLine(Layer):
    """Puts the last `length` steps before a sequence."""

    has_time_axis = True

    def __init__(self, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        check_time_axis(self, input_shape)

    def _with_past(self, inputs, length):
        slot = streaming.Slot()
        past = slot.previous
        if past is None:
            batch, _, *features = ops.shape(inputs)
            past = ops.zeros((batch, length, *features), dtype=inputs.dtype)
        sequence = ops.concatenate([past, inputs], axis=1)
        slot.put(sequence[:, ops.shape(inputs)[1] :])
        return sequence

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("keras_spiking")
class Delay(_DelayLine):
    """Delays a sequence by a number of time steps.

        Y[t] = X[t - delay_steps],    Y[t] = 0 for t < delay_steps

    Args:
        delay_steps: Integer >= 0.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if `delay_steps` is negative.

    Example:

    >>> spikes = keras.ops.array([[[1.0], [0.0], [1.0], [1.0]]])
    >>> delayed = keras_spiking.layers.Delay(2)(spikes)
    >>> [int(s) for s in keras.ops.reshape(delayed, (-1,))]
    [0, 0, 1, 0]
    """

    def __init__(self, delay_steps: int, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.delay_steps = check_integer("delay_steps", delay_steps, minimum=0)

    def call(self, inputs):
        if self.delay_steps == 0:
            return inputs
        sequence = self._with_past(inputs, self.delay_steps)
        return sequence[:, : ops.shape(inputs)[1]]

    def get_config(self):
        return {**super().get_config(), "delay_steps": self.delay_steps}


@keras.saving.register_keras_serializable("keras_spiking")
class LearnableDelay(_DelayLine):
    """A learned delay for each channel.

        Y[t] = (1 - f) X[t - n] + f X[t - n - 1],    d = n + f

    In training, a delay `d` between two steps interpolates, so that it has a
    gradient. At inference it is rounded: spikes stay spikes.

    Args:
        max_delay: Integer >= 1, the longest delay in time steps. Defaults to
            `8`.
        initializer: Initializer of the delays, which are kept within `[0,
            max_delay]`. Defaults to uniform over that range.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ..., channels)`.
        training: Boolean, whether to interpolate.

    Input shape:
        `(batch, time, ..., channels)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if `max_delay` is less than 1.

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
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.max_delay = check_integer("max_delay", max_delay, minimum=1)
        if initializer is None:
            initializer = keras.initializers.RandomUniform(0.0, self.max_delay)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        super().build(input_shape)
        self.delay = self.add_weight(
            name="delay",
            shape=(input_shape[-1],),
            initializer=self.initializer,
            constraint=Interval(0.0, self.max_delay),
            autocast=False,
        )

    def call(self, inputs, training=False):
        delay = ops.clip(ops.convert_to_tensor(self.delay), 0.0, self.max_delay)
        if not training:
            delay = ops.round(delay)
        sequence = self._with_past(inputs, self.max_delay)
        timesteps = ops.shape(inputs)[1]
        outputs = 0.0
        for steps in range(self.max_delay + 1):
            # A tent: 1 at a delay of `steps`, 0 from one step away. OpenVINO drops
            # the `abs` of constants.
            distance = ops.relu(delay - steps) + ops.relu(steps - delay)
            weight = ops.relu(1.0 - distance)
            start = self.max_delay - steps
            delayed = sequence[:, start : start + timesteps]
            outputs = outputs + ops.cast(weight, inputs.dtype) * delayed
        return ops.cast(outputs, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "max_delay": self.max_delay,
            "initializer": keras.initializers.serialize(self.initializer),
        }
