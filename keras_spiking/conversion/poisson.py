from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.encoders.poisson import PoissonEncoder
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_keywords
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class PoissonInput(keras.layers.Layer):
    """One step of random spikes whose mean is the input.

        Y = peak sign(x) S,  P(S = 1) = |x| / peak

    Args:
        peak: Float > 0, size of a spike. Larger inputs are clipped. Defaults to
            `1.0`.
        seed: Integer or `None`. Defaults to `None`.

    Input shape:
        `(batch, ...)`.

    Output shape:
        As the input.

    Example:

    >>> layer = keras_spiking.conversion.PoissonInput(peak=2.0)
    >>> y = layer(keras.ops.array([[-2.0, 0.0, 2.0]]))
    >>> [float(v) for v in y[0]]
    [-2.0, 0.0, 2.0]
    """

    def __init__(
        self,
        peak: float = 1.0,
        *,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        check_keywords(type(self), kwargs)
        super().__init__(**kwargs)
        self.peak = check_number("peak", peak, above=0.0)
        self.seed = seed
        self.encoder = PoissonEncoder(timesteps=1, seed=seed, clip=True)

    def build(self, input_shape):
        self.encoder.build(input_shape)

    def call(self, inputs):
        spikes = ops.squeeze(self.encoder(ops.abs(inputs) / self.peak), 1)
        return self.peak * ops.sign(inputs) * ops.cast(spikes, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "peak": self.peak, "seed": self.seed}
