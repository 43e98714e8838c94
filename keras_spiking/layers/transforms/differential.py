"""Functions of a sum over time, sent as differences: the operators of SpikeZIP.

After neurons whose spikes add up to a value, a layer of this kind gives outputs that
add up to a function of that value. Neurons after it make spikes of them again.
"""

from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number


class Differential(TemporalLayer):
    """A function of the sum of the inputs so far, less what it was a step before."""

    state_names = ("total", "sent")

    def function(self, total):
        """What the outputs add up to."""
        raise NotImplementedError

    def step(self, x, states):
        total, sent = states
        total = bounded(total + x)
        y = self.function(total)
        return y - sent, (total, y)


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingSoftmax(Differential):
    """Softmax of the sum over time, along the last axis.

        A[t] = A[t-1] + X[t]
        Y[t] = softmax(A[t]) - softmax(A[t-1])

    without the second term in the first step.

    Args:
        **kwargs: The arguments of `TemporalLayer`. There is nothing to learn.

    Input shape:
        `(batch, time, ..., features)`.

    Output shape:
        As the input. The states are the `total` of the inputs and what has been
        `sent`.

    Example:

    >>> y = keras_spiking.layers.SpikingSoftmax()(keras.random.normal((2, 8, 10)))
    >>> total = keras.ops.sum(y, axis=(1, 2))
    >>> [round(float(t), 4) for t in total]
    [1.0, 1.0]

    References:
        - [You et al., 2024](https://arxiv.org/abs/2406.03470)
    """

    def __init__(self, **kwargs: Unpack[TemporalOptions]):
        super().__init__(**kwargs)

    def function(self, total):
        return ops.softmax(total, axis=-1)


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingLayerNormalization(Differential):
    """Layer normalisation of the sum over time, along the last axis.

        A[t] = A[t-1] + X[t]
        N[t] = gamma (A[t] - mean(A[t])) / sqrt(var(A[t]) + epsilon) + beta
        Y[t] = N[t] - N[t-1],    N[0] = 0

    Args:
        epsilon: Float > 0, added to the variance. Defaults to `1e-3`.
        **kwargs: The arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ..., features)`.

    Output shape:
        As the input. The states are the `total` of the inputs and what has been
        `sent`.

    Raises:
        ValueError: if `epsilon` is not positive.

    Example:

    >>> layer = keras_spiking.layers.SpikingLayerNormalization()
    >>> layer(keras.random.normal((2, 8, 10))).shape
    (2, 8, 10)
    >>> [w.name for w in layer.weights]
    ['gamma', 'beta']

    References:
        - [You et al., 2024](https://arxiv.org/abs/2406.03470)
    """

    def __init__(self, epsilon: float = 1e-3, **kwargs: Unpack[TemporalOptions]):
        super().__init__(**kwargs)
        self.epsilon = check_number("epsilon", epsilon, above=0.0)

    def build(self, inputs_shape, initial_state_shape=None):
        super().build(inputs_shape, initial_state_shape)
        options = {"shape": inputs_shape[-1:], "dtype": self.state_dtype}
        options["autocast"] = False
        self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        self.beta = self.add_weight(name="beta", initializer="zeros", **options)

    def function(self, total):
        mean, variance = ops.moments(total, axes=[-1], keepdims=True)
        normalized = (total - mean) * ops.rsqrt(variance + self.epsilon)
        gamma, beta = (ops.convert_to_tensor(w) for w in (self.gamma, self.beta))
        return gamma * normalized + beta

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingGELU(Differential):
    """GELU of the sum over time.

        A[t] = A[t-1] + X[t]
        Y[t] = gelu(A[t]) - gelu(A[t-1])

    Args:
        approximate: Boolean, whether GELU is that with a tanh, or the exact one.
            Defaults to `False`.
        **kwargs: The arguments of `TemporalLayer`. There is nothing to learn.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the `total` of the inputs and what has been
        `sent`.

    Example:

    >>> y = keras_spiking.layers.SpikingGELU()(keras.ops.array([[[2.0], [-3.0]]]))
    >>> [round(float(v), 4) for v in keras.ops.reshape(y, (-1,))]
    [1.9545, -2.1132]

    References:
        - [You et al., 2024](https://arxiv.org/abs/2406.03470)
    """

    def __init__(self, approximate: bool = False, **kwargs: Unpack[TemporalOptions]):
        super().__init__(**kwargs)
        self.approximate = check_bool("approximate", approximate)

    def function(self, total):
        if self.approximate:
            inner = 0.7978845608028654 * (total + 0.044715 * total * total * total)
            return 0.5 * total * (1.0 + ops.tanh(inner))
        return 0.5 * total * (1.0 + ops.erf(0.7071067811865476 * total))

    def get_config(self):
        return {**super().get_config(), "approximate": self.approximate}
