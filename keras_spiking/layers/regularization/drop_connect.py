import statistics
from typing import Any
from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.options import DenseOptions
from keras_spiking.layers.options import Explicit
from keras_spiking.layers.remat import Rematerializable
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_keywords
from keras_spiking.validation import check_number
from keras_spiking.validation import check_seed
from keras_spiking.validation import check_time_axis


@keras.saving.register_keras_serializable("keras_spiking")
class DropConnectDense(Explicit, Rematerializable, keras.layers.Dense):
    """A dense layer that drops connections.

        Y[t] = activation(X[t] (M * kernel) + m * bias)

    in training, with masks `M, m ~ bernoulli(1 - rate)` of each sample. At
    inference, the sum over many connections has about a normal distribution, and
    the output is the mean of the activation under it:

        Y[t] = E[activation(Z)],    Z ~ N(mean, variance)
        mean = (1 - rate) (X[t] kernel + bias)
        variance = rate (1 - rate) (X[t]^2 kernel^2 + bias^2)

    The mean is taken over `samples_num` quantiles of the distribution, so that
    inference is not random. Without an activation it is `mean`.

    Args:
        units: Integer >= 1, the number of outputs.
        rate: Float in [0, 1), the fraction of connections to drop. Defaults to
            `0.5`.
        invariant: Boolean, whether the same connections are dropped at all time
            steps, or others at each step, which takes memory for as many masks.
            Defaults to `False`.
        samples_num: Integer >= 1, how many quantiles the activation sees at
            inference. 64 quantiles are closer to the mean than 1024 random samples.
            Defaults to `64`.
        seed: Integer or `None`. Defaults to `None`.
        activation: Element-wise activation, as in `keras.layers.Dense`, or `None`.
            Defaults to `"relu"`.
        **kwargs: The arguments of `keras.layers.Dense`.

    Call arguments:
        inputs: Tensor `(batch, time, ..., features)`.
        training: Boolean, whether connections are dropped.

    Input shape:
        `(batch, time, ..., features)`.

    Output shape:
        `(batch, time, ..., units)`.

    Raises:
        ValueError: if `rate` is not within [0, 1), or the input has no time axis.

    Example:

    >>> layer = keras_spiking.layers.DropConnectDense(5, rate=0.2)
    >>> layer(keras.ops.ones((2, 4, 10)), training=True).shape
    (2, 4, 5)

    References:
        - [Wan et al., 2013](https://proceedings.mlr.press/v28/wan13.html)
    """

    has_time_axis = True
    defaults = {"activation": "relu"}

    def __init__(
        self,
        units: int,
        *,
        rate: float = 0.5,
        invariant: bool = False,
        samples_num: int = 64,
        seed: int | None = None,
        **kwargs: Unpack[DenseOptions],
    ):
        check_keywords(type(self), kwargs)
        units = check_integer("units", units, minimum=1)
        options: Any = self.defaults | kwargs
        super().__init__(units, **options)
        self.rate = check_number("rate", rate, minimum=0.0, below=1.0)
        self.invariant = check_bool("invariant", invariant)
        self.samples_num = check_integer("samples_num", samples_num, minimum=1)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def build(self, input_shape):
        check_time_axis(self, input_shape)
        super().build(input_shape)

    def call(self, inputs, training=False):
        if self.rate == 0.0:
            return super().call(inputs, training=training)
        if training:
            return self.activation(self._dropped(inputs))
        # NumPy computes in float32 what is scaled by a number.
        return ops.cast(self._expected(inputs), self.compute_dtype)

    def _dropped(self, inputs):
        batch, time, *features = ops.shape(inputs)
        samples = batch if self.invariant else batch * time
        slot = streaming.Slot()
        masks = slot.previous or [self._mask(samples, w) for w in self._weights()]
        slot.put(masks if self.invariant else ())
        kernel, *bias = (w * mask for w, mask in zip(self._weights(), masks))
        y = ops.matmul(ops.reshape(inputs, (samples, -1, features[-1])), kernel)
        for b in bias:
            y = y + ops.expand_dims(b, 1)
        return ops.reshape(y, (batch, time, *features[:-1], self.units))

    def _weights(self):
        weights = [self.kernel] if self.bias is None else [self.kernel, self.bias]
        return [ops.convert_to_tensor(w) for w in weights]

    def _mask(self, samples, weight):
        # Keras's dropout scales up what is left. Here inference scales it down.
        ones = ops.full((samples, *weight.shape), 1.0 - self.rate, dtype=weight.dtype)
        return keras.random.dropout(ones, self.rate, seed=self.seed_generator)

    def _expected(self, inputs):
        kept = 1.0 - self.rate
        kernel, *bias = self._weights()
        mean = kept * (ops.matmul(inputs, kernel) + sum(bias))
        if self.activation is keras.activations.linear:
            return mean
        variance = ops.matmul(ops.square(inputs), ops.square(kernel))
        variance = self.rate * kept * (variance + sum(b * b for b in bias))
        z = np.reshape(_quantiles(self.samples_num), (-1,) + (1,) * len(inputs.shape))
        z = ops.convert_to_tensor(z, dtype=mean.dtype)
        return ops.mean(self.activation(mean + ops.sqrt(variance) * z), axis=0)

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "invariant": self.invariant,
            "samples_num": self.samples_num,
            "seed": self.seed,
        }


def _quantiles(count):
    """Values of the standard normal distribution, each as likely as the others."""
    normal = statistics.NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])
