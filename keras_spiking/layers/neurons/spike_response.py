import math
from typing import Any
from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.without_reset import WithoutReset
from keras_spiking.layers.options import TemporalOptions
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.decay import decay
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool

__all__ = ["SRMLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class SRMLayer(WithoutReset):
    """Neurons of the spike response model: kernels in place of a reset.

    The membrane potential is a sum of responses to the input and to the neuron's own
    spikes, at the times `f`:

        H[t] = sum_s k(t - s, tau) X[s]
               - refractory v_threshold sum_f k(t - f, tau_refractory)
        k(t, tau) = t / tau exp(1 - t / tau),    t >= 0

    Each kernel is an exact recursion with two states.

    Args:
        tau: Float or array > 0, the time constant of the response to the input, in
            time steps. Defaults to `4.0`.
        tau_refractory: Float or array > 0, that of the response to a spike. Defaults
            to `2.0`.
        refractory: Float or array >= 0, the depth of the response to a spike, in
            thresholds. Defaults to `2.0`.
        cumulative: Boolean, whether the responses to all spikes add up, or a spike
            makes the neuron forget those before it (`SRM0`). Defaults to `True`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"sigmoid"`.
        **kwargs: The other arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the `response` to the input and its `trace`, and
        the `refractory_response` and `refractory_trace`.

    Raises:
        ValueError: if a time constant is not positive, or `refractory` is negative.
        TypeError: if an argument of a reset is given.

    Example:

    >>> spikes = keras_spiking.layers.SRMLayer()(keras.ops.ones((1, 8, 1)))
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [0, 0, 1, 0, 1, 0, 1, 1]

    References:
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch/online/Ch6.S4.html)
        - [Shrestha and Orchard, 2018](https://arxiv.org/abs/1810.08646)
    """

    state_names = ("response", "trace", "refractory_response", "refractory_trace")
    tau = Parameter(minimum=POSITIVE)
    tau_refractory = Parameter(minimum=POSITIVE)
    refractory = Parameter(minimum=0.0)

    def __init__(
        self,
        tau: ArrayLike = 4.0,
        *,
        tau_refractory: ArrayLike = 2.0,
        refractory: ArrayLike = 2.0,
        cumulative: bool = True,
        v_threshold: ArrayLike = 1.0,
        surrogate: Any = "sigmoid",
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(v_threshold, surrogate=surrogate, **kwargs)
        self.tau = tau
        self.tau_refractory = tau_refractory
        self.refractory = refractory
        self.cumulative = check_bool("cumulative", cumulative)

    def step(self, x, states):
        response, trace, refractory_response, refractory_trace = states
        response, trace = _respond(response, trace, self.tau)
        own = _respond(refractory_response, refractory_trace, self.tau_refractory)
        depth = self.refractory * self.v_threshold
        spikes = self.fire(response - depth * own[0])
        if not self.cumulative:
            own = tuple(state * (1.0 - spikes) for state in own)
        return spikes, (response, bounded(trace + x), own[0], own[1] + spikes)

    def get_config(self):
        return {**super().get_config(), "cumulative": self.cumulative}


def _respond(response, trace, tau):
    """A step of `k(t, tau)` for the events in `trace`."""
    left = decay(1.0, tau)
    return left * (response + math.e / tau * trace), left * trace
