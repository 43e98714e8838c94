"""Neurons of one population that excite and inhibit each other: PopSAN's actors."""

import functools
from typing import Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.current_based import CubaLayer
from keras_spiking.layers.neurons.integrate_and_fire import IFLayer
from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.regularization.coloured_noise import noise_for
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.time_loop import masked
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_groups
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number
from keras_spiking.validation import check_seed

__all__ = ["ILCCubaLayer", "ILCIFLayer", "ILCLIFLayer", "NoisyILCCubaLayer"]


class IntraLayerConnections(SpikingLayer):
    """Adds the last spikes of a neuron's population, times weights, to its input."""

    def __init__(self, population, **kwargs):
        super().__init__(**kwargs)
        self.population = check_integer("population", population, minimum=1)

    def build(self, inputs_shape, initial_state_shape=None):
        groups = check_groups(self, "neurons", inputs_shape[-1], self.population)
        super().build(inputs_shape, initial_state_shape)
        bound = 1.0 / np.sqrt(self.population)
        uniform = keras.initializers.RandomUniform(-bound, bound)
        size = self.population
        options = {"dtype": self.state_dtype, "autocast": False}
        self.kernel = self.add_weight(
            name="kernel",
            shape=(groups, size, size),
            initializer=uniform,
            **options,
        )
        self.bias = self.add_weight(
            name="bias", shape=(groups, size), initializer="zeros", **options
        )

    def connect(self, spikes):
        """What the spikes of a step add to the input of the next one."""
        shape = ops.shape(spikes)
        x = ops.reshape(spikes, (*shape[:-1], -1, 1, self.population))
        kernel, bias = (ops.convert_to_tensor(w) for w in (self.kernel, self.bias))
        return ops.reshape(ops.squeeze(ops.matmul(x, kernel), -2) + bias, shape)

    def step(self, x, states):
        *states, feedback = states
        spikes, states = super().step(x + feedback, tuple(states))
        return spikes, (*states, self.connect(spikes))

    def get_config(self):
        return {**super().get_config(), "population": self.population}


@keras.saving.register_keras_serializable("keras_spiking")
class ILCIFLayer(IntraLayerConnections, IFLayer):
    """Integrate-and-fire neurons with connections inside of the layer.

    The last axis consists of populations. The neurons of one reach each other, and
    themselves, a time step later:

        H[t] = V[t-1] + X[t] + F[t-1]
        F[t] = kernel S[t] + bias,    F[0] = 0

    Args:
        population: Integer >= 1, the number of neurons of a population. Defaults to
            `10`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"rect"`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ..., populations * population)`.

    Output shape:
        As the input. The states are the membrane potential `v` and the `feedback`.

    Raises:
        ValueError: if the last axis does not divide into populations.

    Example:

    >>> layer = keras_spiking.layers.ILCIFLayer(population=5)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)
    >>> [tuple(w.shape) for w in layer.weights]
    [(2, 5, 5), (2, 5)]

    References:
        - [Chen et al., 2024](https://arxiv.org/abs/2401.05444)
    """

    defaults = {"surrogate": "rect"}
    state_names = ("v", "feedback")

    def __init__(self, population: int = 10, **kwargs: Unpack[SpikingOptions]):
        super().__init__(population, **self.with_defaults(kwargs))


@keras.saving.register_keras_serializable("keras_spiking")
class ILCLIFLayer(IntraLayerConnections, LIFLayer):
    """Leaky integrate-and-fire neurons with connections inside of the layer.

    The neuron is `LIFLayer`'s, with `X[t] + F[t-1]` as its input; connections and
    populations are those of `ILCIFLayer`.

    Args:
        population: Integer >= 1, the number of neurons of a population. Defaults to
            `10`.
        tau: Float or array >= 1, the membrane time constant. Defaults to `4.0`.
        decay_input: Boolean. Defaults to `False`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"rect"`.
        **kwargs: The other arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ..., populations * population)`.

    Output shape:
        As the input. The states are the membrane potential `v` and the `feedback`.

    Raises:
        ValueError: if the last axis does not divide into populations.

    Example:

    >>> layer = keras_spiking.layers.ILCLIFLayer(population=5)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Chen et al., 2024](https://arxiv.org/abs/2401.05444)
    """

    defaults = {"surrogate": "rect"}
    state_names = ("v", "feedback")

    def __init__(
        self,
        population: int = 10,
        *,
        tau: ArrayLike = 4.0,
        decay_input: bool = False,
        **kwargs: Unpack[SpikingOptions],
    ):
        kwargs = self.with_defaults(kwargs)
        super().__init__(population, tau=tau, decay_input=decay_input, **kwargs)


