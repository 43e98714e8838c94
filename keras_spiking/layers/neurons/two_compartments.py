from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Parameter

__all__ = ["TCLIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class TCLIFLayer(SpikingLayer):
    """Neurons of two compartments, a dendrite and a soma: TC-LIF.

    The dendrite integrates the input, the soma integrates the dendrite and fires:

        D[t] = D[t-1] - gamma S[t-1] + beta_1 V[t-1] + X[t]
        H[t] = V[t-1] + beta_2 D[t]

    with `V` after the reset. There is no leak: what the soma takes from the dendrite
    keeps both within bounds, and gradients reach far back in time.

    Args:
        beta_1: Float or array in [-1, 0], how the soma acts on the dendrite. Defaults
            to `-0.5`.
        beta_2: Float or array in [0, 1], how the dendrite acts on the soma. Defaults
            to `0.5`.
        gamma: Float or array >= 0, what a spike takes from the dendrite. Defaults to
            `0.5`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `None`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the potentials of the soma `v` and of the
        `dendrite`.

    Raises:
        ValueError: if a parameter is out of its range.

    Example:

    >>> layer = keras_spiking.layers.TCLIFLayer(learnable=["beta_1", "beta_2"])
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Zhang et al., 2024](https://arxiv.org/abs/2308.13250)
    """

    defaults = {"v_reset": None}
    state_names = ("v", "dendrite")
    beta_1 = Parameter(minimum=-1.0, maximum=0.0)
    beta_2 = Parameter(minimum=0.0, maximum=1.0)
    gamma = Parameter(minimum=0.0)

    def __init__(
        self,
        beta_1: ArrayLike = -0.5,
        *,
        beta_2: ArrayLike = 0.5,
        gamma: ArrayLike = 0.5,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**self.with_defaults(kwargs))
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.gamma = gamma

    def step(self, x, states):
        v, dendrite = states
        dendrite = bounded(dendrite + self.beta_1 * v + bounded(x))
        h = v + self.beta_2 * dendrite
        spikes = self.fire(h)
        dendrite = dendrite - self.gamma * self.reset_spikes(spikes)
        return spikes, (self.reset(h, spikes), dendrite)
