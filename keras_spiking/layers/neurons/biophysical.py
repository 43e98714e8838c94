"""Neurons with more of a neuron's biophysics."""

import math
from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LIFOptions
from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.random_numbers import normal
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number

__all__ = [
    "ConductanceLIFLayer",
    "NoisyLIFLayer",
    "RefractoryLIFLayer",
    "ResonateAndFireLayer",
]


@keras.saving.register_keras_serializable("keras_spiking")
class RefractoryLIFLayer(LIFLayer):
    """LIF neurons that rest for some time steps after a spike.

    For `refractory_steps` steps after a spike the membrane potential stays where
    the reset put it, whatever the input, and the neuron does not fire.

    Args:
        refractory_steps: Integer or array of integers >= 0, the number of time
            steps. It has no gradient and cannot be learned. Defaults to `2`.
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        **kwargs: The arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and the number of
        time steps still to `rest`.

    Raises:
        ValueError: if `refractory_steps` is negative.
        TypeError: if it is not a whole number.

    Example:

    >>> layer = keras_spiking.layers.RefractoryLIFLayer(refractory_steps=2)
    >>> spikes = layer(keras.ops.full((1, 7, 1), 4.0))
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [1, 0, 0, 1, 0, 0, 1]

    References:
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch/online/Ch1.S3.html)
    """

    state_names = ("v", "rest")
    refractory_steps = Parameter(minimum=0.0, differentiable=False, whole=True)

    def __init__(self, refractory_steps: ArrayLike = 2, **kwargs: Unpack[LIFOptions]):
        super().__init__(**kwargs)
        self.refractory_steps = refractory_steps

    def step(self, x, states):
        v, rest = states
        rests = rest > 0.0
        h = ops.where(rests, v, self.charge(x, v))
        # Not a product with 0: a softly reset neuron may rest above its threshold.
        spikes = ops.where(rests, ops.zeros_like(h), self.fire(h))
        rest = ops.relu(rest - 1.0)
        rest = rest + self.refractory_steps * ops.stop_gradient(spikes)
        return spikes, (self.reset(h, spikes), rest)


@keras.saving.register_keras_serializable("keras_spiking")
class ConductanceLIFLayer(SpikingLayer):
    """Conductance-based LIF neurons: a synapse pulls towards its own potential.

    Positive input opens excitatory, negative input inhibitory channels. Their
    conductances decay, and drive the membrane potential to `e_excitatory` and
    `e_inhibitory`:

        g_e[t] = g_e[t-1] (1 - 1 / tau_excitatory) + relu(X[t])
        g_i[t] = g_i[t-1] (1 - 1 / tau_inhibitory) + relu(-X[t])
        H[t] = V[t-1] + (v_rest - V[t-1] + g_e[t] (e_excitatory - V[t-1])
               + g_i[t] (e_inhibitory - V[t-1])) / max(tau, 1 + g_e[t] + g_i[t])

    A strong input thus drives the membrane potential to its equilibrium within a
    time step, but not beyond.

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `10.0`.
        tau_excitatory: Float or array >= 1. Defaults to `2.0`.
        tau_inhibitory: Float or array >= 1. Defaults to `4.0`.
        e_excitatory: Float or array, the excitatory reversal potential. Defaults
            to `4.0`.
        e_inhibitory: Float or array, the inhibitory one. Defaults to `-1.0`.
        v_rest: Float or array, the resting potential. Defaults to `0.0`.
        **kwargs: The arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and the
        conductances `excitatory` and `inhibitory`.

    Example:

    >>> layer = keras_spiking.layers.ConductanceLIFLayer()
    >>> layer(keras.random.normal((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch/online/Ch3.S1.html)
    """

    state_names = ("v", "excitatory", "inhibitory")
    tau = Parameter(minimum=1.0)
    tau_excitatory = Parameter(minimum=1.0)
    tau_inhibitory = Parameter(minimum=1.0)
    e_excitatory = Parameter()
    e_inhibitory = Parameter()
    v_rest = Parameter()

    def __init__(
        self,
        tau: ArrayLike = 10.0,
        *,
        tau_excitatory: ArrayLike = 2.0,
        tau_inhibitory: ArrayLike = 4.0,
        e_excitatory: ArrayLike = 4.0,
        e_inhibitory: ArrayLike = -1.0,
        v_rest: ArrayLike = 0.0,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**kwargs)
        self.tau = tau
        self.tau_excitatory = tau_excitatory
        self.tau_inhibitory = tau_inhibitory
        self.e_excitatory = e_excitatory
        self.e_inhibitory = e_inhibitory
        self.v_rest = v_rest

    def step(self, x, states):
        v, excitatory, inhibitory = states
        x = bounded(x)
        excitatory = excitatory - excitatory / self.tau_excitatory + ops.relu(x)
        inhibitory = inhibitory - inhibitory / self.tau_inhibitory + ops.relu(-x)
        current = (
            self.v_rest
            - v
            + excitatory * (self.e_excitatory - v)
            + inhibitory * (self.e_inhibitory - v)
        )
        too_fast = ops.relu(1.0 + excitatory + inhibitory - self.tau)
        h = v + current / (self.tau + too_fast)
        spikes = self.fire(h)
        return spikes, (self.reset(h, spikes), excitatory, inhibitory)


