"""Resonate-and-fire neurons as a state space model."""

from typing import Any
from typing import Unpack

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.without_reset import WithoutReset
from keras_spiking.layers.options import TemporalOptions
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.decay import rotation
from keras_spiking.ops.decay import turn
from keras_spiking.parameter import Parameter
from keras_spiking.parameter import Positive
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer

__all__ = ["S5RFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class S5RFLayer(WithoutReset):
    """Resonate-and-fire neurons that start from the HiPPO framework: S5-RF.

    Damped oscillators in the complex plane, that spikes do not reset:

        U[t] = exp(dt lambda) U[t-1] + gain X[t],    lambda = -rate + i frequency
        S[t] = heaviside(Re(U[t]) - v_threshold)

    with `gain=1` for inputs that are spikes, and `(exp(dt lambda) - 1) / lambda` for
    those that are held in a time step (zero-order hold), which the paper has in its
    first layer.

    By default the frequencies are the imaginary parts of the eigenvalues of HiPPO's
    normal matrix, whose real parts are all -1/2. Of `rate` and `dt`, if they are
    learned, the logarithms are the weights.

    Args:
        rate: Float or array > 0, how fast the state decays, per unit of time. Defaults
            to `0.5`.
        frequency: Float or array, the angle that it turns by in a unit of time, or
            `None` for those of HiPPO along the last axis. Defaults to `None`.
        blocks: Integer >= 1, into how many equal sets of frequencies the last axis is
            divided, if they are those of HiPPO. Defaults to `1`.
        dt: Float or array > 0, how long a time step is. In the paper log-uniform
            between 0.001 and 0.1, for each neuron. Defaults to `0.01`.
        discretization: `"exact"` for inputs that are spikes, or `"zoh"` for those
            that are held. Defaults to `"exact"`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"sigmoid"`; the paper
            has the sum of three Gaussians.
        **kwargs: The other arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are `v` and `u`, the real and the imaginary part.

    Raises:
        ValueError: if `rate` or `dt` is not positive, or the last axis does not divide
            into `blocks`.
        TypeError: if an argument of a reset is given.

    Example:

    >>> layer = keras_spiking.layers.S5RFLayer(blocks=2, learnable=["dt", "frequency"])
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Huber et al., 2025](https://arxiv.org/abs/2504.00719)
        - [Smith et al., 2023](https://arxiv.org/abs/2208.04933)
    """

    state_names = ("v", "u")
    rate = Positive()
    frequency = Parameter(optional=True)
    dt = Positive()

    def __init__(
        self,
        rate: ArrayLike = 0.5,
        *,
        frequency: ArrayLike | None = None,
        blocks: int = 1,
        dt: ArrayLike = 0.01,
        discretization: str = "exact",
        v_threshold: ArrayLike = 1.0,
        surrogate: Any = "sigmoid",
        **kwargs: Unpack[TemporalOptions],
    ):
        # The frequencies of HiPPO are known, and learned, as soon as the features are.
        self._hippo = frequency is None
        super().__init__(v_threshold, surrogate=surrogate, **kwargs)
        self.rate = rate
        self.frequency = 0.0 if frequency is None else frequency
        self.blocks = check_integer("blocks", blocks, minimum=1)
        self.dt = dt
        choices = ("exact", "zoh")
        self.discretization = check_choice("discretization", discretization, choices)

    def build(self, inputs_shape, initial_state_shape=None):
        if self._hippo:
            self.frequency = self._frequencies(inputs_shape[-1])
        super().build(inputs_shape, initial_state_shape)

    def _frequencies(self, neurons):
        if neurons is None or neurons % self.blocks:
            raise ValueError(
                f"The last axis of the input of {type(self).__name__} '{self.name}' "
                f"must divide into blocks={self.blocks} sets of frequencies. Received: "
                f"{neurons} neurons. Choose another `blocks`, or give `frequency`."
            )
        return np.tile(hippo_frequencies(neurons // self.blocks), self.blocks)

    def step(self, x, states):
        x = bounded(x)
        v, u = turn(states, self.rate, self.frequency, self.dt)
        real, imaginary = self._gain()
        v, u = bounded(v + real * x), bounded(u + imaginary * x)
        return self.fire(v), (v, u)

    def _gain(self):
        if self.discretization == "exact":
            return 1.0, 0.0
        cos, sin = rotation(self.rate, self.frequency, self.dt)
        size = self.rate * self.rate + self.frequency * self.frequency
        real = (self.rate * (1.0 - cos) + self.frequency * sin) / size
        return real, (self.frequency * (1.0 - cos) - self.rate * sin) / size

    def get_config(self):
        config = super().get_config()
        if self._hippo:
            config["frequency"] = None
        config.update(blocks=self.blocks, discretization=self.discretization)
        return config


def hippo_frequencies(size):
    """The imaginary parts of the eigenvalues of the normal part of HiPPO-LegS."""
    root = np.sqrt(2.0 * np.arange(size) + 1.0)
    skew = np.tril(np.outer(root, root), -1) / 2.0
    return np.linalg.eigvalsh(-1j * (skew.T - skew))
