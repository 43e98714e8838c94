"""Integrate-and-fire neurons that start their spikes by themselves."""

import keras
from keras import ops

from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.parameter import Parameter


@keras.saving.register_keras_serializable("keras_spiking")
class QIFLayer(SpikingLayer):
    """Quadratic integrate-and-fire neurons.

    Between `v_rest` and the critical potential `v_c` the membrane potential
    decays; beyond `v_c` it runs away into a spike:

        H[t] = V[t-1] + (X[t] + a0 (V[t-1] - v_rest) (V[t-1] - v_c)) / tau

    Args:
        tau: Float or array >= 1, the membrane time constant in time steps.
            Defaults to `2.0`.
        v_c: Float or array, the critical potential. Defaults to `0.8`.
        a0: Float or array >= 0, the strength of the quadratic term. Defaults to
            `1.0`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_rest: Float or array, the resting potential. Defaults to `0.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `-0.1`.
        **kwargs: The arguments of `SpikingLayer`.

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

    tau = Parameter(minimum=1.0)
    v_c = Parameter()
    a0 = Parameter(minimum=0.0)
    v_rest = Parameter()

    def __init__(self, tau=2.0, v_c=0.8, a0=1.0, v_rest=0.0, v_reset=-0.1, **kwargs):
        super().__init__(v_reset=v_reset, **kwargs)
        self.tau = tau
        self.v_c = v_c
        self.a0 = a0
        self.v_rest = v_rest

    def charge(self, x, v):
        return v + (x + self.a0 * (v - self.v_rest) * (v - self.v_c)) / self.tau


@keras.saving.register_keras_serializable("keras_spiking")
class EIFLayer(SpikingLayer):
    """Exponential integrate-and-fire neurons.

    A leaky integrator with an exponential term that starts a spike once the
    membrane potential passes the rheobase threshold `theta_rh`:

        H[t] = V[t-1] + (X[t] + v_rest - V[t-1]
               + delta_T exp((V[t-1] - theta_rh) / delta_T)) / tau

    Args:
        tau: Float or array >= 1, the membrane time constant in time steps.
            Defaults to `2.0`.
        delta_T: Float or array > 0, the sharpness of the spike's start. Defaults
            to `1.0`.
        theta_rh: Float or array, the rheobase threshold. Defaults to `0.8`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_rest: Float or array, the resting potential. Defaults to `0.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `-0.1`.
        **kwargs: The arguments of `SpikingLayer`.

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

    tau = Parameter(minimum=1.0)
    delta_T = Parameter(minimum=1e-6)
    theta_rh = Parameter()
    v_rest = Parameter()

    def __init__(
        self,
        tau=2.0,
        delta_T=1.0,
        theta_rh=0.8,
        v_rest=0.0,
        v_reset=-0.1,
        **kwargs,
    ):
        super().__init__(v_reset=v_reset, **kwargs)
        self.tau = tau
        self.delta_T = delta_T
        self.theta_rh = theta_rh
        self.v_rest = v_rest

    def charge(self, x, v):
        upstroke = self.delta_T * ops.exp((v - self.theta_rh) / self.delta_T)
        return v + (x + self.v_rest - v + upstroke) / self.tau
