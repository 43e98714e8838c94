import keras
from keras import ops

from keras_spiking.learning.learner import Learner


class Hebbian(Learner):
    """Hebbian learning of firing rates: what fires together wires together.

        dw_ij = r_i r_j

    with the firing rates `r`, means over the time steps of a call, on both sides of
    the synapse. There are no traces.

    Args:
        synapse: Keras layer with a `kernel` and no activation function.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons after it.

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

    def __init__(self, synapse: keras.layers.Layer | str):
        super().__init__(synapse)

    def trace_constants(self):
        return {}

    def learn(self, pre, post, reward, traces):
        # Rates are a sequence of one step.
        pre, post = (ops.mean(x, axis=1, keepdims=True) for x in (pre, post))
        return super().learn(pre, post, reward, traces)

    def update(self, pre, post, traces, weights):
        return self.correlate(pre, post)
