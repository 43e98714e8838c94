"""Neurons whose reset takes effect in the time step after the spike, as in snnTorch."""

from typing import Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.options import SurrogateOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Parameter
from keras_spiking.validation import refuse_keywords

__all__ = ["AlphaLayer", "LeakyLayer", "SynapticLayer"]


class _DelayedReset(SpikingLayer):
    """A neuron whose reset follows the next charge. Its state is `H`."""

    defaults = {"v_reset": None, "surrogate": "atan"}

    def __init__(self, **kwargs: Unpack[SpikingOptions]):
        super().__init__(**self.with_defaults(kwargs))

    def step(self, x, states):
        (v,) = states
        h = self.reset(self.charge(x, v), self.fire(v))
        return self.fire(h), (h,)


@keras.saving.register_keras_serializable("keras_spiking")
class LeakyLayer(_DelayedReset):
    """Leaky integrate-and-fire neurons that reset after the next decay.

        H[t] = beta H[t-1] + gain X[t] - v_threshold S[t-1]      (soft reset)
        H[t] = beta H[t-1] + gain X[t]   or   v_reset where S[t-1] = 1
        S[t] = heaviside(H[t] - v_threshold)

    The membrane potential decays from its height at the spike: a neuron that has
    gone far above the threshold keeps more than with `LIFLayer`, which subtracts the
    threshold before the decay. This is the `Leaky` neuron of snnTorch; with a hard
    reset and a `gain` its `Lapicque`.

    Args:
        beta: Float or array in [0, 1], the part of the membrane potential that is
            left after a time step. Defaults to `0.9`.
        gain: Float or array, the factor of the input. Defaults to `1.0`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `None`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"atan"`.
        detach_reset: Boolean. `True` in snnTorch. Defaults to `False`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`. The state is `H`.

    Raises:
        ValueError: if `beta` is not within [0, 1].

    Example:

    >>> current = keras.ops.array([[[1.5], [0.5], [0.5], [0.0]]])
    >>> spikes = keras_spiking.layers.LeakyLayer(beta=0.5)(current)
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [1, 0, 0, 0]

    References:
        - [Eshraghian et al., 2023](https://arxiv.org/abs/2109.12894)
    """

    beta = Parameter(minimum=0.0, maximum=1.0)
    gain = Parameter()

    def __init__(
        self,
        beta: ArrayLike = 0.9,
        *,
        gain: ArrayLike = 1.0,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**kwargs)
        self.beta = beta
        self.gain = gain

    def charge(self, x, v):
        return self.beta * v + self.gain * x


@keras.saving.register_keras_serializable("keras_spiking")
class SynapticLayer(_DelayedReset):
    """Neurons with a synaptic current that reset after the next decay.

        I[t] = alpha I[t-1] + X[t]
        H[t] = beta H[t-1] + I[t] - v_threshold S[t-1]           (soft reset)
        H[t] = beta H[t-1] + I[t]   or   v_reset where S[t-1] = 1
        S[t] = heaviside(H[t] - v_threshold)

    This is the `Synaptic` neuron of snnTorch. `CubaLayer` resets before the decay.

    Args:
        alpha: Float or array in [0, 1], the part of the synaptic current that is
            left after a time step. Defaults to `0.9`.
        beta: Float or array in [0, 1], the same for the membrane potential. Defaults
            to `0.8`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `None`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"atan"`.
        detach_reset: Boolean. `True` in snnTorch. Defaults to `False`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and the `current`.

    Raises:
        ValueError: if `alpha` or `beta` is not within [0, 1].

    Example:

    >>> layer = keras_spiking.layers.SynapticLayer(alpha=0.8, beta=0.9)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Eshraghian et al., 2023](https://arxiv.org/abs/2109.12894)
    """

    state_names = ("v", "current")
    alpha = Parameter(minimum=0.0, maximum=1.0)
    beta = Parameter(minimum=0.0, maximum=1.0)

    def __init__(
        self,
        alpha: ArrayLike = 0.9,
        *,
        beta: ArrayLike = 0.8,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.beta = beta

    def charge(self, x, v):
        return self.beta * v + x

    def step(self, x, states):
        v, current = states
        current = self.alpha * current + bounded(x)
        spikes, (v,) = super().step(current, (v,))
        return spikes, (v, current)


@keras.saving.register_keras_serializable("keras_spiking")
class AlphaLayer(_DelayedReset):
    """Neurons whose membrane potential follows an alpha function of each spike.

        E[t] = (alpha E[t-1] + X[t]) (1 - S[t-1])
        I[t] = (beta I[t-1] - X[t]) (1 - S[t-1])
        H[t] = (log(alpha) / (log(beta) - log(alpha)) + 1) (E[t] + I[t])
        S[t] = heaviside(H[t] - v_threshold)

    The time step after a spike is lost: its input, too. This is the `Alpha` neuron
    of snnTorch.

    Args:
        alpha: Float or array in (0, 1), the part of the excitation `E` that is left
            after a time step. Defaults to `0.9`.
        beta: Float or array in (0, 1) below `alpha`, the same for the inhibition `I`.
            Defaults to `0.8`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"atan"`.
        detach_reset: Boolean. `True` in snnTorch. Defaults to `False`.
        **kwargs: The other arguments of `SpikingLayer`, without `v_reset`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v`, `excitation` and
        `inhibition`.

    Raises:
        ValueError: if `alpha` is not above `beta`, or one is not within (0, 1).
        TypeError: for `v_reset`: a spike resets everything to 0.

    Example:

    >>> layer = keras_spiking.layers.AlphaLayer(alpha=0.9, beta=0.7)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Eshraghian et al., 2023](https://arxiv.org/abs/2109.12894)
    """

    state_names = ("v", "excitation", "inhibition")
    alpha = Parameter(minimum=1e-6, maximum=1.0 - 1e-6)
    beta = Parameter(minimum=1e-6, maximum=1.0 - 1e-6)

    def __init__(
        self,
        alpha: ArrayLike = 0.9,
        *,
        beta: ArrayLike = 0.8,
        v_threshold: ArrayLike = 1.0,
        **kwargs: Unpack[SurrogateOptions],
    ):
        refuse_keywords(type(self), kwargs, v_reset="a spike resets all states to 0")
        super().__init__(v_threshold=v_threshold, **kwargs)
        self.alpha = alpha
        self.beta = beta
        if not np.all(np.asarray(alpha) > np.asarray(beta)):
            raise ValueError(
                "`alpha` must be above `beta`: excitation lasts longer than "
                f"inhibition. Received: alpha={alpha}, beta={beta}"
            )

    def step(self, x, states):
        v, excitation, inhibition = states
        x = bounded(x)
        kept = 1.0 - self.reset_spikes(self.fire(v))
        excitation = (self.alpha * excitation + x) * kept
        inhibition = (self.beta * inhibition - x) * kept
        slow, fast = ops.log(self.alpha), ops.log(self.beta)
        h = (excitation + inhibition) * (slow / (fast - slow) + 1.0)
        return self.fire(h), (h, excitation, inhibition)

    def get_config(self):
        config = super().get_config()
        del config["v_reset"]
        return config