@keras.saving.register_keras_serializable("keras_spiking")
class ResonateAndFireLayer(SpikingLayer):
    """Resonate-and-fire neurons: damped oscillators that like their own rhythm.

    A current-like state `U` and the membrane potential turn around each other,
    once in `period` steps, exactly as between the input's jumps in continuous
    time. With `w = 2 pi / period`:

        H[t] = exp(-1 / tau) (U[t-1] sin(w) + V[t-1] cos(w))
        U[t] = exp(-1 / tau) (U[t-1] cos(w) - V[t-1] sin(w)) + X[t]

    A spike resets the membrane potential and leaves `U` as it is.

    Args:
        period: Float >= 2, the period of the oscillation in time steps. Defaults
            to `10.0`.
        tau: Float > 0, the time constant of its damping in time steps. Defaults
            to `20.0`.
        input_first: Boolean, whether the input jumps before the turn, so that it
            reaches the membrane potential in its own time step: `U[t-1] + X[t]` then
            takes the place of `U[t-1]`, and nothing is added after. Defaults to
            `False`.
        reset_current: Boolean, whether a hard reset also sets `U` to 0. Defaults to
            `False`.
        **kwargs: The arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and `u`.

    Raises:
        ValueError: if `period` is less than 2 or `tau` is not positive.

    Example:

    >>> layer = keras_spiking.layers.ResonateAndFireLayer(period=8.0)
    >>> layer(keras.random.normal((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Izhikevich, 2001](https://doi.org/10.1016/S0893-6080(01)00078-8)
    """

    state_names = ("v", "u")
    cosine = Parameter()
    sine = Parameter()

    def __init__(
        self,
        period: float = 10.0,
        *,
        tau: float = 20.0,
        input_first: bool = False,
        reset_current: bool = False,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**kwargs)
        self._rotate(period, tau)
        self.input_first = check_bool("input_first", input_first)
        self.reset_current = check_bool("reset_current", reset_current)

    def _rotate(self, period, tau):
        self._period = check_number("period", period, minimum=2.0)
        self._tau = check_number("tau", tau, above=0.0)
        decay, angle = math.exp(-1.0 / tau), 2.0 * math.pi / period
        self.cosine, self.sine = decay * math.cos(angle), decay * math.sin(angle)

    @property
    def period(self):
        """The period of the oscillation in time steps."""
        return self._period

    @period.setter
    def period(self, period):
        self._rotate(period, self._tau)

    @property
    def tau(self):
        """The time constant of the damping in time steps."""
        return self._tau

    @tau.setter
    def tau(self, tau):
        self._rotate(self._period, tau)

    def step(self, x, states):
        v, u = states
        if self.input_first:
            u = bounded(u + x)
        h = self.sine * u + self.cosine * v
        u = self.cosine * u - self.sine * v
        if not self.input_first:
            u = bounded(u + x)
        spikes = self.fire(h)
        if self.reset_current and self.v_reset is not None:
            u = u * (1.0 - self.reset_spikes(spikes))
        return spikes, (self.reset(h, spikes), u)

    def get_config(self):
        config = super().get_config()
        del config["cosine"], config["sine"]
        return {
            **config,
            "period": self.period,
            "tau": self.tau,
            "input_first": self.input_first,
            "reset_current": self.reset_current,
        }

    @classmethod
    def from_config(cls, config):
        of_0_1_0 = {"input_first": True, "reset_current": True}
        return super().from_config({**of_0_1_0, **config})


@keras.saving.register_keras_serializable("keras_spiking")
class NoisyLIFLayer(LIFLayer):
    """LIF neurons with a noisy input current, in training and at inference.

        H[t] = charge(X[t] + std Z[t], V[t-1]),    Z[t] ~ normal(0, 1)

    `step` itself adds no noise.

    Args:
        std: Float >= 0, standard deviation of the noise. Defaults to `0.2`.
        seed: Integer or `None`. Defaults to `None`.
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        **kwargs: The arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `std` is negative.

    Example:

    >>> layer = keras_spiking.layers.NoisyLIFLayer(std=0.5, seed=0)
    >>> layer(keras.ops.ones((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Ma et al., 2023](https://arxiv.org/abs/2305.16044)
    """

    def __init__(
        self,
        std: float = 0.2,
        *,
        seed: int | None = None,
        **kwargs: Unpack[LIFOptions],
    ):
        super().__init__(**kwargs)
        self.std = check_number("std", std, minimum=0.0)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, initial_state=None, mask=None):
        inputs = ops.cast(inputs, self.state_dtype)
        noise = normal(self, ops.shape(inputs), self.state_dtype)
        return super().call(inputs + self.std * noise, initial_state, mask)

    def get_config(self):
        return {**super().get_config(), "std": self.std, "seed": self.seed}
