from typing import Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.encoders.encoder import Encoder
from keras_spiking.layers.encoders.encoder import along_time
from keras_spiking.layers.encoders.encoder import check_no_integers
from keras_spiking.layers.neurons.integrate_and_fire import IFLayer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.random_numbers import uniform
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.parameter import to_config
from keras_spiking.validation import check_array
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_seed


@keras.saving.register_keras_serializable("keras_spiking")
class PopulationEncoder(Encoder):
    """Population code: several neurons per feature, with Gaussian tuning curves.

    Neuron `j` of a feature responds most to the value `mean_j`:

        a_j = exp(-(x - mean_j)^2 / (2 std_j^2))

    and turns its response `a_j` into spikes. Means and widths are weights,
    initialised to cover `[x_min, x_max]` evenly, and learned through a
    straight-through gradient.

    Args:
        timesteps: Integer >= 1, number of time steps.
        neurons: Integer >= 2, neurons per feature. Defaults to `10`.
        x_min: Float or array of one value per feature, the lower end of the range.
            Defaults to `0.0`.
        x_max: Float or array, the upper end. Defaults to `1.0`.
        mean: Array `(neurons,)` or `(features, neurons)`, the initial means.
            Defaults to `None`: from `x_min` to `x_max`.
        std: Float or array > 0 that broadcasts to `(features, neurons)`, the initial
            widths. Defaults to `None`: 2/3 of the distance of the means in the
            range.
        spikes: How a response becomes spikes: `"deterministic"`, by an
            integrate-and-fire neuron with a soft reset; `"poisson"`, with the
            response as probability; `"latency"`, one spike at the step
            `round((1 - a_j) timesteps)`, none if that is too late. Latencies
            give the receptive fields, and layers before the encoder, no gradient.
            `None` hands on the response itself, at every step. Defaults to
            `"deterministic"`.
        seed: Integer or `None`, for `"poisson"`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`.

    Output shape:
        `(batch, timesteps, ..., features * neurons)`.

    Raises:
        ValueError: if `neurons < 2` or `x_min >= x_max`, or the input has integers
            but the range is within [0, 1].

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
        timesteps: int,
        *,
        neurons: int = 10,
        x_min: ArrayLike = 0.0,
        x_max: ArrayLike = 1.0,
        mean: ArrayLike | None = None,
        std: ArrayLike | None = None,
        spikes: str | None = "deterministic",
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(timesteps, **kwargs)
        self.neurons = check_integer("neurons", neurons, minimum=2)
        self.x_min = check_array("x_min", x_min)
        self.x_max = check_array("x_max", x_max)
        self.initial_mean = None if mean is None else check_array("mean", mean)
        self.initial_std = None if std is None else check_array("std", std, above=0.0)
        if not np.all(self.x_min < self.x_max):
            raise ValueError(
                "`x_min` must be less than `x_max`. "
                f"Received: x_min={x_min}, x_max={x_max}"
            )
        choices = ("deterministic", "poisson", "latency", None)
        self.spikes = check_choice("spikes", spikes, choices)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        # Just below 1, so that a full response fires at every step.
        self.integrate_and_fire = IFLayer(
            v_threshold=0.999,
            v_reset=None,
            surrogate="straight_through",
            detach_reset=True,
            dtype="float32",
        )

    @property
    def has_gradient(self):
        return self.spikes != "latency"

    def checked(self, x):
        if np.all(self.x_min >= 0.0) and np.all(self.x_max <= 1.0):
            check_no_integers(self, x)
        return x

    def build(self, input_shape):
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(
                f"PopulationEncoder '{self.name}' needs an input (batch, ..., "
                f"features). Received an input of shape {tuple(input_shape)}."
            )
        features = input_shape[-1:]
        low = _broadcast("x_min", self.x_min, features)[:, None]
        high = _broadcast("x_max", self.x_max, features)[:, None]

        def weight(name, value, default):
            value = default if value is None else value
            value = _broadcast(name, value, (*features, self.neurons))
            return self.add_weight(
                name=name,
                shape=value.shape,
                initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
                autocast=False,
            )

        mean, std = self.tuning(low, high)
        self.mean = weight("mean", self.initial_mean, mean)
        self.std = weight("std", self.initial_std, std)

    def tuning(self, low, high):
        """Means and widths by default, for ends `(features, 1)` of the ranges."""
        spacing = (high - low) / (self.neurons - 1)
        # Neighbouring curves cross at a bit above half of the maximum.
        return low + spacing * np.arange(self.neurons), spacing / 1.5

    def encode(self, x):
        # In half precision, times and responses would be too coarse.
        x = ops.expand_dims(ops.cast(x, self.mean.dtype), -1)
        response = ops.exp(-0.5 * ops.square((x - self.mean) / self.std))
        response = ops.reshape(
            response, (*ops.shape(x)[:-2], x.shape[-2] * self.neurons)
        )
        if self.spikes == "latency":
            time = ops.round((1.0 - response) * self.timesteps)
            return ops.expand_dims(time, 1) == ops.cast(
                along_time(range(self.timesteps), response), time.dtype
            )
        sequence = ops.repeat(ops.expand_dims(response, 1), self.timesteps, axis=1)
        if self.spikes is None:
            return sequence
        if self.spikes == "deterministic":
            return self.integrate_and_fire(sequence)
        spikes = uniform(self, ops.shape(sequence)) < sequence
        return straight_through(ops.cast(spikes, sequence.dtype), sequence)

    def compute_output_shape(self, input_shape):
        features = input_shape[-1] * self.neurons
        return (input_shape[0], self.timesteps, *input_shape[1:-1], features)

    def get_config(self):
        return {
            **super().get_config(),
            "neurons": self.neurons,
            "x_min": to_config(self.x_min),
            "x_max": to_config(self.x_max),
            "mean": to_config(self.initial_mean),
            "std": to_config(self.initial_std),
            "spikes": self.spikes,
            "seed": self.seed,
        }


def _broadcast(name, value, shape):
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise ValueError(
            f"`{name}` must broadcast to the shape {shape}. "
            f"Received: {name}={value!r}, of shape {np.shape(value)}"
        ) from None
