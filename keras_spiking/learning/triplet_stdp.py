import math

import keras
import numpy as np

from keras_spiking.learning.learner import Learner
from keras_spiking.validation import check_array
from keras_spiking.validation import check_number


class TripletSTDP(Learner):
    """Spike-timing-dependent plasticity of triplets of spikes, all to all.

    Each neuron has a fast and a slow trace of its spikes,

        tr[t] = tr[t-1] exp(-1 / tau) + s[t]            (fast and slow, both sides)
        dw[t] = s_post[t] fast_pre[t] (A2+ + A3+ slow_post[t-])
              - s_pre[t] fast_post[t] (A2- + A3- slow_pre[t-])

    with the slow traces just before the spikes of this step, `t-`. A pair of spikes
    changes a synapse by more if one of them follows a spike of the same neuron, so that
    a synapse is strengthened by high firing rates, as in cortex. The default constants
    are those found for visual cortex, with time steps of 1 ms.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.
        tau_pre: Float > 0, the time constant of fast presynaptic traces in time
            steps, the `tau+` of the paper. Defaults to `16.8`.
        tau_post: Float > 0, the same after the synapse, `tau-`. Defaults to `33.7`.
        tau_pre_slow: Float > 0, that of slow presynaptic traces, `tau_x`. Defaults to
            `101.0`.
        tau_post_slow: Float > 0, that of slow postsynaptic ones, `tau_y`. Defaults to
            `125.0`.
        potentiation: Pair of floats, `(A2+, A3+)`. Defaults to `(5e-10, 6.2e-3)`.
        depression: Pair of floats, `(A2-, A3-)`. Defaults to `(7e-3, 2.3e-4)`.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons after it.
        traces: Tuple of the traces before the first step. Defaults to zeros.
        return_traces: Boolean, whether to return the final traces in addition.

    Output shape:
        That of the kernel: the change, summed over batch and time.

    Example:

    >>> dense, neuron = keras.layers.Dense(3), keras_spiking.layers.IFLayer()
    >>> pre = keras.ops.ones((2, 5, 4))
    >>> post = neuron(dense(pre))
    >>> if keras.config.backend() != "numpy":
    ...     delta = keras_spiking.learning.TripletSTDP(dense)(pre, post)

    References:
        - [Pfister and Gerstner, 2006](https://doi.org/10.1523/JNEUROSCI.1425-06.2006)
    """

    smallest_tau = {"above": 0.0}

    def __init__(
        self,
        synapse: keras.layers.Layer | str,
        tau_pre: float = 16.8,
        tau_post: float = 33.7,
        tau_pre_slow: float = 101.0,
        tau_post_slow: float = 125.0,
        potentiation: tuple[float, float] = (5e-10, 6.2e-3),
        depression: tuple[float, float] = (7e-3, 2.3e-4),
    ):
        super().__init__(synapse, tau_pre, tau_post)
        self.tau_pre_slow = check_number("tau_pre_slow", tau_pre_slow, above=0.0)
        self.tau_post_slow = check_number("tau_post_slow", tau_post_slow, above=0.0)
        self.potentiation = _check_pair("potentiation", potentiation)
        self.depression = _check_pair("depression", depression)

    def kept(self, tau):
        return math.exp(-1.0 / tau)

    def trace_constants(self):
        return {
            **super().trace_constants(),
            "slow_pre": ("pre", self.tau_pre_slow),
            "slow_post": ("post", self.tau_post_slow),
        }

    def update(self, pre, post, traces, weights):
        fast_pre, fast_post, slow_pre, slow_post = traces
        pair, triplet = self.potentiation
        strong = post * (pair + triplet * (slow_post - post))
        potentiation = self.correlate(fast_pre, strong)
        pair, triplet = self.depression
        strong = pre * (pair + triplet * (slow_pre - pre))
        return potentiation - self.correlate(strong, fast_post)


def _check_pair(name, value):
    array = np.asarray(check_array(name, value))
    if array.shape != (2,):
        raise ValueError(
            f"`{name}` must be a pair of numbers, for pairs and for triplets of "
            f"spikes. Received: {name}={value!r}"
        )
    return tuple(array.tolist())
