import math
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number
from keras_spiking.validation import check_time_axis


@keras.saving.register_keras_serializable("keras_spiking")
class NeuNorm(TemporalLayer):
    """Neuron normalisation: subtracts a trace of the spikes of all channels.

        x[t] = k x[t-1] + (1 - k) / C^2 sum_c S[t, c]
        Y[t, c] = S[t, c] - w_c x[t]

    with `C` channels and a learned `w`, at every place of an image.

    Args:
        k: Float in [0, 1], what a time step leaves of the trace. Defaults to
            `0.9`.
        shared_across_channels: Boolean, whether all channels have the same `w`.
            Defaults to `False`.
        **kwargs: The arguments of `TemporalLayer`; `data_format` says where the
            channels are.

    Input shape:
        `(batch, time, height, width, channels)`, or `(batch, time, channels,
        height, width)` with `data_format="channels_first"`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the input is not a sequence of images, or `k` is not within
            [0, 1].

    Example:

    >>> layer = keras_spiking.layers.NeuNorm()
    >>> layer(keras.ops.ones((2, 4, 6, 6, 3))).shape
    (2, 4, 6, 6, 3)

    References:
        - [Wu et al., 2019](https://arxiv.org/abs/1809.05793)
    """

    state_names = ("trace",)

    def __init__(
        self,
        k: float = 0.9,
        *,
        shared_across_channels: bool = False,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.k = check_number("k", k, 0.0, 1.0)
        self.shared_across_channels = check_bool(
            "shared_across_channels", shared_across_channels
        )

    def build(self, inputs_shape, initial_state_shape=None):
        axes = "a sequence of images (batch, time, height, width, channels)"
        check_time_axis(self, inputs_shape, 5, axes, exact=True)
        super().build(inputs_shape, initial_state_shape)
        features = list(inputs_shape[2:])
        channels = features[self._channels_axis]
        self.gain = (1.0 - self.k) / channels**2
        if self.shared_across_channels:
            features[self._channels_axis] = 1
        bound = math.sqrt(channels / math.prod(inputs_shape[2:]))
        self.w = self.add_weight(
            name="w",
            shape=features,
            initializer=keras.initializers.RandomUniform(-bound, bound),
            dtype=self.state_dtype,
            autocast=False,
        )

    @property
    def _channels_axis(self):
        return -1 if self.data_format == "channels_last" else -3

    def step(self, x, states):
        (trace,) = states
        total = ops.sum(x, axis=self._channels_axis, keepdims=True)
        trace = self.k * trace + self.gain * total
        return x - ops.convert_to_tensor(self.w) * trace, (trace,)

    def get_initial_state(self, x):
        total = ops.sum(x, axis=self._channels_axis, keepdims=True)
        return (ops.zeros_like(total, dtype=self.state_dtype),)

    def get_config(self):
        return {
            **super().get_config(),
            "k": self.k,
            "shared_across_channels": self.shared_across_channels,
        }
