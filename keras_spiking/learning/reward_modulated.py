"""STDP that learns from rewards."""

from collections.abc import Callable

import keras
from keras import ops

from keras_spiking.learning.stdp import STDP
from keras_spiking.learning.three_factor import ThreeFactor
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_number


class MSTDP(ThreeFactor, STDP):
    """Reward-modulated STDP: a reward counts for the spikes one time step before it.

        tr[t] = tr[t-1] exp(-1 / tau) + s[t]                        (both sides)
        e[t] = f_post(w) tr_pre[t] s_post[t] - f_pre(w) tr_post[t] s_pre[t]
        dw = sum_t r[t] e[t-1],    e[-1] = 0

    The reward is one that the environment gives for what the network did. With
    `return_traces=True` the last eligibility `e` of each sample, `(batch, *kernel)`,
    is the last of the traces, so that a first reward of the next call counts for it.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.
        tau_pre: Float > 0, the time constant of presynaptic traces in time steps.
        tau_post: Float > 0, the same after the synapse.
        f_pre: Function of the weights, see `STDP`.
        f_post: Function of the weights, see `STDP`.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons after it.
        reward: Float, or array `(batch,)`, or `(batch, time)`: one reward for
            all, for each sample, or for each time step.
        traces: Tuple of the traces before the first step. Defaults to zeros.
        return_traces: Boolean, whether to return the final traces in addition.

    Output shape:
        That of the kernel: the change, summed over batch and time.

    Raises:
        ValueError: if the reward has another shape or is not finite.

    Example:

    >>> dense, neuron = keras.layers.Dense(3), keras_spiking.layers.IFLayer()
    >>> pre = keras.ops.ones((2, 5, 4))
    >>> post = neuron(dense(pre))
    >>> rule = keras_spiking.learning.MSTDP(
    ...     dense, 5.0, 5.0, f_pre=keras.ops.ones_like, f_post=keras.ops.ones_like
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     delta = rule(pre, post, reward=keras.ops.array([1.0, -1.0]))

    References:
        - [Florian, 2007](https://doi.org/10.1162/neco.2007.19.6.1468)
    """

    def __init__(
        self,
        synapse: keras.layers.Layer | str,
        tau_pre: float,
        tau_post: float,
        f_pre: Callable,
        f_post: Callable,
    ):
        super().__init__(synapse, tau_pre, tau_post, f_pre=f_pre, f_post=f_post)


class MSTDPET(MSTDP):
    """Reward-modulated STDP with an eligibility trace.

        z[t] = z[t-1] exp(-1 / tau_eligibility) + e[t-1] / tau_eligibility
        dw = sum_t r[t] z[t]

    where `e[t]` is that of `MSTDP`: a reward counts for all that has happened before
    it. With `return_traces=True` the eligibility trace of the next time step,
    `(batch, *kernel)`, is the last of the traces.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.
        tau_pre: Float > 0, see `MSTDP`.
        tau_post: Float > 0, see `MSTDP`.
        tau_eligibility: Float > 0, the time constant of the eligibility trace
            in time steps.
        f_pre: Function of the weights, see `STDP`.
        f_post: Function of the weights, see `STDP`.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons after it.
        reward: Float, or array `(batch,)`, or `(batch, time)`: one reward for
            all, for each sample, or for each time step.

    Output shape:
        That of the kernel: the change, summed over batch and time.

    Example:

    >>> dense, neuron = keras.layers.Dense(3), keras_spiking.layers.IFLayer()
    >>> pre = keras.ops.ones((2, 5, 4))
    >>> post = neuron(dense(pre))
    >>> one = keras.ops.ones_like
    >>> rule = keras_spiking.learning.MSTDPET(dense, 5.0, 5.0, 20.0, one, one)
    >>> if keras.config.backend() != "numpy":
    ...     delta = rule(pre, post, reward=1.0)

    References:
        - [Florian, 2007](https://doi.org/10.1162/neco.2007.19.6.1468)
    """

    def __init__(
        self,
        synapse: keras.layers.Layer | str,
        tau_pre: float,
        tau_post: float,
        tau_eligibility: float,
        f_pre: Callable,
        f_post: Callable,
    ):
        super().__init__(synapse, tau_pre, tau_post, f_pre, f_post)
        tau = check_number("tau_eligibility", tau_eligibility, above=0.0)
        self.tau_eligibility = tau
        self.gain = 1.0 / tau


class DopamineSTDP(MSTDPET):
    """STDP that dopamine, which a reward leaves behind, puts into effect.

        d[t] = d[t-1] exp(-1 / tau_dopamine) + r[t]
        z[t] = z[t-1] exp(-1 / tau_eligibility) + e[t-1]
        dw = sum_t (baseline + d[t]) z[t]

    where `e[t]` is that of `MSTDP`. A reward that comes late, after other spikes, still
    finds the synapses eligible that earned it. With `return_traces=True` the dopamine,
    `(batch,)`, is the last of the traces.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.
        tau_pre: Float > 0, see `MSTDP`.
        tau_post: Float > 0, see `MSTDP`.
        tau_eligibility: Float > 0, the time constant of the eligibility trace
            in time steps; published with one second.
        tau_dopamine: Float > 0, that of the dopamine; published with 0.2 seconds.
        f_pre: Function of the weights, see `STDP`.
        f_post: Function of the weights, see `STDP`.
        baseline: Float, the level of dopamine without rewards. Defaults to `0.0`.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons after it.
        reward: Float, or array `(batch,)`, or `(batch, time)`: one reward for
            all, for each sample, or for each time step.

    Output shape:
        That of the kernel: the change, summed over batch and time.

    Example:

    >>> dense, neuron = keras.layers.Dense(3), keras_spiking.layers.IFLayer()
    >>> pre = keras.ops.ones((2, 5, 4))
    >>> post = neuron(dense(pre))
    >>> rule = keras_spiking.learning.DopamineSTDP(
    ...     dense,
    ...     20.0,
    ...     20.0,
    ...     tau_eligibility=1000.0,
    ...     tau_dopamine=200.0,
    ...     f_pre=lambda w: 1.5 * keras.ops.ones_like(w),
    ...     f_post=keras.ops.ones_like,
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     delta = rule(pre, post, reward=keras.ops.array([0.0, 1.0]))

    References:
        - [Izhikevich, 2007](https://doi.org/10.1093/cercor/bhl152)
    """

    def __init__(
        self,
        synapse: keras.layers.Layer | str,
        tau_pre: float,
        tau_post: float,
        tau_eligibility: float,
        tau_dopamine: float,
        f_pre: Callable,
        f_post: Callable,
        baseline: float = 0.0,
    ):
        super().__init__(synapse, tau_pre, tau_post, tau_eligibility, f_pre, f_post)
        self.tau_dopamine = check_number("tau_dopamine", tau_dopamine, above=0.0)
        self.baseline = check_number("baseline", baseline)
        self.gain = 1.0

    def trace_shapes(self, pre, post):
        return {**super().trace_shapes(pre, post), "dopamine": pre[:1]}

    def zeros(self, pre, post):
        return {**super().zeros(pre, post), "dopamine": ops.zeros(ops.shape(pre)[:1])}

    def third_factor(self, reward):
        return self.baseline + reward

    def learn(self, pre, post, reward, traces):
        def step(reward, dopamine):
            dopamine = self.kept(self.tau_dopamine) * dopamine + reward
            return dopamine, dopamine

        rewards = self.rewards(post, reward)
        levels, dopamine = time_loop(step, rewards, traces["dopamine"])
        delta, after = super().learn(pre, post, levels, traces)
        return delta, {**after, "dopamine": dopamine}
