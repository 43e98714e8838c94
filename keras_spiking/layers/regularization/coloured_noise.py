from typing import Unpack

import keras
from keras import ops

from keras_spiking.constraints import Interval
from keras_spiking.layers import streaming
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.coloured_noise import coloured_noise
from keras_spiking.ops.random_numbers import check_not_exported
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number
from keras_spiking.validation import check_seed
from keras_spiking.validation import check_time_axis


@keras.saving.register_keras_serializable("keras_spiking")
class ColouredNoise(Layer):
    """Adds normal noise, coloured along time, in training.

        Y[t] = X[t] + std N[t]

    `N` has unit variance, and a power spectrum of `1 / f^exponent` down to the lowest
    frequency that fits into the sequence. Slow noise explores better than white noise:
    before and after neurons it makes noisy actors for reinforcement learning.

    Args:
        std: Float >= 0, standard deviation of the noise. Defaults to `0.1`.
        exponent: Float, the colour: 0 is white, 1 pink, 2 brown noise. Defaults to
            `0.0`.
        learn_std: Boolean, whether `std` is a weight, one for each index of the last
            axis, that starts from the given value. Defaults to `False`.
        seed: Integer or `None`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`, of a known number of time steps.
        training: Boolean, whether there is noise.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if `std` is negative, or the number of time steps is not known.

    Example:

    >>> layer = keras_spiking.layers.ColouredNoise(0.5, exponent=1.0, seed=0)
    >>> layer(keras.ops.zeros((2, 8, 10)), training=True).shape
    (2, 8, 10)

    References:
        - [Timmer and König, 1995](https://ui.adsabs.harvard.edu/abs/1995A&A...300..707T)
        - [Chen et al., 2024](https://arxiv.org/abs/2403.04162)
    """

    has_time_axis = True

    def __init__(
        self,
        std: float = 0.1,
        *,
        exponent: float = 0.0,
        learn_std: bool = False,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.std = check_number("std", std, minimum=0.0)
        self.exponent = check_number("exponent", exponent)
        self.learn_std = check_bool("learn_std", learn_std)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True

    def build(self, input_shape):
        check_time_axis(self, input_shape)
        if input_shape[1] is None:
            raise ValueError(
                f"ColouredNoise '{self.name}' needs a known number of time steps. "
                f"Received an input of shape {tuple(input_shape)}."
            )
        if self.learn_std:
            self.std_weight = self.add_weight(
                name="std",
                shape=input_shape[-1:],
                initializer=keras.initializers.Constant(self.std),
                constraint=Interval(minimum=0.0),
            )

    def call(self, inputs, training=False):
        if not training:
            return inputs
        noise = noise_for(self, inputs, self.state_dtype)
        std = self.std
        if self.learn_std:
            std = ops.cast(ops.convert_to_tensor(self.std_weight), self.state_dtype)
        return inputs + ops.cast(std * noise, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "std": self.std,
            "exponent": self.exponent,
            "learn_std": self.learn_std,
            "seed": self.seed,
        }


def noise_for(layer, inputs, dtype):
    """Noise of a layer's `exponent` in the shape of its inputs."""
    check_not_exported(layer)
    if layer.exponent and streaming.is_streaming():
        raise ValueError(
            f"{type(layer).__name__} '{layer.name}' draws the noise of all time steps "
            "at once and cannot be inside of a `StepByStep`: use `exponent=0.0`, or "
            f"add the noise before. Received: exponent={layer.exponent}"
        )
    shape = ops.shape(inputs)
    return coloured_noise(shape, layer.exponent, layer.seed_generator, dtype)
