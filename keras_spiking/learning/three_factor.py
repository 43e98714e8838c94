"""The base class of local learning rules with a third factor."""

import copy
import math
from typing import Any

from keras import ops

from keras_spiking import backends
from keras_spiking.learning.learner import Learner
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_number


class ThreeFactor(Learner):
    """A local learning rule that a third factor, such as a reward, puts into effect.

    What the two sides of a synapse do makes it eligible for a change; the third factor
    `m`, the same for all synapses of a sample, says later what that was good for:

        z[t] = z[t-1] exp(-1 / tau_eligibility) + e[t-1],    z[0] = 0
        dw = sum_t m[t] z[t]

    where `e[t]` is what `update` makes of one sample. Without `tau_eligibility` the
    third factor counts for the step before it only, `z[t] = e[t-1]`. Traces of spikes
    decay by `exp(-1 / tau)`.

    For a rule of your own, override `update`, all of whose terms must be made by
    `correlate`, and, if the third factor is not the reward itself, `third_factor`. The
    rules of other classes get a third factor by inheritance, as in
    `class RewardedTriplets(ThreeFactor, TripletSTDP)`.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.
        tau_pre: Float > 0, the time constant of presynaptic traces in time steps.
            Defaults to `2.0`.
        tau_post: Float > 0, the same after the synapse. Defaults to `2.0`.
        tau_eligibility: Float > 0, the time constant of `z` in time steps, or `None`.
            Defaults to `None`.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons after it.
        reward: Float, or array `(batch,)`, or `(batch, time)`: one reward for
            all, for each sample, or for each time step.
        traces: Tuple of the traces before the first step. Defaults to zeros. The last
            is the eligibility `z` of the next step for each sample,
            `(batch, *kernel)`.
        return_traces: Boolean, whether to return the final traces in addition.

    Output shape:
        That of the kernel: the change, summed over batch and time.

    Raises:
        ValueError: if the reward has another shape or is not finite.

    Example:

    >>> class Surprise(keras_spiking.learning.ThreeFactor):
    ...     def update(self, pre, post, traces, weights):
    ...         return self.correlate(traces[0], post)
    ...
    ...     def third_factor(self, reward):
    ...         return reward - keras.ops.mean(reward)
    >>> dense, neuron = keras.layers.Dense(3), keras_spiking.layers.IFLayer()
    >>> pre = keras.ops.ones((2, 5, 4))
    >>> post = neuron(dense(pre))
    >>> rule = Surprise(dense, tau_eligibility=20.0)
    >>> if keras.config.backend() != "numpy":
    ...     delta = rule(pre, post, reward=keras.ops.array([1.0, 0.0]))

    References:
        - [Fremaux and Gerstner, 2016](https://doi.org/10.3389/fncir.2015.00085)
    """

    takes_reward = True
    smallest_tau = {"above": 0.0}
    gain = 1.0  # of `e` in `z`

    def __init__(self, *args: Any, tau_eligibility: float | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if tau_eligibility is not None:
            check_number("tau_eligibility", tau_eligibility, above=0.0)
        self.tau_eligibility = tau_eligibility

    def third_factor(self, reward: Any) -> Any:
        """The third factor, `(batch, time)`, of a reward of that shape."""
        return reward

    def kept(self, tau):
        return math.exp(-1.0 / tau)

    def trace_shapes(self, pre, post):
        shapes = super().trace_shapes(pre, post)
        return {**shapes, "eligibility": (pre[0], *self.synapse.kernel.shape)}

    def zeros(self, pre, post):
        ones = (1,) * len(self.synapse.kernel.shape)
        eligibility = ops.zeros((ops.shape(post)[0], *ones))
        return {**super().zeros(pre, post), "eligibility": eligibility}

    def learn(self, pre, post, reward, traces):
        # What happens at t is worth all later rewards, discounted:
        #     sum_t m[t] z[t] = sum_t gain e[t] sum_{s > t} kept^(s - t - 1) m[s]
        # so no trace of the size of the weights is needed for each sample.
        factor = self.third_factor(self.rewards(post, reward))
        backwards = ops.flip(factor, axis=1)

        def step(factor, worth):
            return self.gain * worth, self._kept_eligibility * worth + factor

        worth, _ = time_loop(step, backwards, ops.zeros_like(backwards[:, 0]))
        delta, after = self.accumulate(pre, post, traces, ops.flip(worth, axis=1))
        worth = ops.sum(factor * self._left(post), axis=1)
        return delta + ops.tensordot(worth, traces["eligibility"], 1), after

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

    @property
    def _kept_eligibility(self):
        return 0.0 if self.tau_eligibility is None else self.kept(self.tau_eligibility)

    def _left(self, post):
        """What is left of an eligibility after the steps before each step."""
        steps = ops.arange(ops.shape(post)[1], dtype="float32")
        if self.tau_eligibility is None:
            return ops.cast(steps == 0, "float32")
        return ops.power(self._kept_eligibility, steps)

    def memory(self, pre, post, traces):
        """What the steps of a call leave of `z`, for each sample."""
        weights = ops.stop_gradient(ops.convert_to_tensor(self.synapse.kernel))
        left = self._left(post)
        rest = traces["eligibility"] * (self._kept_eligibility * left[-1])
        traces = {name: traces[name] for name in self.trace_constants()}

        def trace(spikes, traces):
            traces = self.next_traces(traces, *spikes)
            return tuple(traces.values()), traces

        traces, _ = time_loop(trace, (pre, post), traces)
        rule = copy.copy(self)
        rule._worth = self.gain * ops.flip(left)

        # The time steps of one sample take the place of the samples of one step.
        def of_sample(x, _):
            pre, post, *traces = x
            return rule.update(pre, post, tuple(traces), weights), ()

        samples = tuple(ops.swapaxes(x, 0, 1) for x in (pre, post, *traces))
        eligibility, _ = time_loop(of_sample, samples, ())
        return {"eligibility": rest + ops.moveaxis(eligibility, 1, 0)}
