"""Neurons with the ion channels of real ones, in their own units: mV, ms, uA/cm^2.

They fire where the membrane potential crosses the threshold upwards. What brings it
back down is the channels' dynamics, no reset. A time step is a step of Euler's method.
"""

from typing import Any
from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.without_reset import WithoutReset
from keras_spiking.layers.options import TemporalOptions
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter

__all__ = ["HodgkinHuxleyLayer", "MorrisLecarLayer"]


class IonChannels(WithoutReset):
    """A membrane potential that starts at rest, and spikes where it rises."""

    dt = Parameter(minimum=POSITIVE)
    resting = ()  # the states at rest

    def get_initial_state(self, x):
        zeros = ops.zeros_like(x, dtype=self.state_dtype)
        return tuple(zeros + value for value in self.resting)

    def fire(self, h):
        """Spikes, with the surrogate of the potential in units of 10 mV."""
        return self.surrogate(0.1 * (h - self.v_threshold))

    def crossing(self, new, old):
        """Spikes where the potential reaches the threshold from below."""
        below = ops.cast(old < self.v_threshold, old.dtype)
        return self.fire(new) * below


def within_reach(v):
    """Potentials stay where the rates of the channels are finite numbers."""
    return ops.clip(v, -200.0, 200.0)


@keras.saving.register_keras_serializable("keras_spiking")
class HodgkinHuxleyLayer(IonChannels):
    """Hodgkin-Huxley neurons: sodium, potassium and leak channels of an axon.

        dV/dt = (X - g_na m^3 h (V - e_na) - g_k n^4 (V - e_k) - g_l (V - e_l)) / c
        dy/dt = opening_y(V) (1 - y) - closing_y(V) y,    for y in m, h, n

    in mV, ms, uA/cm^2 and mS/cm^2, with the rates of Hodgkin and Huxley shifted to a
    resting potential of -65 mV. A constant input of 10 makes them fire at about 70 Hz.

    Args:
        dt: Float or array > 0, the time step in ms, at most about 0.05. Defaults to
            `0.02`.
        c: Float or array > 0, the capacitance in uF/cm^2. Defaults to `1.0`.
        g_na: Float or array >= 0, the conductance of sodium. Defaults to `120.0`.
        g_k: Float or array >= 0, that of potassium. Defaults to `36.0`.
        g_l: Float or array >= 0, that of the leak. Defaults to `0.3`.
        e_na: Float or array, the reversal potential of sodium. Defaults to `50.0`.
        e_k: Float or array, that of potassium. Defaults to `-77.0`.
        e_l: Float or array, that of the leak. Defaults to `-54.4`.
        v_threshold: Float or array >= 0, the potential whose upward crossing is a
            spike, in mV. Defaults to `0.0`.
        surrogate: Name, `Surrogate` or callable, of the potential in units of 10 mV.
            Defaults to `"sigmoid"`.
        **kwargs: The other arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and how open the gates
        `m`, `h` and `n` are.

    Raises:
        ValueError: if a parameter is out of its range.
        TypeError: if an argument of a reset is given.

    Example:

    >>> layer = keras_spiking.layers.HodgkinHuxleyLayer()
    >>> spikes = layer(keras.ops.full((1, 2500, 1), 10.0))  # 50 ms
    >>> int(keras.ops.sum(spikes))
    4

    References:
        - [Hodgkin and Huxley, 1952](https://doi.org/10.1113/jphysiol.1952.sp004764)
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch/online/Ch2.S2.html)
    """

    state_names = ("v", "m", "h", "n")
    resting = (-65.0, 0.0529, 0.5961, 0.3177)
    c = Parameter(minimum=POSITIVE)
    g_na = Parameter(minimum=0.0)
    g_k = Parameter(minimum=0.0)
    g_l = Parameter(minimum=0.0)
    e_na = Parameter()
    e_k = Parameter()
    e_l = Parameter()

    def __init__(
        self,
        dt: ArrayLike = 0.02,
        *,
        c: ArrayLike = 1.0,
        g_na: ArrayLike = 120.0,
        g_k: ArrayLike = 36.0,
        g_l: ArrayLike = 0.3,
        e_na: ArrayLike = 50.0,
        e_k: ArrayLike = -77.0,
        e_l: ArrayLike = -54.4,
        v_threshold: ArrayLike = 0.0,
        surrogate: Any = "sigmoid",
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(v_threshold, surrogate=surrogate, **kwargs)
        self.dt, self.c = dt, c
        self.g_na, self.g_k, self.g_l = g_na, g_k, g_l
        self.e_na, self.e_k, self.e_l = e_na, e_k, e_l

    def step(self, x, states):
        v, m, h, n = states
        sodium = self.g_na * m * m * m * h * (v - self.e_na)
        potassium = self.g_k * n * n * n * n * (v - self.e_k)
        leak = self.g_l * (v - self.e_l)
        new = v + self.dt / self.c * (x - sodium - potassium - leak)
        new = within_reach(new)

        def gate(value, opening, closing):
            value = value + self.dt * (opening * (1.0 - value) - closing * value)
            return ops.clip(value, 0.0, 1.0)

        m = gate(m, _rate(v + 40.0, 0.1), 4.0 * ops.exp((v + 65.0) / -18.0))
        h = gate(h, 0.07 * ops.exp((v + 65.0) / -20.0), ops.sigmoid((v + 35.0) / 10.0))
        n = gate(n, _rate(v + 55.0, 0.01), 0.125 * ops.exp((v + 65.0) / -80.0))
        return self.crossing(new, v), (new, m, h, n)


def _rate(v, slope):
    """`slope v / (1 - exp(-v / 10))`, which is `10 slope` at 0."""
    near = ops.abs(v) < 1e-3
    away = ops.where(near, ops.ones_like(v), v)
    at_zero = slope * (10.0 + 0.5 * v)
    return ops.where(near, at_zero, slope * away / (1.0 - ops.exp(away / -10.0)))


@keras.saving.register_keras_serializable("keras_spiking")
class MorrisLecarLayer(IonChannels):
    """Morris-Lecar neurons: calcium channels that open at once, and slow potassium.

        dV/dt = (X - g_ca m(V) (V - e_ca) - g_k W (V - e_k) - g_l (V - e_l)) / c
        dW/dt = phi cosh((V - v3) / (2 v4)) (w(V) - W)
        m(V) = (1 + tanh((V - v1) / v2)) / 2,    w(V) = (1 + tanh((V - v3) / v4)) / 2

    in mV, ms, uA/cm^2 and mS/cm^2, with the parameters of a Hopf bifurcation: a
    constant input above about 94 makes them fire, and at once at a rate far above 0.

    Args:
        dt: Float or array > 0, the time step in ms, at most about 0.5. Defaults to
            `0.1`.
        c: Float or array > 0, the capacitance in uF/cm^2. Defaults to `20.0`.
        g_ca: Float or array >= 0, the conductance of calcium. Defaults to `4.4`.
        g_k: Float or array >= 0, that of potassium. Defaults to `8.0`.
        g_l: Float or array >= 0, that of the leak. Defaults to `2.0`.
        e_ca: Float or array, the reversal potential of calcium. Defaults to `120.0`.
        e_k: Float or array, that of potassium. Defaults to `-84.0`.
        e_l: Float or array, that of the leak. Defaults to `-60.0`.
        phi: Float or array > 0, the rate of the potassium channels, per ms. Defaults to
            `0.04`.
        v1: Float or array, where half of the calcium channels are open. Defaults to
            `-1.2`.
        v2: Float or array > 0, over how many mV they open. Defaults to `18.0`.
        v3: Float or array, where half of the potassium channels open. Defaults to
            `2.0`.
        v4: Float or array > 0, over how many mV. Defaults to `30.0`.
        v_threshold: Float or array >= 0, the potential whose upward crossing is a
            spike, in mV. Defaults to `0.0`.
        surrogate: Name, `Surrogate` or callable, of the potential in units of 10 mV.
            Defaults to `"sigmoid"`.
        **kwargs: The other arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and how open the
        potassium channels `w` are.

    Raises:
        ValueError: if a parameter is out of its range.
        TypeError: if an argument of a reset is given.

    Example:

    >>> layer = keras_spiking.layers.MorrisLecarLayer()
    >>> spikes = layer(keras.ops.full((1, 5000, 1), 100.0))  # 500 ms
    >>> bool(keras.ops.sum(spikes) > 3)
    True

    References:
        - [Morris and Lecar, 1981](https://doi.org/10.1016/S0006-3495(81)84782-0)
        - [Rinzel and Ermentrout, 1998](https://mitpress.mit.edu/9780262112314)
    """

    state_names = ("v", "w")
    resting = (-60.855, 0.014915)
    c = Parameter(minimum=POSITIVE)
    g_ca = Parameter(minimum=0.0)
    g_k = Parameter(minimum=0.0)
    g_l = Parameter(minimum=0.0)
    e_ca = Parameter()
    e_k = Parameter()
    e_l = Parameter()
    phi = Parameter(minimum=POSITIVE)
    v1 = Parameter()
    v2 = Parameter(minimum=POSITIVE)
    v3 = Parameter()
    v4 = Parameter(minimum=POSITIVE)

    def __init__(
        self,
        dt: ArrayLike = 0.1,
        *,
        c: ArrayLike = 20.0,
        g_ca: ArrayLike = 4.4,
        g_k: ArrayLike = 8.0,
        g_l: ArrayLike = 2.0,
        e_ca: ArrayLike = 120.0,
        e_k: ArrayLike = -84.0,
        e_l: ArrayLike = -60.0,
        phi: ArrayLike = 0.04,
        v1: ArrayLike = -1.2,
        v2: ArrayLike = 18.0,
        v3: ArrayLike = 2.0,
        v4: ArrayLike = 30.0,
        v_threshold: ArrayLike = 0.0,
        surrogate: Any = "sigmoid",
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(v_threshold, surrogate=surrogate, **kwargs)
        self.dt, self.c, self.phi = dt, c, phi
        self.g_ca, self.g_k, self.g_l = g_ca, g_k, g_l
        self.e_ca, self.e_k, self.e_l = e_ca, e_k, e_l
        self.v1, self.v2, self.v3, self.v4 = v1, v2, v3, v4

    def step(self, x, states):
        v, w = states
        open_calcium = 0.5 * (1.0 + ops.tanh((v - self.v1) / self.v2))
        calcium = self.g_ca * open_calcium * (v - self.e_ca)
        potassium = self.g_k * w * (v - self.e_k)
        leak = self.g_l * (v - self.e_l)
        new = v + self.dt / self.c * (x - calcium - potassium - leak)
        new = within_reach(new)
        half = (v - self.v3) / (2.0 * self.v4)
        cosh = 0.5 * (ops.exp(half) + ops.exp(-half))
        open_potassium = 0.5 * (1.0 + ops.tanh((v - self.v3) / self.v4))
        w = w + self.dt * self.phi * cosh * (open_potassium - w)
        return self.crossing(new, v), (new, ops.clip(w, 0.0, 1.0))
