from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.encoders.encoder import UnitIntervalEncoder
from keras_spiking.layers.encoders.encoder import to_unit_interval
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.random_numbers import uniform
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_seed


@keras.saving.register_keras_serializable("keras_spiking")
class PoissonEncoder(UnitIntervalEncoder):
    """Rate code: independent random spikes with the input as probability.

        P(S[t] = 1) = x

    Spikes differ from sample to sample and from call to call, in training and in
    inference. `keras.utils.set_random_seed` makes them reproducible, as `seed`
    does for this layer alone.

    Without `straight_through` no gradient passes: layers before the encoder do not
    learn. Random numbers cannot be exported from PyTorch, to ONNX for example.

    Args:
        timesteps: Integer >= 1, number of time steps.
        seed: Integer or `None`. Defaults to `None`.
        straight_through: Boolean, whether the gradient passes as if the spikes were
            their probability, so that layers before the encoder learn. Defaults to
            `False`.
        clip: Boolean, whether to clip values outside [0, 1], which then never or
            always fire, and to take integers. Defaults to `False`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ...)`, probabilities in [0, 1]. NaN never fires.

    Output shape:
        `(batch, timesteps, ...)`.

    Raises:
        ValueError: if the input has integers or values outside [0, 1], where they
            are known: functions that JAX has compiled cannot tell.

    Example:

    >>> encoder = keras_spiking.layers.PoissonEncoder(100, seed=1)
    >>> spikes = encoder(keras.ops.array([[0.0, 0.5, 1.0]]))
    >>> tuple(spikes.shape)
    (1, 100, 3)
    """

    def __init__(
        self,
        timesteps: int,
        *,
        seed: int | None = None,
        straight_through: bool = False,
        clip: bool = False,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(timesteps, clip=clip, **kwargs)
        self.straight_through = check_bool("straight_through", straight_through)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    @property
    def has_gradient(self):
        return self.straight_through

    def encode(self, x):
        x = ops.expand_dims(to_unit_interval(x), 1)
        batch, _, *features = ops.shape(x)
        spikes = uniform(self, (batch, self.timesteps, *features)) < x
        if not self.straight_through:
            return spikes
        x = ops.broadcast_to(x, ops.shape(spikes))
        return straight_through(ops.cast(spikes, x.dtype), x)

    def get_config(self):
        return {
            **super().get_config(),
            "seed": self.seed,
            "straight_through": self.straight_through,
        }
