from collections.abc import Callable

import keras

from keras_spiking.learning.learner import Learner


class STDP(Learner):
    """Spike-timing-dependent plasticity with traces, all spikes to all spikes.

        tr[t] = tr[t-1] - tr[t-1] / tau + s[t]                      (both sides)
        dw[t] = f_post(w) tr_pre[t] s_post[t] - f_pre(w) tr_post[t] s_pre[t]

    A spike after the synapse strengthens it by what came in shortly before, a
    spike that comes in weakens it by what was sent shortly before.

    Args:
        synapse: Keras layer with a `kernel` and no activation function: dense,
            convolution or depthwise convolution.
        tau_pre: Float >= 1, the time constant of presynaptic traces in time
            steps.
        tau_post: Float >= 1, the same after the synapse.
        f_pre: Function of the weights, the size of depression.
        f_post: Function of the weights, the size of potentiation.

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
    >>> rule = keras_spiking.learning.STDP(
    ...     dense, 5.0, 7.0, f_pre=lambda w: w, f_post=lambda w: 1.0 - w
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     new = dense.kernel.assign(dense.kernel + 0.01 * rule(pre, post))

    References:
        - [Morrison et al., 2008](https://doi.org/10.1007/s00422-008-0233-1)
        - [Fang et al., 2023](https://arxiv.org/abs/2310.16620)
    """

    def __init__(
        self,
        synapse: keras.layers.Layer | str,
        tau_pre: float,
        tau_post: float,
        f_pre: Callable,
        f_post: Callable,
    ):
        super().__init__(synapse, tau_pre, tau_post)
        for name, function in (("f_pre", f_pre), ("f_post", f_post)):
            if not callable(function):
                raise TypeError(
                    f"`{name}` must be a function of the weights. "
                    f"Received: {name}={function!r}"
                )
        self.f_pre = f_pre
        self.f_post = f_post

    def update(self, pre, post, traces, weights):
        pre_trace, post_trace = traces
        potentiation = self.f_post(weights) * self.correlate(pre_trace, post)
        depression = self.f_pre(weights) * self.correlate(pre, post_trace)
        return potentiation - depression
