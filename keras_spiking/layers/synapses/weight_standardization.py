"""Layers whose weights are standardised, in place of normalised activations."""

import math
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.options import Conv2DOptions
from keras_spiking.layers.options import DenseOptions
from keras_spiking.layers.options import Explicit
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_keywords
from keras_spiking.validation import check_number


class _Standardized(Explicit):
    """What the layers below have in common: the standardised kernel."""

    def __init__(self, *args, use_gain, epsilon, unbiased, **kwargs):
        super().__init__(*args, **kwargs)
        self.use_gain = check_bool("use_gain", use_gain)
        self.epsilon = check_number("epsilon", epsilon, above=0.0)
        self.unbiased = check_bool("unbiased", unbiased)

    def build(self, input_shape):
        super().build(input_shape)
        *inputs, outputs = self.kernel.shape
        self.fan_in = math.prod(inputs)
        if self.fan_in == 1:
            raise ValueError(
                f"Layer '{self.name}' cannot standardise weights of which each output "
                f"has one only. Received an input of shape {tuple(input_shape)}."
            )
        if self.use_gain:
            self.gain = self.add_weight(
                name="gain", shape=(outputs,), initializer="ones"
            )

    @property
    def standardized_kernel(self):
        """The kernel that inputs are multiplied by."""
        kernel = ops.convert_to_tensor(self.kernel)
        axes = list(range(len(kernel.shape) - 1))  # OpenVINO takes no tuple
        mean, variance = ops.moments(kernel, axes=axes, keepdims=True)
        count = self.fan_in
        scale = count * count / (count - 1) if self.unbiased else count
        standardized = (kernel - mean) * ops.rsqrt(scale * variance + self.epsilon)
        if self.use_gain:
            standardized = ops.convert_to_tensor(self.gain) * standardized
        return ops.cast(standardized, kernel.dtype)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.use_gain:
            store["gain"] = self.gain  # Keras saves kernel and bias only

    def load_own_variables(self, store):
        super().load_own_variables(store)
        if self.use_gain and "gain" in store:  # 0.1.0 did not save it
            self.gain.assign(store["gain"])

    def get_config(self):
        return {
            **super().get_config(),
            "use_gain": self.use_gain,
            "epsilon": self.epsilon,
            "unbiased": self.unbiased,
        }

    @classmethod
    def from_config(cls, config):
        return super().from_config({"unbiased": False, **config})  # as 0.1.0


@keras.saving.register_keras_serializable("keras_spiking")
class WeightStandardizedDense(_Standardized, keras.layers.Dense):
    """A dense layer with standardised weights.

        W' = gain (W - mean) / sqrt(fan_in variance + epsilon)

    with mean and variance over the inputs of each unit, and a learned `gain`. It
    does without statistics of a batch, which suits learning online.

    Args:
        units: Integer >= 1, the number of outputs.
        use_gain: Boolean, whether there is a `gain`. Defaults to `True`.
        epsilon: Float > 0. Defaults to `1e-4`.
        unbiased: Boolean, whether the variance divides by `fan_in - 1`, as in
            SpikingJelly, or by `fan_in`, as in the paper. Defaults to `True`.
        **kwargs: The arguments of `keras.layers.Dense`.

    Input shape:
        `(batch, ..., features)`.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: if an output has one weight only.

    Example:

    >>> layer = keras_spiking.layers.WeightStandardizedDense(5)
    >>> layer(keras.ops.ones((2, 10))).shape
    (2, 5)

    References:
        - [Qiao et al., 2019](https://arxiv.org/abs/1903.10520)
        - [Xiao et al., 2022](https://arxiv.org/abs/2210.04195)
    """

    def __init__(
        self,
        units: int,
        *,
        use_gain: bool = True,
        epsilon: float = 1e-4,
        unbiased: bool = True,
        **kwargs: Unpack[DenseOptions],
    ):
        check_keywords(type(self), kwargs)
        super().__init__(
            check_integer("units", units, minimum=1),
            use_gain=use_gain,
            epsilon=epsilon,
            unbiased=unbiased,
            **kwargs,
        )

    def call(self, inputs, training=None):
        y = ops.matmul(inputs, self.standardized_kernel)
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)


@keras.saving.register_keras_serializable("keras_spiking")
class WeightStandardizedConv2D(_Standardized, keras.layers.Conv2D):
    """A 2D convolution with standardised weights.

        W' = gain (W - mean) / sqrt(fan_in variance + epsilon)

    with mean and variance over the inputs of each filter, and a learned `gain`.
    See `WeightStandardizedDense`.

    Args:
        filters: Integer >= 1, the number of outputs.
        kernel_size: Integer or tuple of two.
        use_gain: Boolean, whether there is a `gain`. Defaults to `True`.
        epsilon: Float > 0. Defaults to `1e-4`.
        unbiased: Boolean, see `WeightStandardizedDense`. Defaults to `True`.
        **kwargs: The arguments of `keras.layers.Conv2D`.

    Input shape:
        `(batch, height, width, channels)`. For sequences, put it into a
        `SeqToBatch`.

    Output shape:
        As of `keras.layers.Conv2D`.

    Example:

    >>> layer = keras_spiking.layers.WeightStandardizedConv2D(8, 3)
    >>> layer(keras.ops.ones((2, 6, 6, 3))).shape
    (2, 4, 4, 8)

    References:
        - [Qiao et al., 2019](https://arxiv.org/abs/1903.10520)
        - [Xiao et al., 2022](https://arxiv.org/abs/2210.04195)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        *,
        use_gain: bool = True,
        epsilon: float = 1e-4,
        unbiased: bool = True,
        **kwargs: Unpack[Conv2DOptions],
    ):
        check_keywords(type(self), kwargs)
        super().__init__(
            check_integer("filters", filters, minimum=1),
            kernel_size,
            use_gain=use_gain,
            epsilon=epsilon,
            unbiased=unbiased,
            **kwargs,
        )

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, self.standardized_kernel)