@keras.saving.register_keras_serializable("keras_spiking")
class ILCCubaLayer(IntraLayerConnections, CubaLayer):
    """Current-based LIF neurons with connections inside of the layer.

    The neuron is `CubaLayer`'s, with `X[t] + F[t-1]` as its input; connections and
    populations are those of `ILCIFLayer`.

    Args:
        population: Integer >= 1, the number of neurons of a population. Defaults to
            `10`.
        current_decay: Float or array in [0, 1]. Defaults to `0.5`.
        voltage_decay: Float or array in [0, 1]. Defaults to `0.25`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `0.5`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"rect"`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ..., populations * population)`.

    Output shape:
        As the input. The states are the membrane potential `v`, the `current` and the
        `feedback`.

    Raises:
        ValueError: if a decay is not within [0, 1], or the last axis does not divide
            into populations.

    Example:

    >>> layer = keras_spiking.layers.ILCCubaLayer(population=5)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Chen et al., 2024](https://arxiv.org/abs/2401.05444)
    """

    state_names = ("v", "current", "feedback")

    def __init__(
        self,
        population: int = 10,
        *,
        current_decay: ArrayLike = 0.5,
        voltage_decay: ArrayLike = 0.25,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(
            population,
            current_decay=current_decay,
            voltage_decay=voltage_decay,
            **kwargs,
        )


@keras.saving.register_keras_serializable("keras_spiking")
class NoisyILCCubaLayer(ILCCubaLayer):
    """`ILCCubaLayer` that explores: with noise on inputs and spikes in training.

        Z[t] = S[t] + std N'[t]
        F[t] = kernel Z[t] + bias

    with `X[t] + F[t-1] + std N[t]` as the input of the neurons and `Z` as the output.
    `N` and `N'` are independent noise of unit variance, coloured along time. At
    inference there is none.

    For neurons without connections inside of the layer, put a `ColouredNoise` before
    and after them.

    Args:
        population: Integer >= 1, the number of neurons of a population. Defaults to
            `10`.
        std: Float >= 0, standard deviation of the noise. Defaults to `0.1`.
        exponent: Float, the colour: a power spectrum of `1 / f^exponent`, white at 0,
            pink at 1. Defaults to `0.0`.
        seed: Integer or `None`. Defaults to `None`.
        current_decay: Float or array in [0, 1]. Defaults to `0.5`.
        voltage_decay: Float or array in [0, 1]. Defaults to `0.25`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        **kwargs: The other arguments of `ILCCubaLayer`.

    Call arguments:
        inputs: Tensor of input currents, `(batch, time, ...)`.
        initial_state: List of tensors, `(batch, ...)`.
        mask: Boolean tensor `(batch, time)`.
        training: Boolean, whether there is noise.

    Input shape:
        `(batch, time, ..., populations * population)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if `std` is negative, or the last axis does not divide into
            populations.

    Example:

    >>> layer = keras_spiking.layers.NoisyILCCubaLayer(population=5, exponent=1.0)
    >>> layer(keras.random.uniform((2, 8, 10)), training=True).shape
    (2, 8, 10)

    References:
        - [Chen et al., 2024](https://arxiv.org/abs/2403.04162)
    """

    defaults = {"v_threshold": 1.0, "surrogate": "rect"}

    def __init__(
        self,
        population: int = 10,
        *,
        std: float = 0.1,
        exponent: float = 0.0,
        seed: int | None = None,
        current_decay: ArrayLike = 0.5,
        voltage_decay: ArrayLike = 0.25,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(
            population,
            current_decay=current_decay,
            voltage_decay=voltage_decay,
            **kwargs,
        )
        self.std = check_number("std", std, minimum=0.0)
        self.exponent = check_number("exponent", exponent)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, inputs, initial_state=None, mask=None, training=False):
        if not training or self.std == 0.0:
            return super().call(inputs, initial_state, mask)
        before, after = (
            self.std * noise_for(self, inputs, self.state_dtype) for _ in range(2)
        )
        inputs = ops.cast(inputs, self.state_dtype) + before
        run = functools.partial(self._run_noisy, after)
        return self.over_time(run, inputs, initial_state, mask)

    def _run_noisy(self, noise, inputs, states=None, mask=None):
        inputs = ops.cast(inputs, self.state_dtype)
        states = self.states_before(inputs) if states is None else states
        sequences = (inputs, noise)
        if mask is None:
            return time_loop(self._noisy_step, sequences, states)
        return time_loop(masked(self._noisy_step), (sequences, mask), states)

    def _noisy_step(self, x, states):
        x, noise = x
        spikes, (*states, _) = self.step(x, states)
        spikes = spikes + noise
        return spikes, (*states, self.connect(spikes))

    def compute_output_spec(self, inputs, initial_state=None, mask=None, training=None):
        return super().compute_output_spec(inputs, initial_state, mask)

    def get_config(self):
        config = super().get_config()
        return {**config, "std": self.std, "exponent": self.exponent, "seed": self.seed}
