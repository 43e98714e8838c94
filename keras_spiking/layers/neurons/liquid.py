from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter

__all__ = ["LTCLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class LTCLayer(TemporalLayer):
    """Liquid time constants: neurons whose time constant depends on their input.

        dV/dt = -(1 / tau + f) V + f A,    f = sigmoid(gamma V + X + mu)

    by the paper's fused step, half explicit and half implicit, which is stable for
    every `dt`:

        V[t] = (V[t-1] + dt f A) / (1 + dt (1 / tau + f))

    with `f` at `V[t-1]` and `X[t]`. The output is the potential; nothing fires. `X` is
    the sum over synapses, from a dense layer before, and each neuron has a synapse of
    its own, `gamma`.

    Args:
        tau: Float or array > 0, the time constant without input. Defaults to `1.0`.
        A: Float or array, the potential that the input drives to. Defaults to `1.0`.
        gamma: Float or array, how the potential acts on the neuron itself. Defaults to
            `0.0`.
        mu: Float or array, the bias. Defaults to `0.0`.
        dt: Float or array > 0, how long a time step is. Defaults to `1.0`.
        **kwargs: The arguments of `TemporalLayer`. The paper learns `tau`, `A`,
            `gamma` and `mu`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The state is the potential `v`.

    Raises:
        ValueError: if `tau` or `dt` is not positive.

    Example:

    >>> layer = keras_spiking.layers.LTCLayer(learnable=["tau", "A", "gamma", "mu"])
    >>> layer(keras.random.normal((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Hasani et al., 2021](https://arxiv.org/abs/2006.04439)
    """

    tau = Parameter(minimum=POSITIVE)
    A = Parameter()
    gamma = Parameter()
    mu = Parameter()
    dt = Parameter(minimum=POSITIVE)

    def __init__(
        self,
        tau: ArrayLike = 1.0,
        *,
        A: ArrayLike = 1.0,
        gamma: ArrayLike = 0.0,
        mu: ArrayLike = 0.0,
        dt: ArrayLike = 1.0,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.tau = tau
        self.A = A
        self.gamma = gamma
        self.mu = mu
        self.dt = dt

    def step(self, x, states):
        (v,) = states
        f = ops.sigmoid(self.gamma * v + bounded(x) + self.mu)
        v = (v + self.dt * f * self.A) / (1.0 + self.dt * (1.0 / self.tau + f))
        return v, (v,)
