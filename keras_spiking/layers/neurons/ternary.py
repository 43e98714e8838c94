"""Neurons with spikes of both signs."""

from typing import Unpack

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.integrate_and_fire import IFLayer
from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LeakyOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter

__all__ = ["TernaryIFLayer", "TernaryLIFLayer"]


class Ternary(SpikingLayer):
    """A second threshold below zero, with spikes of -1."""

    v_threshold = Parameter(minimum=POSITIVE)

    def build(self, inputs_shape, initial_state_shape=None):
        given = type(self)
        threshold, reset = given.v_threshold.given(self), given.v_reset.given(self)
        if reset is not None and np.any(np.abs(reset) >= threshold):
            raise ValueError(
                f"`v_reset` must lie between -v_threshold and v_threshold, where a "
                f"{type(self).__name__} does not fire. Received: v_reset={reset!r}, "
                f"v_threshold={threshold!r}"
            )
        super().build(inputs_shape, initial_state_shape)

    def step(self, x, states):
        (v,) = states
        h = self.charge(x, v)
        up, down = self.fire(h), self.fire(-h)
        spikes = up - down
        resets = spikes if self.v_reset is None else up + down
        return spikes, (self.reset(h, resets),)


@keras.saving.register_keras_serializable("keras_spiking")
class TernaryIFLayer(Ternary, IFLayer):
    """Integrate-and-fire neurons with spikes of -1, 0 and 1.

        H[t] = V[t-1] + X[t]
        P[t] = heaviside(H[t] - v_threshold)
        N[t] = heaviside(-H[t] - v_threshold)
        S[t] = P[t] - N[t]

    A hard reset follows spikes of both signs, `V = H (1 - P - N) + v_reset (P + N)`; a
    soft one, `V = H - v_threshold S`, moves the membrane potential towards zero. Both
    thresholds have the surrogate's gradient.

    Args:
        v_threshold: Float or array > 0, the height of both thresholds. Defaults to
            `1.0`.
        v_reset: Float or array between the thresholds, or `None` for a soft reset.
            Defaults to `0.0`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `v_threshold` is not positive, or `v_reset` does not lie between
            the thresholds.

    Example:

    >>> layer = keras_spiking.layers.TernaryIFLayer()
    >>> spikes = layer(keras.ops.array([[[0.6], [0.6], [-0.7], [-0.7]]]))
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [0, 1, 0, -1]

    References:
        - [Guo et al., 2024](https://arxiv.org/abs/2312.06372)
    """


@keras.saving.register_keras_serializable("keras_spiking")
class TernaryLIFLayer(Ternary, LIFLayer):
    """Leaky integrate-and-fire neurons with spikes of -1, 0 and 1.

    `H` charges as in `LIFLayer`; thresholds, spikes and reset are those of
    `TernaryIFLayer`. The neurons of the paper have `tau=4 / 3` and
    `decay_input=False`.

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        v_threshold: Float or array > 0, the height of both thresholds. Defaults to
            `1.0`.
        v_reset: Float or array between the thresholds, or `None` for a soft reset.
            Defaults to `0.0`.
        **kwargs: The other arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `v_threshold` is not positive, or `v_reset` does not lie between
            the thresholds.

    Example:

    >>> layer = keras_spiking.layers.TernaryLIFLayer(tau=4 / 3, decay_input=False)
    >>> spikes = layer(keras.ops.array([[[1.2], [-0.9], [-0.9], [0.3]]]))
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [1, 0, -1, 0]

    References:
        - [Guo et al., 2024](https://arxiv.org/abs/2312.06372)
    """

    def __init__(self, tau: ArrayLike = 2.0, **kwargs: Unpack[LeakyOptions]):
        super().__init__(tau, **kwargs)
