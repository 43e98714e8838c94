"""Adaptive neurons that are stable, whatever they oscillate at: symplectic Euler."""

from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.decay import decay
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter

__all__ = ["SEAdLIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class SEAdLIFLayer(SpikingLayer):
    """Adaptive LIF neurons in the symplectic Euler discretisation: SE-adLIF.

    An adaptation current `W` follows the membrane potential and the spikes, and is
    subtracted from the input. With `alpha = exp(-1 / tau)` and
    `beta = exp(-1 / tau_w)`:

        H[t] = alpha V[t-1] + (1 - alpha) (X[t] - W[t-1])
        V[t] = H[t] after the reset
        W[t] = beta W[t-1] + (1 - beta) scale (a V[t] + b S[t])

    `W` sees the new membrane potential, not the last one as in the Euler forward
    method. That makes oscillations decay for every `a`, so that neurons can be trained
    to resonate with the rhythm of their input.

    Args:
        tau: Float or array > 0, the membrane time constant in time steps. In the
            paper 5 to 25. Defaults to `15.0`.
        tau_w: Float or array > 0, that of the adaptation. In the paper 60 to 300.
            Defaults to `180.0`.
        a: Float or array >= 0, how strongly `W` follows the membrane potential. In
            the paper 0 to 1. Defaults to `0.5`.
        b: Float or array >= 0, how strongly it follows the spikes. In the paper 0
            to 2. Defaults to `1.0`.
        scale: Float or array >= 0, a factor of `a` and `b`, which lets these be
            learned as fast as other weights. Defaults to `120.0`, as in the paper.
        **kwargs: The arguments of `SpikingLayer`. The paper detaches the reset.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and `w`.

    Raises:
        ValueError: if a time constant is not positive, or `a`, `b` or `scale` is
            negative.

    Example:

    >>> layer = keras_spiking.layers.SEAdLIFLayer(learnable={"a": "neuron"})
    >>> layer(keras.random.uniform((2, 8, 10), maxval=30.0)).shape
    (2, 8, 10)

    References:
        - [Baronig et al., 2025](https://doi.org/10.1038/s41467-025-60878-z)
    """

    state_names = ("v", "w")
    tau = Parameter(minimum=POSITIVE)
    tau_w = Parameter(minimum=POSITIVE)
    a = Parameter(minimum=0.0)
    b = Parameter(minimum=0.0)
    scale = Parameter(minimum=0.0)

    def __init__(
        self,
        tau: ArrayLike = 15.0,
        *,
        tau_w: ArrayLike = 180.0,
        a: ArrayLike = 0.5,
        b: ArrayLike = 1.0,
        scale: ArrayLike = 120.0,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**kwargs)
        self.tau = tau
        self.tau_w = tau_w
        self.a = a
        self.b = b
        self.scale = scale

    def charge(self, x, v):
        alpha = decay(1.0, self.tau)
        return alpha * v + (1.0 - alpha) * x

    def step(self, x, states):
        v, w = states
        spikes, (v,) = super().step(bounded(x) - w, (v,))
        beta = decay(1.0, self.tau_w)
        target = self.scale * (self.a * v + self.b * spikes)
        return spikes, (v, beta * w + (1.0 - beta) * target)
