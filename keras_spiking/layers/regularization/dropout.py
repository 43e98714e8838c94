from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number
from keras_spiking.validation import check_seed
from keras_spiking.validation import check_time_axis


@keras.saving.register_keras_serializable("keras_spiking")
class Dropout(Layer):
    """Dropout that drops the same units at all time steps of a sequence.

    A unit dropped independently at every step would only add noise to a neuron
    that integrates over time.

    Args:
        rate: Float in [0, 1), the fraction of units to drop.
        noise_shape: Tuple of integers and `None`s, the shape of the dropout mask
            over `(batch, ...features)`; 1 shares a mask along an axis, `None`
            takes the input's size. `(None, 1, 1, None)` drops whole channels of
            images. Defaults to `None`, one for each unit.
        seed: Integer or `None`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        training: Boolean, whether units are dropped.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Example:

    >>> layer = keras_spiking.layers.Dropout(0.5, seed=0)
    >>> tuple(layer(keras.ops.ones((2, 4, 10)), training=True).shape)
    (2, 4, 10)

    References:
        - [Srivastava et al., 2014](https://jmlr.org/papers/v15/srivastava14a.html)
        - [Lee et al., 2020](https://arxiv.org/abs/1903.06379)
    """

    has_time_axis = True

    def __init__(
        self,
        rate: float,
        *,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, minimum=0.0, below=1.0)
        self.noise_shape = _check_noise_shape(noise_shape)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True

    def build(self, input_shape):
        hint = "Without a time axis, use keras.layers.Dropout."
        check_time_axis(self, input_shape, hint=hint)
        given = self.noise_shape
        if given is not None and len(given) != len(input_shape) - 1:
            raise ValueError(
                f"`noise_shape` must have {len(input_shape) - 1} entries, for "
                "(batch, ...features) of the input. "
                f"Received: noise_shape={given}"
            )

    def call(self, inputs, training=False):
        if not training or self.rate == 0.0:
            return inputs
        slot = streaming.Slot()
        scale = slot.previous
        if scale is None:
            batch, _, *features = ops.shape(inputs)
            shape = (batch, *features)
            if self.noise_shape is not None:
                pairs = zip(self.noise_shape, shape)
                shape = tuple(m if n is None else n for n, m in pairs)
            ones = ops.ones(shape, dtype=inputs.dtype)
            scale = keras.random.dropout(ones, self.rate, seed=self.seed_generator)
        slot.put(scale)
        return inputs * ops.expand_dims(scale, 1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "noise_shape": self.noise_shape,
            "seed": self.seed,
        }


def _check_noise_shape(shape):
    if shape is None:
        return None
    if not isinstance(shape, (list, tuple)):
        raise TypeError(
            "`noise_shape` must be a tuple of integers and None. "
            f"Received: noise_shape={shape!r}"
        )
    return tuple(n if n is None else check_integer("noise_shape", n, 1) for n in shape)
