from typing import Unpack

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_spiking.layers.encoders.population import PopulationEncoder
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_integer


@keras.saving.register_keras_serializable("keras_spiking")
class GaussianTuning(PopulationEncoder):
    """Population code of which the outer tuning curves lie outside of the range.

        mean_j = x_min + (j - 1/2) d,    j = 0 ... neurons - 1
        std = d / 1.5,    d = (x_max - x_min) / (neurons - 2)

    Otherwise this is `PopulationEncoder`.

    Args:
        timesteps: Integer >= 1, number of time steps.
        neurons: Integer >= 3, neurons per feature. Defaults to `10`.
        x_min: Float or array of one value per feature, the lower end of the range.
            Defaults to `0.0`.
        x_max: Float or array, the upper end. Defaults to `1.0`.
        spikes: `"latency"`, `"deterministic"`, `"poisson"` or `None`, see
            `PopulationEncoder`. Defaults to `"latency"`.
        seed: Integer or `None`, for `"poisson"`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`.

    Output shape:
        `(batch, timesteps, ..., features * neurons)`.

    Raises:
        ValueError: if `neurons < 3` or `x_min >= x_max`, or the input has integers
            but the range is within [0, 1].

    Example:

    >>> encoder = keras_spiking.layers.GaussianTuning(5, neurons=6)
    >>> spikes = encoder(keras.ops.array([[0.1, 0.9]]))
    >>> keras.ops.convert_to_numpy(encoder.mean)[0].tolist()
    [-0.125, 0.125, 0.375, 0.625, 0.875, 1.125]

    References:
        - [Bohte et al., 2002](https://doi.org/10.1016/S0925-2312(01)00658-0)
    """

    def __init__(
        self,
        timesteps: int,
        *,
        neurons: int = 10,
        x_min: ArrayLike = 0.0,
        x_max: ArrayLike = 1.0,
        spikes: str | None = "latency",
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(
            timesteps,
            neurons=check_integer("neurons", neurons, minimum=3),
            x_min=x_min,
            x_max=x_max,
            spikes=spikes,
            seed=seed,
            **kwargs,
        )

    def tuning(self, low, high):
        spacing = (high - low) / (self.neurons - 2)
        return low + spacing * (np.arange(self.neurons) - 0.5), spacing / 1.5

    def get_config(self):
        config = super().get_config()
        del config["mean"], config["std"]
        return config
