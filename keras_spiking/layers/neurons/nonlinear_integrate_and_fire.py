"""Integrate-and-fire neurons that initiate their spikes themselves.

What drives the upstroke of a spike grows with the membrane potential up to the
threshold. There the spike is out, and the upstroke is cut off: otherwise a soft reset,
which may leave the potential above the threshold, would let it grow without bound.
"""

from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter

__all__ = ["EIFLayer", "QIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class QIFLayer(SpikingLayer):
    """Quadratic integrate-and-fire neurons.

    Between `v_rest` and the critical potential `v_c` the membrane potential
    decays; beyond `v_c` it grows into a spike:

        H[t] = V[t-1] + (X[t] + a0 (U[t-1] - v_rest) (U[t-1] - v_c)) / tau
        U[t] = min(V[t], v_threshold)

    Args:
        tau: Float or array >= 1, the membrane time constant in time steps.
            Defaults to `2.0`.
        v_c: Float or array, the critical potential. Defaults to `0.8`.
        a0: Float or array >= 0, the strength of the quadratic term. Defaults to
            `1.0`.
        v_rest: Float or array, the resting potential. Defaults to `0.0`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `-0.1`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `tau` is less than 1 or `a0` is negative.

    Example:

    >>> spikes = keras_spiking.layers.QIFLayer()(keras.random.uniform((2, 8, 10)))
    >>> spikes.shape
    (2, 8, 10)

    References:
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch/online/Ch5.S3.html)
    """

    defaults = {"v_reset": -0.1}
    tau = Parameter(minimum=1.0)
    v_c = Parameter()
    a0 = Parameter(minimum=0.0)
    v_rest = Parameter()

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        v_c: ArrayLike = 0.8,
        a0: ArrayLike = 1.0,
        v_rest: ArrayLike = 0.0,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**self.with_defaults(kwargs))
        self.tau = tau
        self.v_c = v_c
        self.a0 = a0
        self.v_rest = v_rest

    def charge(self, x, v):
        u = _cut_off(v, self.v_threshold)
        return v + (x + self.a0 * (u - self.v_rest) * (u - self.v_c)) / self.tau


@keras.saving.register_keras_serializable("keras_spiking")
class EIFLayer(SpikingLayer):
    """Exponential integrate-and-fire neurons.

    A leaky integrator with an exponential term that starts a spike once the
    membrane potential passes the rheobase threshold `theta_rh`:

        H[t] = V[t-1] + (X[t] + v_rest - V[t-1]
               + delta_T exp((U[t-1] - theta_rh) / delta_T)) / tau
        U[t] = min(V[t], v_threshold)

    The exponent is at most 20.

    Args:
        tau: Float or array >= 1, the membrane time constant in time steps.
            Defaults to `2.0`.
        delta_T: Float or array > 0, the sharpness of the spike's start. Defaults
            to `1.0`.
        theta_rh: Float or array, the rheobase threshold. Defaults to `0.8`.
        v_rest: Float or array, the resting potential. Defaults to `0.0`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `-0.1`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `tau` is less than 1 or `delta_T` is not positive.

    Example:

    >>> spikes = keras_spiking.layers.EIFLayer()(keras.random.uniform((2, 8, 10)))
    >>> spikes.shape
    (2, 8, 10)

    References:
        - [Fourcaud-Trocme et al., 2003](https://doi.org/10.1523/JNEUROSCI.23-37-11628.2003)
    """

    defaults = {"v_reset": -0.1}
    tau = Parameter(minimum=1.0)
    delta_T = Parameter(minimum=POSITIVE)
    theta_rh = Parameter()
    v_rest = Parameter()

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        delta_T: ArrayLike = 1.0,
        theta_rh: ArrayLike = 0.8,
        v_rest: ArrayLike = 0.0,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**self.with_defaults(kwargs))
        self.tau = tau
        self.delta_T = delta_T
        self.theta_rh = theta_rh
        self.v_rest = v_rest

    def charge(self, x, v):
        exponent = (_cut_off(v, self.v_threshold) - self.theta_rh) / self.delta_T
        upstroke = self.delta_T * ops.exp(ops.clip(exponent, -1e3, 20.0))
        return v + (x + self.v_rest - v + upstroke) / self.tau


def _cut_off(v, v_threshold):
    return ops.where(v < v_threshold, v, ops.zeros_like(v) + v_threshold)
