import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class DropConnectDense(keras.layers.Dense):
    """A dense layer that drops connections, the same at all time steps.

        Y[t] = X[t] (M * kernel) / (1 - rate) + bias,    M ~ bernoulli(1 - rate)

    in training, with one `M` for the samples of a batch, and `X[t] kernel + bias`
    at inference.

    Args:
        units: Integer >= 1, the number of outputs.
        rate: Float in [0, 1), the fraction of connections to drop. Defaults to
            `0.5`.
        seed: Integer or `None`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Dense`.

    Call arguments:
        inputs: Tensor `(batch, time, features)`.
        training: Boolean, whether connections are dropped.

    Input shape:
        `(batch, time, features)`.

    Output shape:
        `(batch, time, units)`.

    Raises:
        ValueError: if `rate` is not within [0, 1).

    Example:

    >>> layer = keras_spiking.layers.DropConnectDense(5, rate=0.2)
    >>> layer(keras.ops.ones((2, 4, 10)), training=True).shape
    (2, 4, 5)

    References:
        - [Wan et al., 2013](https://proceedings.mlr.press/v28/wan13.html)
    """

    has_time_axis = True

    def __init__(self, units, rate=0.5, seed=None, **kwargs):
        super().__init__(units, **kwargs)
        self.rate = check_number("rate", rate, minimum=0.0)
        if not rate < 1.0:
            raise ValueError(f"`rate` must be less than 1. Received: rate={rate}")
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        kernel = ops.convert_to_tensor(self.kernel)
        if training and self.rate > 0.0:
            slot = streaming.Slot()
            scale = slot.previous
            if scale is None:
                scale = keras.random.dropout(
                    ops.ones_like(kernel), self.rate, seed=self.seed_generator
                )
            slot.put(scale)
            kernel = kernel * scale
        y = ops.matmul(inputs, kernel)
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
