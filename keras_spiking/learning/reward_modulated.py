"""STDP that learns from rewards."""

from keras import ops

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
        post: Tensor `(batch, time, ...)`, the spikes of the neurons behind it.
        reward: Float, or array `(batch,)`, or `(batch, time)`: one reward for
            all, for each sample, or for each time step.

    Output shape:
        That of the kernel: the change, summed over batch and time.

    Raises:
        ValueError: if the reward has another shape.

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
        reward = ops.reshape(reward, (*ops.shape(reward), 1, 1)[:2])
        return ops.broadcast_to(reward, ops.shape(post)[:2])


class MSTDPET(MSTDP):
    """Reward-modulated STDP with an eligibility trace.

        z[t] = z[t-1] - z[t-1] / tau_eligibility + e[t]
        dw = sum_t r[t] z[t]

    where `e[t]` is what `STDP` changes in a time step: a reward counts for what
    has happened before it, too.

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
        post: Tensor `(batch, time, ...)`, the spikes of the neurons behind it.
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

    def __init__(self, synapse, tau_pre, tau_post, tau_eligibility, f_pre, f_post):
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
