"""Neurons that compete: lateral inhibition and winner-take-all."""

from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LIFOptions
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_integer

__all__ = ["LateralInhibitionLayer", "WinnerTakeAllLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class LateralInhibitionLayer(LIFLayer):
    """LIF neurons that inhibit all others of their layer.

    The spikes of the other neurons arrive one step later, as negative input:

        H[t] = charge(X[t] - inhibition (sum_j S_j[t-1] - S[t-1]), V[t-1])

    The sum runs over the last axis: the channels of an image inhibit each other
    at every place.

    Args:
        inhibition: Float or array >= 0, the strength. Defaults to `1.0`.
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        **kwargs: The arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and the last
        `spikes`.

    Raises:
        ValueError: if `inhibition` is negative.

    Example:

    >>> layer = keras_spiking.layers.LateralInhibitionLayer(inhibition=2.0)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Diehl and Cook, 2015](https://doi.org/10.3389/fncom.2015.00099)
    """

    state_names = ("v", "spikes")
    inhibition = Parameter(minimum=0.0)

    def __init__(self, inhibition: ArrayLike = 1.0, **kwargs: Unpack[LIFOptions]):
        super().__init__(**kwargs)
        self.inhibition = inhibition

    def step(self, x, states):
        v, last = states
        others = ops.sum(last, axis=-1, keepdims=True) - last
        spikes, (v,) = super().step(x - self.inhibition * others, (v,))
        return spikes, (v, spikes)


@keras.saving.register_keras_serializable("keras_spiking")
class WinnerTakeAllLayer(LIFLayer):
    """LIF neurons of which only the `k` with the highest potential may fire.

    The neurons along the last axis compete in every time step. Losers keep their
    membrane potential; neurons that tie with the last winner win as well.

    Args:
        k: Integer >= 1, the number of winners. Defaults to `1`.
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        **kwargs: The arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ..., features)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `k` is less than 1 or exceeds the number of features.

    Example:

    >>> layer = keras_spiking.layers.WinnerTakeAllLayer(k=1)
    >>> spikes = layer(keras.ops.array([[[3.0, 5.0, 4.0]]]))
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [0, 1, 0]

    References:
        - [Maass, 2000](https://doi.org/10.1162/089976600300014827)
    """

    def __init__(self, k: int = 1, **kwargs: Unpack[LIFOptions]):
        super().__init__(**kwargs)
        self.k = check_integer("k", k, minimum=1)

    def build(self, inputs_shape, initial_state_shape=None):
        super().build(inputs_shape, initial_state_shape)
        if inputs_shape[-1] is not None and self.k > inputs_shape[-1]:
            raise ValueError(
                f"`k` must be at most the number of features, {inputs_shape[-1]}. "
                f"Received: k={self.k}"
            )

    def fire(self, h):
        lowest = ops.top_k(h, self.k, sorted=True)[0][..., -1:]
        wins = ops.cast(h >= ops.stop_gradient(lowest), h.dtype)
        return super().fire(h) * ops.stop_gradient(wins)

    def get_config(self):
        return {**super().get_config(), "k": self.k}
