import math
from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.backends.loading import active
from keras_spiking.constraints import Interval
from keras_spiking.layers.batch_statistics import moments
from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import SpikingOptions
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number

__all__ = ["MembraneBatchNormalizationLIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class MembraneBatchNormalizationLIFLayer(LIFLayer):
    """LIF neurons that fire on their batch-normalised membrane potential.

        N[t] = gamma (H[t] - mean) / sqrt(variance + epsilon) + beta
        S[t] = heaviside(N[t] - v_threshold)

    `H` charges as in `LIFLayer`. In training, mean and variance are those of the
    batch at each time step, at inference moving averages. What is reset and carried
    to the next time step is `N[t]`, or `H[t]` with `carry_normalized=False`. Then, at
    inference, the normalisation is folded into a threshold for each channel, exactly:

        S[t] = heaviside(H[t] - (mean + (v_threshold - beta)
               sqrt(variance + epsilon) / gamma))

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `False`.
        momentum: Float in [0, 1], of the moving averages at each time step.
            Defaults to `0.9`.
        epsilon: Float > 0. Defaults to `1e-5`.
        carry_normalized: Boolean, whether the normalised membrane potential goes on
            to the next time step. Defaults to `True`.
        **kwargs: The arguments of `LIFLayer`; `data_format` says where the
            channels are.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        initial_state: Tensor or list of one tensor, `(batch, ...)`.
        training: Boolean, whether statistics are those of this batch.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Example:

    >>> layer = keras_spiking.layers.MembraneBatchNormalizationLIFLayer()
    >>> layer(keras.random.uniform((2, 4, 6, 6, 3)), training=True).shape
    (2, 4, 6, 6, 3)

    References:
        - [Guo et al., 2023](https://arxiv.org/abs/2308.08359)
    """

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        decay_input: bool = False,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        carry_normalized: bool = True,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(tau, decay_input=decay_input, **kwargs)
        self.momentum = check_number("momentum", momentum, 0.0, 1.0)
        self.epsilon = check_number("epsilon", epsilon, above=0.0)
        self.carry_normalized = check_bool("carry_normalized", carry_normalized)

    def build(self, inputs_shape, initial_state_shape=None):
        super().build(inputs_shape, initial_state_shape)
        rank = len(inputs_shape) - 1
        first = self.data_format == "channels_first"
        axis = 1 if first else rank - 1
        self.axes = [i for i in range(rank) if i != axis]
        shape = [1] * (rank - 1)
        shape[axis - 1] = inputs_shape[axis + 1]

        def weight(name, initializer, **kwargs):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                dtype=self.state_dtype,
                autocast=False,
                **kwargs,
            )

        # With a negative factor, firing above would fold into firing below.
        positive = None if self.carry_normalized else Interval(minimum=1e-3)
        self.gamma = weight("gamma", "ones", constraint=positive)
        self.beta = weight("beta", "zeros")
        self.moving_mean = weight("moving_mean", "zeros", trainable=False)
        self.moving_variance = weight("moving_variance", "ones", trainable=False)

    @property
    def folded_threshold(self):
        """The threshold of the membrane potential at inference, per channel."""
        gamma, beta, mean, variance = self._statistics()
        width = ops.sqrt(variance + self.epsilon) / gamma
        return mean + (self.v_threshold - beta) * width

    def charge(self, x, v):
        h = super().charge(x, v)
        return self.normalized(h) if self.carry_normalized else h

    def normalized(self, h):
        """The membrane potential under the moving averages."""
        gamma, beta, mean, variance = self._statistics()
        return (h - mean) * ops.rsqrt(variance + self.epsilon) * gamma + beta

    def fire(self, h):
        if self.carry_normalized:
            return super().fire(h)
        return self.surrogate(h - self.folded_threshold)

    def _statistics(self):
        weights = (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        return (ops.convert_to_tensor(w) for w in weights)

    def call(self, inputs, initial_state=None, mask=None, training=False):
        if not training:
            return super().call(inputs, initial_state, mask)
        if mask is not None:
            raise ValueError(
                f"MembraneBatchNormalizationLIFLayer '{self.name}' takes its "
                "statistics from all samples of a time step and cannot be trained "
                "with a mask."
            )
        return self.over_time(self._run_training, inputs, initial_state)

    def _run_training(self, inputs, states=None, mask=None):
        inputs = ops.cast(inputs, self.state_dtype)
        averages = (self.moving_mean, self.moving_variance)
        carry = (self.states_before(inputs) if states is None else states)[0:1]
        carry = (*carry, *(ops.convert_to_tensor(a) for a in averages))
        outputs, (v, *new) = time_loop(self._training_step, inputs, carry)
        for average, value in zip(averages, new):
            average.assign(value)
        return outputs, (v,)

    def compute_output_spec(self, inputs, initial_state=None, mask=None, training=None):
        return super().compute_output_spec(inputs, initial_state, mask)

    def _training_step(self, x, states):
        v, *averages = states
        h = bounded(super().charge(x, v))
        mean, variance = moments(h, self.axes)
        normalized = (h - mean) * ops.rsqrt(variance + self.epsilon)
        normalized = ops.convert_to_tensor(self.gamma) * normalized
        normalized = normalized + ops.convert_to_tensor(self.beta)
        spikes = self.surrogate(normalized - self.v_threshold)
        # As in PyTorch, what is averaged is the unbiased variance.
        samples = ops.cast(ops.size(h), h.dtype) * active().processes()
        count = samples / math.prod(mean.shape)
        variance = variance * (count / ops.maximum(count - 1.0, 1.0))
        statistics = (ops.squeeze(mean, 0), ops.squeeze(variance, 0))
        averages = [
            self.momentum * old + (1.0 - self.momentum) * ops.stop_gradient(new)
            for old, new in zip(averages, statistics)
        ]
        h = normalized if self.carry_normalized else h
        return spikes, (self.reset(h, spikes), *averages)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "carry_normalized": self.carry_normalized,
        }

    @classmethod
    def from_config(cls, config):
        return super().from_config({"carry_normalized": False, **config})  # as 0.1.0
