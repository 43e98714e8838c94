"""LIF neurons with the dynamics of state space models: SiLIF."""

import math
from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.layers.spiking_layer import check_soft_reset
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.decay import decay
from keras_spiking.ops.decay import turn
from keras_spiking.parameter import Parameter
from keras_spiking.parameter import Positive

__all__ = ["CSiLIFLayer", "SiLIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class SiLIFLayer(SpikingLayer):
    """Adaptive LIF neurons that learn their time step, on a logarithmic scale.

    With `alpha = exp(-dt / tau)` and `beta = exp(-dt / tau_w)`:

        W[t] = beta W[t-1] + a H[t-1] + b S[t-1]
        H[t] = alpha (H[t-1] - v_threshold S[t-1]) + (1 - alpha) (X[t] - W[t])

    Of `tau`, `tau_w` and `dt`, if they are learned, the logarithms are the weights, so
    that the neurons stay stable.

    Args:
        tau: Float or array > 0, the membrane time constant, in units of time. In the
            paper 1 to 25 time steps. Defaults to `5.0`.
        tau_w: Float or array > 0, that of the adaptation. In the paper 25 to 100 time
            steps. Defaults to `50.0`.
        dt: Float or array > 0, how long a time step is. Defaults to `1.0`.
        a: Float or array in [0, 1], how strongly `W` follows the membrane potential.
            Defaults to `0.5`.
        b: Float or array in [0, 2], how strongly it follows the spikes. Defaults to
            `1.0`.
        v_reset: `None`: the reset is soft.
        surrogate: Name, `Surrogate` or callable. Defaults to `"rect"`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` after the reset and
        `w`, the adaptation of the next time step.

    Raises:
        ValueError: if a parameter is out of its range, or a hard reset is asked for.

    Example:

    >>> layer = keras_spiking.layers.SiLIFLayer(learnable=["tau", "tau_w", "dt"])
    >>> layer(keras.random.uniform((2, 8, 10), maxval=5.0)).shape
    (2, 8, 10)

    References:
        - [Fabre et al., 2025](https://arxiv.org/abs/2506.06374)
    """

    defaults = {"v_reset": None, "surrogate": "rect"}
    state_names = ("v", "w")
    tau = Positive()
    tau_w = Positive()
    dt = Positive()
    a = Parameter(minimum=0.0, maximum=1.0)
    b = Parameter(minimum=0.0, maximum=2.0)

    def __init__(
        self,
        tau: ArrayLike = 5.0,
        *,
        tau_w: ArrayLike = 50.0,
        dt: ArrayLike = 1.0,
        a: ArrayLike = 0.5,
        b: ArrayLike = 1.0,
        **kwargs: Unpack[SpikingOptions],
    ):
        check_soft_reset(type(self), kwargs)
        super().__init__(**self.with_defaults(kwargs))
        self.tau = tau
        self.tau_w = tau_w
        self.dt = dt
        self.a = a
        self.b = b

    def charge(self, x, v):
        alpha = decay(self.dt, self.tau)
        return alpha * v + (1.0 - alpha) * x

    def step(self, x, states):
        v, w = states
        h = bounded(self.charge(bounded(x) - w, v))
        spikes = self.fire(h)
        w = decay(self.dt, self.tau_w) * w + self.a * h + self.b * spikes
        return spikes, (self.reset(h, spikes), w)


@keras.saving.register_keras_serializable("keras_spiking")
class CSiLIFLayer(SpikingLayer):
    """Neurons with a complex state, as those of state space models: C-SiLIF.

    They rotate and decay in the complex plane, and fire by twice the real part:

        U[t] = exp(dt (-rate + i frequency)) (U[t-1] - v_threshold S[t-1] / 2) + b X[t]
        S[t] = heaviside(2 Re(U[t]) - v_threshold)

    Of `rate` and `dt`, if they are learned, the logarithms are the weights.

    Args:
        rate: Float or array > 0, how fast the state decays, per unit of time. Defaults
            to `0.5`.
        frequency: Float or array, the angle that it turns by in a unit of time.
            Defaults to `pi`.
        dt: Float or array > 0, how long a time step is. In the paper log-uniform
            between 0.01 and 0.5, for each neuron. Defaults to `0.1`.
        b: Float or array, the gain of the input. Defaults to `0.5`.
        v_reset: `None`: the reset is soft.
        surrogate: Name, `Surrogate` or callable. Defaults to `"rect"`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are `v` and `u`, the real and the imaginary part after
        the reset.

    Raises:
        ValueError: if `rate` or `dt` is not positive, or a hard reset is asked for.

    Example:

    >>> layer = keras_spiking.layers.CSiLIFLayer(learnable=["rate", "frequency", "dt"])
    >>> layer(keras.random.uniform((2, 8, 10), maxval=5.0)).shape
    (2, 8, 10)

    References:
        - [Fabre et al., 2025](https://arxiv.org/abs/2506.06374)
    """

    defaults = {"v_reset": None, "surrogate": "rect"}
    state_names = ("v", "u")
    rate = Positive()
    frequency = Parameter()
    dt = Positive()
    b = Parameter()

    def __init__(
        self,
        rate: ArrayLike = 0.5,
        *,
        frequency: ArrayLike = math.pi,
        dt: ArrayLike = 0.1,
        b: ArrayLike = 0.5,
        **kwargs: Unpack[SpikingOptions],
    ):
        check_soft_reset(type(self), kwargs)
        super().__init__(**self.with_defaults(kwargs))
        self.rate = rate
        self.frequency = frequency
        self.dt = dt
        self.b = b

    def step(self, x, states):
        v, u = turn(states, self.rate, self.frequency, self.dt)
        v = bounded(v + self.b * bounded(x))
        spikes = self.fire(2.0 * v)
        reset = 0.5 * self.v_threshold * self.reset_spikes(spikes)
        return spikes, (v - reset, u)
