"""Neurons that adapt to their own firing."""

from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.neurons.nonlinear_integrate_and_fire import EIFLayer
from keras_spiking.layers.neurons.nonlinear_integrate_and_fire import QIFLayer
from keras_spiking.layers.options import LeakyOptions
from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool

__all__ = ["ALIFLayer", "AdExLayer", "IzhikevichLayer"]


class AdaptationCurrent(SpikingLayer):
    """Subtracts an adaptation current `W` from the input of a neuron.

    H[t] = charge(X[t] - W[t-1], V[t-1])
    W[t] = W[t-1] + (a (H[t] - v_rest) - W[t-1]) / tau_w + b S[t]

    With `explicit`, `W` follows `V[t-1]` in place of `H[t]`.
    """

    state_names = ("v", "w")
    tau_w = Parameter(minimum=1.0)
    a = Parameter()
    b = Parameter()
    w_rest = Parameter()

    def step(self, x, states):
        v, w = states
        h = bounded(self.charge(x - w, v))
        spikes = self.fire(h)
        followed = v if self.explicit else h
        w = w + (self.a * (followed - self.v_rest) - w) / self.tau_w
        return spikes, (self.reset(h, spikes), w + self.b * spikes)

    def get_initial_state(self, x):
        v, w = super().get_initial_state(x)
        return v, w + self.w_rest

    def get_config(self):
        return {**super().get_config(), "explicit": self.explicit}


@keras.saving.register_keras_serializable("keras_spiking")
class IzhikevichLayer(AdaptationCurrent, QIFLayer):
    """Izhikevich neurons: quadratic integrate-and-fire with adaptation.

        H[t] = V[t-1] + (X[t] + a0 (U[t-1] - v_rest) (U[t-1] - v_c) - W[t-1]) / tau
        W[t] = W[t-1] + (a (H[t] - v_rest) - W[t-1]) / tau_w + b S[t]
        U[t] = min(V[t], v_threshold)

    Its parameters decide between regular spiking, bursting, chattering, fast
    spiking and more: see `guides/neuron_zoo.py`.

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        v_c: Float or array, the critical potential. Defaults to `0.8`.
        a0: Float or array >= 0, the strength of the quadratic term. Defaults to
            `1.0`.
        v_rest: Float or array, the resting potential. Defaults to `-0.1`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `0.0`.
        tau_w: Float or array >= 1, the time constant of `W`. Defaults to `2.0`.
        a: Float or array, how strongly `W` follows the membrane potential.
            Defaults to `0.0`.
        b: Float or array, what a spike adds to `W`. Defaults to `0.0`.
        w_rest: Float or array, `W` at the start. Defaults to `0.0`.
        explicit: Boolean, whether `W` follows `V[t-1]` in place of `H[t]`, as by
            the explicit method of Euler and in Norse. Defaults to `False`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and `w`.

    Example:

    >>> layer = keras_spiking.layers.IzhikevichLayer(a=0.2, b=0.1, tau_w=3.0)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Izhikevich, 2003](https://doi.org/10.1109/TNN.2003.820440)
    """

    defaults = {"v_reset": 0.0}

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        v_c: ArrayLike = 0.8,
        a0: ArrayLike = 1.0,
        v_rest: ArrayLike = -0.1,
        tau_w: ArrayLike = 2.0,
        a: ArrayLike = 0.0,
        b: ArrayLike = 0.0,
        w_rest: ArrayLike = 0.0,
        explicit: bool = False,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(tau, v_c=v_c, a0=a0, v_rest=v_rest, **kwargs)
        self.tau_w, self.a, self.b, self.w_rest = tau_w, a, b, w_rest
        self.explicit = check_bool("explicit", explicit)


@keras.saving.register_keras_serializable("keras_spiking")
class AdExLayer(AdaptationCurrent, EIFLayer):
    """Adaptive exponential integrate-and-fire neurons.

        H[t] = V[t-1] + (X[t] + v_rest - V[t-1]
               + delta_T exp((U[t-1] - theta_rh) / delta_T) - W[t-1]) / tau
        W[t] = W[t-1] + (a (H[t] - v_rest) - W[t-1]) / tau_w + b S[t]
        U[t] = min(V[t], v_threshold)

    The exponent is at most 20.

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        delta_T: Float or array > 0, the sharpness of the spike's start. Defaults
            to `1.0`.
        theta_rh: Float or array, the rheobase threshold. Defaults to `0.8`.
        v_rest: Float or array, the resting potential. Defaults to `0.0`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `-0.1`.
        tau_w: Float or array >= 1, the time constant of `W`. Defaults to `2.0`.
        a: Float or array, how strongly `W` follows the membrane potential.
            Defaults to `0.0`.
        b: Float or array, what a spike adds to `W`. Defaults to `0.0`.
        w_rest: Float or array, `W` at the start. Defaults to `0.0`.
        explicit: Boolean, whether `W` follows `V[t-1]` in place of `H[t]`, as by
            the explicit method of Euler and in Norse. Defaults to `False`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and `w`.

    Example:

    >>> layer = keras_spiking.layers.AdExLayer(a=0.2, b=0.1, tau_w=10.0)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Brette and Gerstner, 2005](https://doi.org/10.1152/jn.00686.2005)
    """

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        delta_T: ArrayLike = 1.0,
        theta_rh: ArrayLike = 0.8,
        v_rest: ArrayLike = 0.0,
        tau_w: ArrayLike = 2.0,
        a: ArrayLike = 0.0,
        b: ArrayLike = 0.0,
        w_rest: ArrayLike = 0.0,
        explicit: bool = False,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(
            tau, delta_T=delta_T, theta_rh=theta_rh, v_rest=v_rest, **kwargs
        )
        self.tau_w, self.a, self.b, self.w_rest = tau_w, a, b, w_rest
        self.explicit = check_bool("explicit", explicit)


@keras.saving.register_keras_serializable("keras_spiking")
class ALIFLayer(LIFLayer):
    """LIF neurons whose threshold rises with every spike.

        H[t] = V[t-1] + (X[t] - (V[t-1] - v_reset)) / tau      (decay_input=True)
        S[t] = heaviside(H[t] - (v_threshold + beta B[t]))
        B[t+1] = rho B[t] + (1 - rho) S[t]

    `H` charges as in `LIFLayer`. A soft reset subtracts the threshold as it was at
    the spike.

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        beta: Float or array, how much the threshold rises. Defaults to `1.0`.
        rho: Float or array in [0, 1], the part of the adaptation that is left
            after a time step. Defaults to `0.9`.
        **kwargs: The arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and `threshold`,
        the adaptation `B` of the threshold.

    Raises:
        ValueError: if `rho` is not within [0, 1].

    Example:

    >>> layer = keras_spiking.layers.ALIFLayer(beta=1.6, rho=0.95)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Bellec et al., 2018](https://arxiv.org/abs/1803.09574)
    """

    state_names = ("v", "threshold")
    beta = Parameter()
    rho = Parameter(minimum=0.0, maximum=1.0)

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        beta: ArrayLike = 1.0,
        rho: ArrayLike = 0.9,
        **kwargs: Unpack[LeakyOptions],
    ):
        super().__init__(tau, **kwargs)
        self.beta = beta
        self.rho = rho

    def step(self, x, states):
        v, b = states
        h = self.charge(x, v)
        raised = self.beta * b
        spikes = self.fire(h - raised)
        v = self.reset(h, spikes)
        if self.v_reset is None:
            v = v - raised * self.reset_spikes(spikes)
        return spikes, (v, self.rho * b + (1.0 - self.rho) * spikes)
