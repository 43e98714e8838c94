"""Initial weights with which spiking neurons fire."""

import math
from typing import Any

import keras

from keras_spiking.described import Described
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number

__all__ = ["FluctuationDriven"]


@keras.saving.register_keras_serializable("keras_spiking")
class FluctuationDriven(Described, keras.initializers.RandomNormal):
    """Weights whose input lets LIF neurons fire by its fluctuations.

    With inputs that fire at random at the rate `nu`, the membrane potential without
    reset has a mean and a standard deviation that the weights set. These are chosen so
    that the threshold lies `xi` standard deviations above the mean `mu_u`:

        mu_w = mu_u / (n nu e1)
        sigma_w^2 = share ((v_threshold - mu_u) / xi)^2 / (n nu e2) - mu_w^2

    where `n` is the fan-in of the kernel, and `e1`, `e2` are the sums over time of what
    one spike does to the membrane potential, and of its square. For a `LIFLayer` that
    is `g (1 - 1 / tau)^k` after `k` steps, with `g = 1 / tau`, or `g = 1` if the
    input does not decay. With `tau_synapse`, spikes pass a filter of this time constant
    first, `y[t] = (1 - 1 / tau_synapse) y[t-1] + x[t]`.

    Args:
        tau: Float >= 1, the membrane time constant of the neurons behind the weights,
            in time steps. For neurons without a leak, whose membrane potential nothing
            limits, the number of time steps of a sequence. Defaults to `2.0`.
        decay_input: Boolean, as the argument of `LIFLayer`. Defaults to `True`.
        v_threshold: Float > 0, their threshold, counted from where their membrane
            potential starts. Defaults to `1.0`.
        firing_rate: Float > 0, spikes per input and time step. Defaults to `0.1`.
        mean: Float < `v_threshold`, the mean `mu_u` of the membrane potential. Defaults
            to `0.0`.
        xi: Float > 0; 1 to 3 work well, and the smaller, the more spikes. Defaults to
            `1.0`.
        tau_synapse: Float >= 1, the time constant of a synapse's filter, or `None`.
            Defaults to `None`.
        share: Float in (0, 1], the part of the variance that is to come from these
            weights, where others, recurrent ones say, lead to the same neurons.
            Defaults to `1.0`.
        seed: Integer or `None`. Defaults to `None`.

    Raises:
        ValueError: if an argument is out of its range, or the mean is too large for
            the fan-in: that leaves no room for fluctuations.

    Example:

    >>> dense = keras.layers.Dense(
    ...     50,
    ...     kernel_initializer=keras_spiking.initializers.FluctuationDriven(
    ...         tau=2.0, firing_rate=0.2, seed=0
    ...     ),
    ... )
    >>> inputs = keras_spiking.layers.PoissonEncoder(20)(keras.ops.full((4, 100), 0.2))
    >>> spikes = keras_spiking.layers.LIFLayer(tau=2.0)(dense(inputs))
    >>> bool(0.05 < keras.ops.convert_to_numpy(spikes).mean() < 0.3)
    True

    References:
        - [Rossbroich, Gygax and Zenke, 2022](https://doi.org/10.1088/2634-4386/ac97bb)
    """

    def __init__(
        self,
        tau: float = 2.0,
        *,
        decay_input: bool = True,
        v_threshold: float = 1.0,
        firing_rate: float = 0.1,
        mean: float = 0.0,
        xi: float = 1.0,
        tau_synapse: float | None = None,
        share: float = 1.0,
        seed: int | None = None,
    ):
        self.tau = check_number("tau", tau, minimum=1.0)
        self.decay_input = check_bool("decay_input", decay_input)
        self.v_threshold = check_number("v_threshold", v_threshold, above=0.0)
        self.firing_rate = check_number("firing_rate", firing_rate, above=0.0)
        self.mean_potential = check_number("mean", mean, below=self.v_threshold)
        self.xi = check_number("xi", xi, above=0.0)
        if tau_synapse is not None:
            check_number("tau_synapse", tau_synapse, minimum=1.0)
        self.tau_synapse = tau_synapse
        self.share = check_number("share", share, above=0.0, maximum=1.0)
        super().__init__(mean=0.0, stddev=1.0, seed=seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        mean, deviation = self.moments(shape)
        return mean + deviation * super().__call__(shape, dtype=dtype, **kwargs)

    def moments(self, shape: tuple) -> tuple[float, float]:
        """Mean and standard deviation of the weights of a kernel of this shape."""
        inputs = math.prod(shape[:-1]) * self.firing_rate
        total, squares = self._kernel_sums()
        mean = self.mean_potential / (inputs * total)
        deviation = (self.v_threshold - self.mean_potential) / self.xi
        variance = self.share * deviation**2 / (inputs * squares) - mean**2
        if variance < 0.0:
            raise ValueError(
                f"A mean membrane potential of {self.mean_potential:g} takes all "
                f"weights of a kernel of shape {tuple(shape)} and leaves no room for "
                "fluctuations. Use a smaller `mean` or `xi`. "
                f"Received: mean={self.mean_potential}, xi={self.xi}"
            )
        return mean, math.sqrt(variance)

    def _kernel_sums(self):
        """What a spike does to the membrane potential, summed over time: `e1`, `e2`."""
        a = 1.0 - 1.0 / self.tau
        b = 0.0 if self.tau_synapse is None else 1.0 - 1.0 / self.tau_synapse
        gain = 1.0 / self.tau if self.decay_input else 1.0
        total = gain / ((1.0 - a) * (1.0 - b))
        # The square of a cascade of two exponentials, in closed form.
        both = (1.0 - a**2) * (1.0 - b**2) * (1.0 - a * b)
        return total, gain**2 * (1.0 + a * b) / both

    def get_config(self):
        return {
            "tau": self.tau,
            "decay_input": self.decay_input,
            "v_threshold": self.v_threshold,
            "firing_rate": self.firing_rate,
            "mean": self.mean_potential,
            "xi": self.xi,
            "tau_synapse": self.tau_synapse,
            "share": self.share,
            "seed": super().get_config()["seed"],
        }
