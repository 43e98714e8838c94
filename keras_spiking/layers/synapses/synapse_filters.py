"""Synapses: filters that turn spikes into currents."""

import math
from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.parameter import Parameter
from keras_spiking.parameter import TimeConstant
from keras_spiking.validation import check_array
from keras_spiking.validation import check_number


class _TimeConstant(TimeConstant):
    """One that is learned on request, and given by its own name."""

    def __init__(self):
        Parameter.__init__(self)

    def check(self, layer, value):
        return check_array(self.name, value, above=1.0)


@keras.saving.register_keras_serializable("keras_spiking")
class SynapseFilter(TemporalLayer):
    """Exponential synapse whose current decays while no spike comes in.

        I[t] = I[t-1] - (1 - S[t]) I[t-1] / tau + S[t]

    Args:
        tau: Float or array > 1, the time constant in time steps. Defaults to
            `100.0`.
        learnable: Boolean, whether `tau` is learned, through `1 / tau =
            sigmoid(w)`; `{"tau": "channel"}` or `{"tau": "neuron"}` says how it is
            shared. Defaults to `False`.
        **kwargs: The arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `tau` is not greater than 1.

    Example:

    >>> spikes = keras.ops.array([[[1.0], [0.0], [0.0], [1.0]]])
    >>> current = keras_spiking.layers.SynapseFilter(tau=2.0)(spikes)
    >>> [round(float(i), 2) for i in keras.ops.reshape(current, (-1,))]
    [1.0, 0.5, 0.25, 1.25]

    References:
        - [Fang et al., 2020](https://arxiv.org/abs/2003.02944)
    """

    state_names = ("current",)
    tau = _TimeConstant()

    def __init__(self, tau: ArrayLike = 100.0, **kwargs: Unpack[TemporalOptions]):
        learnable = kwargs.get("learnable")
        if isinstance(learnable, bool):
            kwargs["learnable"] = "tau" if learnable else None
        super().__init__(**kwargs)
        self.tau = tau

    def step(self, x, states):
        (current,) = states
        current = current - (1.0 - x) * current / self.tau + x
        return current, (current,)


@keras.saving.register_keras_serializable("keras_spiking")
class DualExponentialSynapse(TemporalLayer):
    """Synapse with a rise and a decay: the difference of two exponentials.

        I[t] = sum_s K(t - s) S[s]
        K(t) = V0 (exp(-t / tau) - exp(-t / tau_s)),    t >= 0

    with `V0` so that the peak of `K` in continuous time is 1.

    Args:
        tau: Float > 0, the time constant of the decay. Defaults to `15.0`.
        tau_s: Float > 0, that of the rise, less than `tau`. Defaults to `3.75`.
        **kwargs: The arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `tau_s` is not less than `tau`.

    Example:

    >>> spikes = keras.ops.array([[[1.0], [0.0], [0.0], [0.0]]])
    >>> layer = keras_spiking.layers.DualExponentialSynapse(tau=4.0, tau_s=1.0)
    >>> [round(float(i), 1) for i in keras.ops.reshape(layer(spikes), (-1,))]
    [0.0, 0.9, 1.0, 0.9]

    References:
        - [Gütig and Sompolinsky, 2006](https://doi.org/10.1038/nn1643)
    """

    state_names = ("slow", "fast")

    def __init__(
        self,
        tau: float = 15.0,
        *,
        tau_s: float = 3.75,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.tau = check_number("tau", tau, above=0.0)
        self.tau_s = check_number("tau_s", tau_s, above=0.0)
        if not tau_s < tau:
            raise ValueError(
                f"`tau_s` must be less than `tau`. Received: tau={tau}, tau_s={tau_s}"
            )
        peak = tau * tau_s * math.log(tau / tau_s) / (tau - tau_s)
        self.gain = 1.0 / (math.exp(-peak / tau) - math.exp(-peak / tau_s))

    def step(self, x, states):
        slow, fast = states
        slow = math.exp(-1.0 / self.tau) * slow + x
        fast = math.exp(-1.0 / self.tau_s) * fast + x
        return self.gain * (slow - fast), (slow, fast)

    def get_config(self):
        return {**super().get_config(), "tau": self.tau, "tau_s": self.tau_s}


@keras.saving.register_keras_serializable("keras_spiking")
class AlphaSynapse(TemporalLayer):
    """Synapse with the alpha function: rise and decay at the same rate.

        I[t] = sum_s K(t - s) S[s],    K(t) = t / tau exp(1 - t / tau),    t >= 0

    whose peak is 1, at `t = tau`.

    Args:
        tau: Float > 0, the time constant in time steps. Defaults to `5.0`.
        **kwargs: The arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `tau` is not positive.

    Example:

    >>> spikes = keras.ops.array([[[1.0], [0.0], [0.0], [0.0]]])
    >>> current = keras_spiking.layers.AlphaSynapse(tau=1.0)(spikes)
    >>> [round(float(i), 2) for i in keras.ops.reshape(current, (-1,))]
    [0.0, 1.0, 0.74, 0.41]

    References:
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch/online/Ch3.S1.html)
    """

    state_names = ("current", "trace")

    def __init__(self, tau: float = 5.0, **kwargs: Unpack[TemporalOptions]):
        super().__init__(**kwargs)
        self.tau = check_number("tau", tau, above=0.0)

    def step(self, x, states):
        current, trace = states
        decay = math.exp(-1.0 / self.tau)
        current = decay * (current + math.e / self.tau * trace)
        return current, (current, decay * trace + x)

    def get_config(self):
        return {**super().get_config(), "tau": self.tau}
