"""STDP that learns from rewards."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking import backends
from keras_spiking.learning.stdp import STDP
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_number


class MSTDP(STDP):
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

    takes_reward = True
    smallest_tau = {"above": 0.0}

    # What is left of an eligibility trace after a time step, and what a step adds:
    #     z[t+1] = kept z[t] + gain e[t],    z[0] = 0,    dw = sum_t r[t] z[t]
    kept = 0.0
    gain = 1.0

    def next_traces(self, traces, spikes):
        triples = zip(traces, (self.tau_pre, self.tau_post), spikes)
        return tuple(trace * math.exp(-1.0 / tau) + s for trace, tau, s in triples)

    def rewards(self, post: Any, reward: Any) -> Any:
        """The reward of every time step, `(batch, time)`."""
        if reward is None:
            raise ValueError(f"{type(self).__name__} needs a `reward`.")
        reward = ops.stop_gradient(ops.convert_to_tensor(reward, "float32"))
        shape = post.shape[:2]
        fits = len(reward.shape) <= 2 and all(
            n is None or m is None or n == m for n, m in zip(reward.shape, shape)
        )
        if not fits:
            raise ValueError(
                "`reward` must be a number, one for each sample (batch,) or one "
                f"for each time step (batch, time) = {tuple(shape)}. Received a "
                f"reward of shape {tuple(reward.shape)}."
            )
        (reward,) = backends.active().require(
            ops.all(ops.isfinite(reward)),
            "`reward` must be finite. Received a reward with NaN or infinity.",
            (reward,),
        )
        reward = ops.reshape(reward, (*ops.shape(reward), 1, 1)[:2])
        return ops.broadcast_to(reward, ops.shape(post)[:2])

    def modulation(self, post, reward):
        # What happens at t is worth all later rewards, discounted:
        #     sum_t r[t] z[t] = sum_t gain e[t] sum_{s > t} kept^(s - t - 1) r[s]
        # so no trace of the size of the weights is needed for each sample.
        rewards = ops.flip(self.rewards(post, reward), axis=1)

        def step(reward, worth):
            return self.gain * worth, self.kept * worth + reward

        worth, _ = time_loop(step, rewards, ops.zeros_like(rewards[:, 0]))
        return ops.flip(worth, axis=1)

    def trace_shapes(self, pre, post):
        return [pre, post, (pre[0], *self.synapse.kernel.shape)]

    def __call__(
        self,
        pre: ArrayLike,
        post: ArrayLike,
        reward: ArrayLike | None = None,
        traces: tuple | None = None,
        return_traces: bool = False,
    ) -> Any:
        if traces is None and not return_traces:
            return super().__call__(pre, post, reward)
        post = ops.stop_gradient(ops.convert_to_tensor(post, "float32"))
        pre = ops.stop_gradient(ops.convert_to_tensor(pre, "float32"))
        pre = self.over_time(pre, post)
        *before, eligibility = traces or (None, None, 0.0)
        before = None if traces is None else tuple(before)
        delta, after = super().__call__(pre, post, reward, before, True)
        steps = ops.arange(ops.shape(post)[1], dtype="float32")
        left = self._left_after(steps)
        if traces is not None:
            eligibility = ops.convert_to_tensor(eligibility, "float32")
            worth = ops.sum(self.rewards(post, reward) * left, axis=1)
            delta = delta + ops.tensordot(worth, eligibility, 1)
        if not return_traces:
            return delta
        eligibility = eligibility * (self.kept * left[-1])
        eligibility = eligibility + self._eligibility(pre, post, before, left)
        return delta, (*after, eligibility)

    def _left_after(self, steps):
        """What is left of an eligibility after so many time steps."""
        if self.kept == 0.0:
            return ops.cast(steps == 0, "float32")
        return ops.power(self.kept, steps)

    def _eligibility(self, pre, post, traces, left):
        """What the steps of a call leave of `z`, for each sample."""
        weights = ops.stop_gradient(ops.convert_to_tensor(self.synapse.kernel))
        if traces is None:
            traces = (ops.zeros_like(pre[:, 0]), ops.zeros_like(post[:, 0]))
        traces = tuple(ops.convert_to_tensor(trace, "float32") for trace in traces)

        def trace(spikes, traces):
            traces = self.next_traces(traces, spikes)
            return traces, traces

        (pre_trace, post_trace), _ = time_loop(trace, (pre, post), traces)
        ones = (1,) * (len(post.shape) - 2)
        discount = ops.reshape(self.gain * ops.flip(left), (-1, *ones))

        # The time steps of one sample take the place of the samples of one step.
        def of_sample(x, _):
            pre, post, *traces = x
            return self.update(pre, post, tuple(traces), weights), ()

        samples = (pre, post * discount, pre_trace, post_trace * discount)
        samples = tuple(ops.swapaxes(x, 0, 1) for x in samples)
        eligibility, _ = time_loop(of_sample, samples, ())
        return ops.moveaxis(eligibility, 1, 0)


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
        self.kept, self.gain = math.exp(-1.0 / tau), 1.0 / tau
