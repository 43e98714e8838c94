"""Relatives of the leaky integrate-and-fire neuron."""

from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LeakyOptions
from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.layers.spiking_layer import check_soft_reset
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Parameter

__all__ = ["ComplementaryLIFLayer", "GeneralLinearLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class GeneralLinearLayer(SpikingLayer):
    """Linear neurons that learn their decay, their gain and their threshold.

        H[t] = alpha (V[t-1] - v_reset) + beta X[t]

    Args:
        alpha: Float or array in [0, 1], the decay; a weight. Defaults to `0.5`.
        beta: Float or array, the gain of the input; a weight. Defaults to `0.5`.
        **kwargs: The arguments of `SpikingLayer`. `v_threshold` is a weight, too;
            `learnable` says how the weights are shared.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `alpha` is not within [0, 1].

    Example:

    >>> layer = keras_spiking.layers.GeneralLinearLayer()
    >>> spikes = layer(keras.random.uniform((2, 8, 10)))
    >>> len(layer.trainable_weights)
    3

    References:
        - [Fang et al., 2023](https://arxiv.org/abs/2310.16620), Eq. 39
    """

    alpha = Parameter(minimum=0.0, maximum=1.0, learnable=True)
    beta = Parameter(learnable=True)
    v_threshold = Parameter(minimum=0.0, learnable=True)

    def __init__(
        self,
        alpha: ArrayLike = 0.5,
        *,
        beta: ArrayLike = 0.5,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.beta = beta

    def charge(self, x, v):
        return self.alpha * (v - self.baseline) + self.beta * x


@keras.saving.register_keras_serializable("keras_spiking")
class ComplementaryLIFLayer(LIFLayer):
    """Complementary LIF neurons, which remember how they fired.

        M[t] = M[t-1] sigmoid(H[t] / tau) + S[t]
        V[t] = H[t] - S[t] (v_threshold + sigmoid(M[t]))

    `H` charges as in `LIFLayer`. The complementary potential `M` gives the
    gradient a second way back through time, where that of the membrane
    potential fades.

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `False`.
        v_reset: `None`: the reset is soft.
        surrogate: Name, `Surrogate` or callable. Defaults to `"rect"`.
        **kwargs: The other arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and `m`.

    Raises:
        ValueError: if a hard reset is asked for.

    Example:

    >>> layer = keras_spiking.layers.ComplementaryLIFLayer(tau=2.0)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Huang et al., 2024](https://arxiv.org/abs/2402.04663)
    """

    defaults = {"decay_input": False, "v_reset": None, "surrogate": "rect"}
    state_names = ("v", "m")

    def __init__(self, tau: ArrayLike = 2.0, **kwargs: Unpack[LeakyOptions]):
        check_soft_reset(type(self), kwargs)
        super().__init__(tau, **self.with_defaults(kwargs))

    def step(self, x, states):
        v, m = states
        h = self.charge(x, v)
        spikes = self.fire(h)
        m = m * ops.sigmoid(h / self.tau) + spikes
        drop = self.reset_spikes(spikes) * (self.v_threshold + ops.sigmoid(m))
        return spikes, (bounded(h) - drop, m)
