import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class Dropout(keras.layers.Layer):
    """Dropout that drops the same units at all time steps of a sequence.

    A unit that is dropped anew at every step would only add noise to a neuron
    that integrates over time.

    Args:
        rate: Float in [0, 1), the fraction of units to drop.
        noise_shape: Tuple of integers and `None`s, the shape of the dropout mask
            over `(batch, ...features)`; 1 shares a mask along an axis, `None`
            takes the input's size. `(None, 1, 1, None)` drops whole channels of
            images. Defaults to `None`, one for each unit.
        seed: Integer or `None`. Defaults to `None`.

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

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, minimum=0.0, below=1.0)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) < 3:
            raise ValueError(
                f"Dropout '{self.name}' needs an input (batch, time, "
                f"...features). Received an input of shape {tuple(input_shape)}. "
                "Without a time axis, use keras.layers.Dropout."
            )
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
