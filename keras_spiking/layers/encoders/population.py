import keras
import numpy as np
from keras import ops

from keras_spiking.layers.encoders.encoder import Encoder
from keras_spiking.layers.encoders.encoder import along_time
from keras_spiking.layers.neurons.integrate_and_fire import IFLayer
from keras_spiking.validation import check_array
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class PopulationEncoder(Encoder):
    """Population code: several neurons a feature, with Gaussian tuning curves.

    Neuron `j` of a feature responds most to the value `mean_j`:

        a_j = exp(-(x - mean_j)^2 / (2 std_j^2))

    and turns its response `a_j` into spikes. Means and widths are weights,
    initialised to cover `[x_min, x_max]` evenly, and learned through a
    straight-through gradient.

    Args:
        timesteps: Integer >= 1, number of time steps.
        neurons: Integer >= 2, neurons a feature. Defaults to `10`.
        x_min: Float or array of one value a feature, the lower end of the range.
            Defaults to `0.0`.
        x_max: Float or array, the upper end. Defaults to `1.0`.
        spikes: How a response becomes spikes: `"deterministic"`, by an
            integrate-and-fire neuron with a soft reset; `"poisson"`, with the
            response as probability; `"latency"`, one spike at the step
            `round((1 - a_j) timesteps)`, none if that is too late. Latencies
            give the receptive fields no gradient. Defaults to
            `"deterministic"`.
        seed: Integer or `None`, for `"poisson"`. Defaults to `None`.

    Input shape:
        `(batch, ..., features)`.

    Output shape:
        `(batch, timesteps, ..., features * neurons)`.

    Raises:
        ValueError: if `neurons < 2` or `x_min >= x_max`.

    Example:

    >>> encoder = keras_spiking.layers.PopulationEncoder(5, neurons=10)
    >>> tuple(encoder(keras.ops.array([[0.1, 0.9]])).shape)
    (1, 5, 20)

    References:
        - [Bohte et al., 2002](https://doi.org/10.1016/S0925-2312(01)00658-0)
        - [Tang et al., 2020](https://arxiv.org/abs/2010.09635)
    """

    def __init__(
        self,
        timesteps,
        neurons=10,
        x_min=0.0,
        x_max=1.0,
        spikes="deterministic",
        seed=None,
        **kwargs,
    ):
        super().__init__(timesteps, **kwargs)
        self.neurons = check_number("neurons", neurons, minimum=2)
        self.x_min = check_array("x_min", x_min)
        self.x_max = check_array("x_max", x_max)
        if not np.all(self.x_min < self.x_max):
            raise ValueError(
                "`x_min` must be less than `x_max`. "
                f"Received: x_min={x_min}, x_max={x_max}"
            )
        choices = ("deterministic", "poisson", "latency")
        self.spikes = check_choice("spikes", spikes, choices)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        # Just below 1, so that a full response fires at every step.
        self.integrate_and_fire = IFLayer(
            v_threshold=0.999, v_reset=None, surrogate="straight_through"
        )

    def build(self, input_shape):
        shape = (input_shape[-1], self.neurons)
        low = np.broadcast_to(self.x_min, shape[:1])[:, None]
        high = np.broadcast_to(self.x_max, shape[:1])[:, None]
        spacing = (high - low) / (self.neurons - 1)
        mean = low + spacing * np.arange(self.neurons)

        def weight(name, value):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
            )

        self.mean = weight("mean", mean)
        # Neighbouring curves cross at a bit above half of the maximum.
        self.std = weight("std", np.broadcast_to(spacing / 1.5, shape))

    def encode(self, x):
        distance = (ops.expand_dims(x, -1) - self.mean) / self.std
        response = ops.exp(-0.5 * ops.square(distance))
        shape = (*ops.shape(x)[:-1], x.shape[-1] * self.neurons)
        response = ops.reshape(response, shape)
        if self.spikes == "latency":
            time = ops.round((1.0 - response) * self.timesteps)
            return ops.expand_dims(time, 1) == ops.cast(
                along_time(range(self.timesteps), response), time.dtype
            )
        response = ops.expand_dims(response, 1)
        sequence = ops.repeat(response, self.timesteps, axis=1)
        if self.spikes == "deterministic":
            return self.integrate_and_fire(sequence)
        noise = keras.random.uniform(
            ops.shape(sequence), dtype="float32", seed=self.seed_generator
        )
        spikes = ops.cast(noise < ops.cast(sequence, "float32"), sequence.dtype)
        return sequence + ops.stop_gradient(spikes - sequence)

    def compute_output_shape(self, input_shape):
        features = input_shape[-1] * self.neurons
        return (input_shape[0], self.timesteps, *input_shape[1:-1], features)

    def get_config(self):
        return {
            **super().get_config(),
            "neurons": self.neurons,
            "x_min": np.asarray(self.x_min).tolist(),
            "x_max": np.asarray(self.x_max).tolist(),
            "spikes": self.spikes,
            "seed": self.seed,
        }
