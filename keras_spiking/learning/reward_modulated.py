"""STDP that learns from rewards."""

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
    """Reward-modulated STDP.

        dw = sum_t r[t] e[t]

    where `e[t]` is what `STDP` changes in a time step and `r[t]` is the reward.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.
        tau_pre: Float >= 1, see `STDP`.
        tau_post: Float >= 1, see `STDP`.
        f_pre: Function of the weights, see `STDP`.
        f_post: Function of the weights, see `STDP`.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons after it.
        reward: Float, or array `(batch,)`, or `(batch, time)`: one reward for
            all, for each sample, or for each time step.

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

    def modulation(self, post, reward):
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


class MSTDPET(MSTDP):
    """Reward-modulated STDP with an eligibility trace.

        z[t] = z[t-1] - z[t-1] / tau_eligibility + e[t]
        dw = sum_t r[t] z[t]

    where `e[t]` is what `STDP` changes in a time step: a reward counts for what
    has happened before it, too. With `return_traces=True` the eligibility trace
    `z` of each sample, `(batch, *kernel)`, is the last of the traces.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.
        tau_pre: Float >= 1, see `STDP`.
        tau_post: Float >= 1, see `STDP`.
        tau_eligibility: Float >= 1, the time constant of the eligibility trace
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
        self.tau_eligibility = check_number(
            "tau_eligibility", tau_eligibility, minimum=1.0
        )

    def modulation(self, post, reward):
        # What happens at t is worth all later rewards, discounted:
        #     sum_t r[t] z[t] = sum_t e[t] sum_{s >= t} (1 - 1 / tau)^(s - t) r[s]
        # so no trace of the size of the weights is needed for each sample.
        rewards = ops.flip(super().modulation(post, reward), axis=1)

        def step(reward, worth):
            worth = worth - worth / self.tau_eligibility + reward
            return worth, worth

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
        kept = 1.0 - 1.0 / self.tau_eligibility
        if traces is not None:
            eligibility = ops.convert_to_tensor(eligibility, "float32")
            worth = kept * self.modulation(post, reward)[:, 0]
            delta = delta + ops.tensordot(worth, eligibility, 1)
        if not return_traces:
            return delta
        eligibility = eligibility * ops.power(kept, ops.shape(post)[1])
        eligibility = eligibility + self._eligibility(pre, post, before, kept)
        return delta, (*after, eligibility)

    def _eligibility(self, pre, post, traces, kept):
        """What the steps of a call leave of `z`, for each sample."""
        weights = ops.stop_gradient(ops.convert_to_tensor(self.synapse.kernel))
        if traces is None:
            traces = (ops.zeros_like(pre[:, 0]), ops.zeros_like(post[:, 0]))
        traces = tuple(ops.convert_to_tensor(trace, "float32") for trace in traces)

        def trace(spikes, traces):
            traces = self.next_traces(traces, spikes)
            return traces, traces

        (pre_trace, post_trace), _ = time_loop(trace, (pre, post), traces)
        later = ops.flip(ops.arange(ops.shape(post)[1], dtype="float32"))
        ones = (1,) * (len(post.shape) - 2)
        discount = ops.reshape(ops.power(kept, later), (-1, *ones))

        # The time steps of one sample take the place of the samples of one step.
        def of_sample(x, _):
            pre, post, *traces = x
            return self.update(pre, post, tuple(traces), weights), ()

        samples = (pre, post * discount, pre_trace, post_trace * discount)
        samples = tuple(ops.swapaxes(x, 0, 1) for x in samples)
        eligibility, _ = time_loop(of_sample, samples, ())
        return ops.moveaxis(eligibility, 1, 0)
