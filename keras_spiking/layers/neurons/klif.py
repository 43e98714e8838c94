from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LeakyOptions
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool

__all__ = ["KLIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class KLIFLayer(LIFLayer):
    """LIF neurons whose membrane potential is scaled by a learned factor.

        U[t] = V[t-1] + (X[t] - (V[t-1] - v_reset)) / tau      (decay_input=True)
        H[t] = relu(k U[t])

    `U` charges as in `LIFLayer`. What fires and resets is `H`; with
    `scale_reset=True` it is divided by `k` again for the reset:

        V[t] = H[t] (1 - S[t]) / k + v_reset S[t]      (hard reset)
        V[t] = (H[t] - v_threshold S[t]) / k           (soft reset)

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        scale_reset: Boolean, whether the reset undoes the scaling. Defaults to
            `False`.
        k: Float or array > 0, the initial factor; a weight, one for the layer
            unless `learnable={"k": "channel"}` or `{"k": "neuron"}` says
            otherwise. Defaults to `1.0`.
        **kwargs: The arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `k` is not positive.

    Example:

    >>> spikes = keras_spiking.layers.KLIFLayer()(keras.random.uniform((2, 8, 10)))
    >>> spikes.shape
    (2, 8, 10)

    References:
        - [Jiang and Zhang, 2023](https://arxiv.org/abs/2302.09238)
    """

    k = Parameter(minimum=POSITIVE, learnable=True)

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        scale_reset: bool = False,
        k: ArrayLike = 1.0,
        **kwargs: Unpack[LeakyOptions],
    ):
        super().__init__(tau, **kwargs)
        self.scale_reset = check_bool("scale_reset", scale_reset)
        self.k = k

    def charge(self, x, v):
        return ops.relu(self.k * super().charge(x, v))

    def reset(self, h, spikes):
        if not self.scale_reset:
            return super().reset(h, spikes)
        if self.v_reset is None:
            return super().reset(h, spikes) / self.k
        return super().reset(h / self.k, spikes)

    def get_config(self):
        return {**super().get_config(), "scale_reset": self.scale_reset}
