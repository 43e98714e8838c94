"""Parallel spiking neurons: without a reset, all time steps at once."""

from typing import Any
from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_spiking import surrogates
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.options import describe
from keras_spiking.layers.probe import Probe
from keras_spiking.ops.bounded import bounded
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_mask
from keras_spiking.validation import check_number
from keras_spiking.validation import check_time_axis
from keras_spiking.validation import check_timesteps

__all__ = ["PSN", "MaskedPSN", "SlidingPSN"]


class _ParallelSpikingNeuron(Layer):
    """`H = W X + b` over time, `S = heaviside(H)`."""

    has_time_axis = True

    def __init__(self, surrogate, **kwargs):
        super().__init__(**kwargs)
        self.surrogate = surrogates.get(surrogate)
        self.supports_masking = True
        self.probe = Probe()

    def build(self, input_shape):
        check_time_axis(self, input_shape)
        self._build_weights(input_shape[1])

    def _add_weight(self, name, shape, initializer):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            # A potential in half precision would move spikes.
            dtype=self.state_dtype,
            autocast=False,
        )

    def call(self, inputs, mask=None):
        check_mask(self, inputs.shape, mask)
        weight = self.weight_over_time(inputs.shape[1])
        batch, time, *features = ops.shape(inputs)
        x = ops.reshape(inputs, (batch, time, -1))
        x = bounded(ops.cast(x, weight.dtype))
        h = ops.matmul(weight, x) + ops.convert_to_tensor(self.bias)
        spikes = self.surrogate(ops.reshape(h, (batch, time, *features)))
        if mask is not None:
            shape = (batch, time) + (1,) * len(features)
            mask = ops.reshape(ops.cast(mask, "bool"), shape)
            spikes = ops.where(mask, spikes, ops.zeros_like(spikes))
        return ops.cast(spikes, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def __repr__(self):
        return describe(self)

    def get_config(self):
        surrogate = surrogates.serialize(self.surrogate)
        return {**super().get_config(), "surrogate": surrogate}


@keras.saving.register_keras_serializable("keras_spiking")
class PSN(_ParallelSpikingNeuron):
    """Parallel spiking neurons: every step's potential sees the whole sequence.

        H = W X,    S = heaviside(H + b)

    with a learned `W` of shape `(T, T)` and a learned bias of shape `(T, 1)`,
    minus the threshold.

    Args:
        T: Integer, the number of time steps, or `None` to take the input's.
            Defaults to `None`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"atan"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, T, ...)`.
        mask: Boolean tensor `(batch, T)`. Masked steps emit no spike, but their
            input is seen.

    Input shape:
        `(batch, T, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the input does not have `T` time steps.

    Example:

    >>> keras_spiking.layers.PSN()(keras.random.normal((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Fang et al., 2023](https://arxiv.org/abs/2304.12760)
    """

    def __init__(
        self,
        T: int | None = None,
        *,
        surrogate: Any = "atan",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(surrogate, **kwargs)
        self.T = None if T is None else check_timesteps(T, "T")

    def _build_weights(self, timesteps):
        timesteps = self._check_timesteps(timesteps)
        bound = 1.0 / np.sqrt(timesteps)
        uniform = keras.initializers.RandomUniform(-bound, bound)
        self.weight = self._add_weight("weight", (timesteps, timesteps), uniform)
        minus_one = keras.initializers.Constant(-1.0)
        self.bias = self._add_weight("bias", (timesteps, 1), minus_one)

    def _check_timesteps(self, timesteps):
        expected = self.weight.shape[0] if self.built else self.T
        if expected is None and timesteps is None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' has a weight for each time "
                "step: it needs an input with a fixed number of them, or `T`."
            )
        if None not in (expected, timesteps) and expected != timesteps:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' has weights for T="
                f"{expected} time steps. Received an input of {timesteps}."
            )
        return timesteps or expected

    def weight_over_time(self, timesteps):
        """The matrix `(T, T)` from inputs to potentials."""
        self._check_timesteps(timesteps)
        return ops.convert_to_tensor(self.weight)

    def get_config(self):
        return {**super().get_config(), "T": self.T}


