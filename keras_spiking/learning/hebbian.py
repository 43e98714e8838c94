from keras import ops

from keras_spiking.learning.learner import Learner


class Hebbian(Learner):
    """Hebbian learning of firing rates: what fires together wires together.

        dw_ij = r_i r_j

    with the firing rates `r`, means over time, on both sides of the synapse.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons behind it.

    Output shape:
        That of the kernel: the change, summed over the batch.

    Example:

    >>> dense, neuron = keras.layers.Dense(3), keras_spiking.layers.IFLayer()
    >>> pre = keras.ops.ones((2, 5, 4))
    >>> post = neuron(dense(pre))
    >>> if keras.config.backend() != "numpy":
    ...     delta = keras_spiking.learning.Hebbian(dense)(pre, post)

    References:
        - [Hebb, 1949](https://doi.org/10.4324/9781410612403)
    """

    def __init__(self, synapse):
        super().__init__(synapse)

    def __call__(self, pre, post, *args, **kwargs):
        # Rates are a sequence of one step.
        pre = self.over_time(ops.convert_to_tensor(pre, "float32"), post)
        pre, post = (ops.mean(x, axis=1, keepdims=True) for x in (pre, post))
        return super().__call__(pre, post, *args, **kwargs)

    def update(self, pre, post, traces, weights):
        return self.correlate(pre, post)
