import keras
from keras import ops

from keras_spiking.layers.encoders.encoder import Encoder
from keras_spiking.layers.encoders.encoder import to_unit_interval


@keras.saving.register_keras_serializable("keras_spiking")
class PoissonEncoder(Encoder):
    """Rate code: independent random spikes with the input as probability.

        P(S[t] = 1) = x

    Spikes differ from sample to sample and from call to call, in training and in
    inference. `keras.utils.set_random_seed` makes them reproducible, as `seed`
    does for this layer alone.

    Args:
        timesteps: Integer >= 1, number of time steps.
        seed: Integer or `None`. Defaults to `None`.

    Input shape:
        `(batch, ...)`, probabilities in [0, 1]. Values outside are clipped: they
        never fire below 0 and always fire above 1. NaN never fires.

    Output shape:
        `(batch, timesteps, ...)`.

    Example:

    >>> encoder = keras_spiking.layers.PoissonEncoder(100, seed=1)
    >>> spikes = encoder(keras.ops.array([[0.0, 0.5, 1.0]]))
    >>> tuple(spikes.shape)
    (1, 100, 3)
    """

    def __init__(self, timesteps, seed=None, **kwargs):
        super().__init__(timesteps, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def encode(self, x):
        x = ops.expand_dims(to_unit_interval(x), 1)
        batch, _, *features = ops.shape(x)
        shape = (batch, self.timesteps, *features)
        # float32: in half precision the smallest probabilities would be lost.
        noise = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return noise < x

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