@keras.saving.register_keras_serializable("keras_spiking")
class MaskedPSN(PSN):
    """Parallel spiking neurons that see the last `k` steps only.

        H[t] = sum_{i=t-k+1}^{t} W[t, i] X[i],    S[t] = heaviside(H[t] + b[t])

    A training may start from the unmasked `PSN`: the weights outside of the band
    are multiplied by `1 - lambda`. Raise `layer.lambda_` to 1, from a callback,
    before the network is used step by step.

    Args:
        k: Integer >= 1, how many steps a neuron sees.
        T: Integer, the number of time steps, or `None` to take the input's.
            Defaults to `None`.
        lambda_init: Float in [0, 1], how much is masked at the start. Defaults to
            `0.0`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"atan"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, T, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the input does not have `T` time steps, or `lambda_init`
            is not within [0, 1].

    Example:

    >>> layer = keras_spiking.layers.MaskedPSN(k=3, lambda_init=1.0)
    >>> layer(keras.random.normal((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Fang et al., 2023](https://arxiv.org/abs/2304.12760)
    """

    def __init__(
        self,
        k: int,
        *,
        T: int | None = None,
        lambda_init: float = 0.0,
        surrogate: Any = "atan",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(T, surrogate=surrogate, **kwargs)
        self.k = check_integer("k", k, minimum=1)
        self.lambda_init = check_number("lambda_init", lambda_init, 0.0, 1.0)

    def _build_weights(self, timesteps):
        super()._build_weights(timesteps)
        self.lambda_ = self.add_weight(
            name="lambda",
            shape=(),
            initializer=keras.initializers.Constant(self.lambda_init),
            trainable=False,
            autocast=False,
        )

    def weight_over_time(self, timesteps):
        weight = super().weight_over_time(timesteps)
        outside = 1.0 - _band(weight.shape[0], self.k)
        masked = ops.convert_to_tensor(self.lambda_) * ops.cast(outside, "float32")
        return weight * ops.cast(1.0 - masked, weight.dtype)

    def get_config(self):
        config = {**super().get_config(), "k": self.k}
        return {**config, "lambda_init": self.lambda_init}


@keras.saving.register_keras_serializable("keras_spiking")
class SlidingPSN(_ParallelSpikingNeuron):
    """Parallel spiking neurons with the same weights at every step.

        H[t] = sum_{i=0}^{k-1} W[i] X[t - k + 1 + i],    S[t] = heaviside(H[t] + b)

    A causal filter, for sequences of any length.

    Args:
        k: Integer >= 1, how many steps a neuron sees.
        exp_init: Boolean, whether weights start as `2^(i - k + 1)`, which is the
            memory of a LIF neuron with `tau=2`, or random. Defaults to `True`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"atan"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Example:

    >>> keras_spiking.layers.SlidingPSN(k=4)(keras.random.normal((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Fang et al., 2023](https://arxiv.org/abs/2304.12760)
    """

    def __init__(
        self,
        k: int,
        *,
        exp_init: bool = True,
        surrogate: Any = "atan",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(surrogate, **kwargs)
        self.k = check_integer("k", k, minimum=1)
        self.exp_init = check_bool("exp_init", exp_init)

    def _build_weights(self, timesteps):
        def exponential(shape, dtype):
            return ops.convert_to_tensor(2.0 ** np.arange(1 - self.k, 1), dtype)

        bound = 1.0 / np.sqrt(self.k)
        uniform = keras.initializers.RandomUniform(-bound, bound)
        initializer = exponential if self.exp_init else uniform
        self.weight = self._add_weight("weight", (self.k,), initializer)
        minus_one = keras.initializers.Constant(-1.0)
        self.bias = self._add_weight("bias", (), minus_one)

    def weight_over_time(self, timesteps):
        """The banded matrix `(T, T)` from inputs to potentials."""
        if timesteps is None:
            raise ValueError(
                f"SlidingPSN '{self.name}' needs an input with a known number of "
                "time steps."
            )
        # Which weight stands at (t, i), and where none does.
        i = np.arange(timesteps)
        index = np.clip(i[None] - i[:, None] + self.k - 1, 0, self.k - 1)
        weight = ops.take(ops.convert_to_tensor(self.weight), index, axis=0)
        return weight * ops.cast(_band(timesteps, self.k), weight.dtype)

    def get_config(self):
        return {**super().get_config(), "k": self.k, "exp_init": self.exp_init}


def _band(timesteps, k):
    """1 where step `t` (row) sees step `i` (column): `t - k < i <= t`."""
    ones = np.ones((timesteps, timesteps), "float32")
    return np.tril(ones) - np.tril(ones, -k)
