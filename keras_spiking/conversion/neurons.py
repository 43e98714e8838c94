"""Neurons whose firing rate is a rectifier of their mean input."""

from typing import Any
from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.integrate_and_fire import IFLayer
from keras_spiking.layers.options import TemporalOptions
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_array
from keras_spiking.validation import check_bool
from keras_spiking.validation import refuse_keywords


class _RateNeurons(IFLayer):
    """What the neurons of converted networks share: a soft reset, the initial
    membrane potential, a constant current, spikes as high as the threshold."""

    v_init = Parameter()
    current = Parameter()

    def __init__(
        self,
        v_threshold: ArrayLike = 1.0,
        *,
        v_init: ArrayLike = 0.0,
        current: ArrayLike = 0.0,
        surrogate: Any = "sigmoid",
        detach_reset: bool = False,
        **kwargs: Unpack[TemporalOptions],
    ):
        refuse_keywords(type(self), kwargs, v_reset="its reset is soft")
        super().__init__(
            v_threshold=check_array("v_threshold", v_threshold, above=0.0),
            v_reset=None,
            surrogate=surrogate,
            detach_reset=detach_reset,
            **kwargs,
        )
        self.v_init = v_init
        self.current = current

    def get_initial_state(self, x):
        (v,) = super().get_initial_state(x)
        return (v + self.v_init,)

    def charge(self, x, v):
        return v + x + self.current

    def get_config(self):
        config = super().get_config()
        del config["v_reset"]
        return config


@keras.saving.register_keras_serializable("keras_spiking")
class RateIFLayer(_RateNeurons):
    """Integrate-and-fire neurons that replace a ReLU.

        H[t] = V[t-1] + X[t] + current
        S[t] = heaviside(H[t] - v_threshold)
        V[t] = H[t] - v_threshold S[t],  V[0] = v_init
        Y[t] = v_threshold S[t]

    The mean output tends to `min(relu(mean input), v_threshold)`, with an error
    of at most `v_threshold / timesteps` for a constant input: half of that if
    the membrane potential starts at half the threshold.

    Args:
        v_threshold: Float or array > 0, the threshold and the size of a spike.
            Defaults to `1.0`.
        v_init: Float or array, the initial membrane potential. Defaults to `0.0`.
        current: Float or array, a constant input. Defaults to `0.0`.
        **kwargs: `surrogate`, `detach_reset` and the arguments of `TemporalLayer`;
            the reset is soft.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Example:

    >>> neurons = keras_spiking.conversion.RateIFLayer(v_threshold=2.0, v_init=1.0)
    >>> spikes = neurons(keras.ops.ones((1, 4, 1)))
    >>> [float(s) for s in keras.ops.reshape(spikes, (-1,))]
    [2.0, 0.0, 2.0, 0.0]

    References:
        - [Rueckauer et al., 2017](https://doi.org/10.3389/fnins.2017.00682)
        - [Bu et al., 2022](https://arxiv.org/abs/2202.01440)
    """

    def step(self, x, states):
        spikes, states = super().step(x, states)
        return self.v_threshold * spikes, states


@keras.saving.register_keras_serializable("keras_spiking")
class SignedIFLayer(_RateNeurons):
    """Integrate-and-fire neurons that take spikes back with negative spikes.

    The neuron counts its spikes, negative ones as -1. It keeps the count `N` at
    the charge that it received, in units of the threshold:

        H[t] = V[t-1] + X[t] + current
        N[t] = clip(N[t-1] + floor(H[t] / v_threshold), lowest, t)
        V[t] = H[t] - v_threshold (N[t] - N[t-1]),  V[0] = v_init
        Y[t] = f(v_threshold N[t]) - f(v_threshold N[t-1])

    where `f` is the leaky ReLU, and `lowest` is 0 for a ReLU (a negative slope
    of 0) and `-t` otherwise. With `burst=False` the count changes by at most one
    in a step. Spikes that came too early, because the input of a step is not yet
    its mean, do no harm: the mean output tends to `f(mean input)` even if
    the input changes its sign.

    With `burst=True` and `v_init = v_threshold / 2` the mean output after
    `timesteps` steps is the QCFS activation of the mean input, exactly.

    Args:
        v_threshold: Float or array > 0. Defaults to `1.0`.
        v_init: Float or array, the initial membrane potential. Defaults to `0.0`.
        current: Float or array, a constant input. Defaults to `0.0`.
        negative_slope: Float or array, the slope of `f` below 0. Defaults to
            `0.0`.
        burst: Boolean, whether a neuron may fire several spikes in one step.
            Defaults to `False`.
        **kwargs: `surrogate`, `detach_reset` and the arguments of `TemporalLayer`;
            the reset is soft.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Example:

    >>> neurons = keras_spiking.conversion.SignedIFLayer(burst=True)
    >>> spikes = neurons(keras.ops.array([[[1.0], [2.0], [-3.0], [4.0]]]))
    >>> [float(s) for s in keras.ops.reshape(spikes, (-1,))]
    [1.0, 1.0, -2.0, 4.0]

    References:
        - [Kim et al., 2020](https://arxiv.org/abs/1903.06530)
        - [Li et al., 2022](https://arxiv.org/abs/2205.10121)
    """

    negative_slope = Parameter()

    def __init__(
        self,
        v_threshold: ArrayLike = 1.0,
        *,
        v_init: ArrayLike = 0.0,
        current: ArrayLike = 0.0,
        negative_slope: ArrayLike = 0.0,
        burst: bool = False,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(v_threshold, v_init=v_init, current=current, **kwargs)
        self.negative_slope = negative_slope
        self.burst = check_bool("burst", burst)

    def get_initial_state(self, x):
        (v,) = super().get_initial_state(x)
        # The number of the step is the same for all neurons of a sample.
        first = (slice(None),) + (slice(0, 1),) * (len(x.shape) - 1)
        return v, ops.zeros_like(v), ops.zeros_like(v[first])

    def step(self, x, states):
        v, count, time = states
        h = self.charge(x, v)
        spikes = ops.floor(h / self.v_threshold)
        if not self.burst:
            spikes = ops.clip(spikes, -1.0, 1.0)
        time = time + 1.0
        slope = self.negative_slope
        if isinstance(slope, float):
            lowest = -time if slope else 0.0
        else:
            lowest = ops.where(ops.not_equal(slope, 0.0), -time, 0.0)
        new_count = ops.minimum(ops.maximum(count + spikes, lowest), time)
        v = h - self.v_threshold * (new_count - count)
        return self._output(new_count) - self._output(count), (v, new_count, time)

    def _output(self, count):
        y = self.v_threshold * count
        return ops.where(count < 0, self.negative_slope * y, y)

    def get_config(self):
        return {**super().get_config(), "burst": self.burst}
