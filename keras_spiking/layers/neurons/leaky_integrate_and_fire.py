from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool

__all__ = ["LIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class LIFLayer(SpikingLayer):
    """Leaky integrate-and-fire neurons.

    The membrane potential leaks towards `v_reset` (towards 0 if the reset is
    soft) with the time constant `tau` and integrates the input current:

        H[t] = V[t-1] + (X[t] - (V[t-1] - v_reset)) / tau      (decay_input=True)
        H[t] = V[t-1] - (V[t-1] - v_reset) / tau + X[t]        (decay_input=False)

    Args:
        tau: Float or array that broadcasts over the features, the membrane time
            constant in time steps, >= 1. Defaults to `2.0`.
        decay_input: Boolean, whether the input is divided by `tau`, too.
            Defaults to `True`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `0.0`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"sigmoid"`.
        detach_reset: Boolean. Defaults to `False`.
        return_sequences: Boolean. Defaults to `True`.
        return_state: Boolean. Defaults to `False`.
        stateful: Boolean. Defaults to `False`.
        **kwargs: `learnable`, `data_format` and the arguments of
            `keras.layers.Layer`. See `SpikingLayer` for all of these.

    Call arguments:
        inputs: Tensor of input currents, `(batch, time, ...)`.
        initial_state: Tensor or list of one tensor, `(batch, ...)`.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `tau` is less than 1 or not finite.

    Example:

    >>> layer = keras_spiking.layers.LIFLayer(tau=4.0, learnable={"tau": "channel"})
    >>> spikes = layer(keras.random.uniform((2, 8, 5, 5, 3), maxval=3.0))
    >>> tuple(layer.tau.shape)
    (3,)

    References:
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch)
    """

    tau = Parameter(minimum=1.0)

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        decay_input: bool = True,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**kwargs)
        self.tau = tau
        self.decay_input = check_bool("decay_input", decay_input)

    def charge(self, x, v):
        leak = v - self.baseline
        if self.decay_input:
            return v + (x - leak) / self.tau
        return v - leak / self.tau + x

    def get_config(self):
        return {**super().get_config(), "decay_input": self.decay_input}
