"""Relatives of the leaky integrate-and-fire neuron."""

import keras
from keras import ops

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.parameter import Parameter
from keras_spiking.layers.spiking_layer import SpikingLayer


@keras.saving.register_keras_serializable("keras_spiking")
class GeneralLinearLayer(SpikingLayer):
    """Linear neurons that learn their decay, their gain and their threshold.

        H[t] = alpha (V[t-1] - v_reset) + beta X[t]

    Args:
        alpha: Float or array in [0, 1], the decay; a weight. Defaults to `0.5`.
        beta: Float or array, the gain of the input; a weight. Defaults to `0.5`.
        v_threshold: Float or array >= 0, the threshold; a weight. Defaults to
            `1.0`.
        **kwargs: The other arguments of `SpikingLayer`. `learnable` says how
            the weights are shared.

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

    def __init__(self, alpha=0.5, beta=0.5, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.beta = beta

    def charge(self, x, v):
        return self.alpha * (v - self.rest) + self.beta * x


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
        **kwargs: The other arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential and `M`.

    Raises:
        ValueError: if a hard reset is asked for.

    Example:

    >>> layer = keras_spiking.layers.ComplementaryLIFLayer(tau=2.0)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Huang et al., 2024](https://arxiv.org/abs/2402.04663)
    """

    def __init__(self, tau=2.0, decay_input=False, v_reset=None, **kwargs):
        if v_reset is not None:
            raise ValueError(
                "The reset of a ComplementaryLIFLayer is soft. "
                f"Received: v_reset={v_reset!r}"
            )
        super().__init__(tau=tau, decay_input=decay_input, v_reset=None, **kwargs)

    def step(self, x, states):
        v, m = states
        h = self.charge(x, v)
        spikes = self.fire(h)
        m = m * ops.sigmoid(h / self.tau) + spikes
        reset = ops.stop_gradient(spikes) if self.detach_reset else spikes
        return spikes, (h - reset * (self.v_threshold + ops.sigmoid(m)), m)

    def get_initial_state(self, x):
        (v,) = super().get_initial_state(x)
        return v, ops.zeros_like(v)


@keras.saving.register_keras_serializable("keras_spiking")
class GatedLIFLayer(SpikingLayer):
    """Gated LIF neurons, which learn which kind of neuron they are.

    Three gates mix exponential with linear leakage (`alpha`), raw with weighted
    input (`beta`), and hard with soft reset (`gamma`):

        L[t] = (1 - alpha (1 - decay)) V[t-1] - (1 - alpha) leak
        I[t] = (1 - beta (1 - conductance)) X[t]
        R[t] = S[t-1] ((1 - alpha (1 - decay)) gamma V[t-1] + (1 - gamma) v_subreset)
        H[t] = L[t] + I[t] - R[t],    V[t] = H[t]

    All of these are weights, kept within [0, 1]. The conductance is the same at
    all time steps.

    Args:
        alpha: Float or array in [0, 1], gate of the leakage. Defaults to `0.5`.
        beta: Float or array in [0, 1], gate of the input. Defaults to `0.5`.
        gamma: Float or array in [0, 1], gate of the reset. Defaults to `0.5`.
        decay: Float or array in [0, 1], what exponential leakage leaves of the
            membrane potential. Defaults to `0.25`.
        leak: Float or array in [0, 1], the linear leakage. Defaults to `0.125`.
        v_subreset: Float or array in [0, 1], what a soft reset subtracts.
            Defaults to `0.5`.
        conductance: Float or array in [0, 1]. Defaults to `0.5`.
        v_threshold: Float or array >= 0, the threshold; a weight. Defaults to
            `0.5`.
        **kwargs: The other arguments of `SpikingLayer`, without `v_reset`.
            `learnable={"alpha": "channel"}` says how a weight is shared.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential and the last spikes.

    Raises:
        ValueError: if a gate or factor is not within [0, 1].

    Example:

    >>> layer = keras_spiking.layers.GatedLIFLayer()
    >>> spikes = layer(keras.random.uniform((2, 8, 10)))
    >>> len(layer.trainable_weights)
    8

    References:
        - [Yao et al., 2022](https://arxiv.org/abs/2210.13768)
    """

    alpha = Parameter(minimum=0.0, maximum=1.0, learnable=True)
    beta = Parameter(minimum=0.0, maximum=1.0, learnable=True)
    gamma = Parameter(minimum=0.0, maximum=1.0, learnable=True)
    decay = Parameter(minimum=0.0, maximum=1.0, learnable=True)
    leak = Parameter(minimum=0.0, maximum=1.0, learnable=True)
    v_subreset = Parameter(minimum=0.0, maximum=1.0, learnable=True)
    conductance = Parameter(minimum=0.0, maximum=1.0, learnable=True)
    v_threshold = Parameter(minimum=0.0, learnable=True)

    def __init__(
        self,
        alpha=0.5,
        beta=0.5,
        gamma=0.5,
        decay=0.25,
        leak=0.125,
        v_subreset=0.5,
        conductance=0.5,
        v_threshold=0.5,
        **kwargs,
    ):
        super().__init__(v_threshold=v_threshold, **kwargs)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.decay = decay
        self.leak = leak
        self.v_subreset = v_subreset
        self.conductance = conductance

    def step(self, x, states):
        v, last = states
        reset = ops.stop_gradient(last) if self.detach_reset else last
        left = (1.0 - self.alpha * (1.0 - self.decay)) * v
        h = (
            left
            - (1.0 - self.alpha) * self.leak
            + (1.0 - self.beta * (1.0 - self.conductance)) * x
            - reset * (self.gamma * left + (1.0 - self.gamma) * self.v_subreset)
        )
        spikes = self.fire(h)
        return spikes, (h, spikes)

    def get_initial_state(self, x):
        (v,) = super().get_initial_state(x)
        return v, ops.zeros_like(v)
