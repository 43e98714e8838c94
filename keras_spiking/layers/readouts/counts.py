"""Between spike counts and spikes, within a sequence."""

from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_time_axis

__all__ = ["CountToSpikes", "TemporalBinSum"]


class _Slots(Layer):
    """A layer that changes the number of time steps, at inference or always."""

    has_time_axis = True

    def __init__(
        self,
        slots: int,
        *,
        always_convert: bool = False,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.slots = check_integer("slots", slots, minimum=1)
        self.always_convert = check_bool("always_convert", always_convert)

    def build(self, input_shape):
        check_time_axis(self, input_shape)

    def call(self, inputs, training=False):
        if training and not self.always_convert:
            return inputs
        return self.convert(inputs)

    def compute_output_shape(self, input_shape):
        batch, time, *features = input_shape
        known = time is not None and (self.always_convert or self.slots == 1)
        return (batch, self.converted_steps(time) if known else None, *features)

    def compute_output_spec(self, inputs, training=None):
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        config = {**super().get_config(), "slots": self.slots}
        return {**config, "always_convert": self.always_convert}


@keras.saving.register_keras_serializable("keras_spiking")
class CountToSpikes(_Slots):
    """Unfolds spike counts into as many spikes in further time steps.

        Y[t slots + i] = 1 if i < X[t] else 0,    i = 0 ... slots - 1

    A count of 2 in 4 slots is `1100`. After `ILIFLayer`, it makes a network that was
    trained with counts a spiking one: in training, counts pass as they are, and
    layers after it see as many time steps as before. `TemporalBinSum` is the way back.
    The gradient of a count is the mean of those of its slots.

    Args:
        slots: Integer >= 1, the number of time steps for each count.
        always_convert: Boolean, whether counts are unfolded in training, too.
            Defaults to `False`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)` of counts.
        training: Boolean.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        `(batch, time * slots, ...)`; in training as the input.

    Example:

    >>> counts = keras.ops.array([[[2.0], [4.0]]])
    >>> spikes = keras_spiking.layers.CountToSpikes(4)(counts)
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [1, 1, 0, 0, 1, 1, 1, 1]

    References:
        - [Luo et al., 2024](https://arxiv.org/abs/2407.20708)
    """

    def convert(self, counts):
        batch, time, *features = ops.shape(counts)
        counts = ops.expand_dims(counts, 2)
        slots = np.arange(self.slots).reshape((1, 1, -1) + (1,) * len(features))
        spikes = ops.cast(counts > ops.cast(slots, counts.dtype), counts.dtype)
        share = ops.broadcast_to(counts / self.slots, ops.shape(spikes))
        spikes = straight_through(spikes, share)
        return ops.reshape(spikes, (batch, time * self.slots, *features))

    def converted_steps(self, time):
        return time * self.slots


@keras.saving.register_keras_serializable("keras_spiking")
class TemporalBinSum(_Slots):
    """Sums each run of so many time steps: the counts of unfolded spikes.

        Y[t] = sum_i X[t slots + i],    i = 0 ... slots - 1

    A last run that is too short counts as if zeros followed. See `CountToSpikes`.

    Args:
        slots: Integer >= 1, the number of time steps to sum.
        always_convert: Boolean, whether to sum in training, too; else the input
            passes as it is. Defaults to `False`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        training: Boolean.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        `(batch, ceil(time / slots), ...)`; in training as the input.

    Example:

    >>> spikes = keras.ops.array([[[1.0], [1.0], [0.0], [1.0], [1.0]]])
    >>> counts = keras_spiking.layers.TemporalBinSum(2)(spikes)
    >>> [int(c) for c in keras.ops.reshape(counts, (-1,))]
    [2, 1, 1]
    """

    def convert(self, x):
        batch, time, *features = ops.shape(x)
        missing = -time % self.slots
        zeros = ops.zeros((batch, missing, *features), dtype=x.dtype)
        x = ops.concatenate([x, zeros], axis=1)
        shape = (batch, (time + missing) // self.slots, self.slots, *features)
        return ops.sum(ops.reshape(x, shape), axis=2)

    def converted_steps(self, time):
        return -(-time // self.slots)
