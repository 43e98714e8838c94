from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LeakyOptions
from keras_spiking.parameter import Alias
from keras_spiking.parameter import TimeConstant

__all__ = ["ParametricLIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class ParametricLIFLayer(LIFLayer):
    """Leaky integrate-and-fire neurons that learn their time constant.

    As `LIFLayer`, with a weight `w` in place of `tau`, which keeps
    `tau = 1 / sigmoid(w)` above 1 whatever the optimizer does:

        H[t] = V[t-1] + (X[t] - (V[t-1] - v_reset)) sigmoid(w)   (decay_input=True)
        H[t] = V[t-1] - (V[t-1] - v_reset) sigmoid(w) + X[t]     (decay_input=False)

    Args:
        init_tau: Float or array that broadcasts over the features, > 1, the
            initial time constant: `w = -log(init_tau - 1)`. `w` has the shape of
            this array: a float means one `w` for the layer, unless
            `learnable={"tau": "channel"}` or `{"tau": "neuron"}` says otherwise.
            Defaults to `2.0`.
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
        ValueError: if `init_tau` is not greater than 1 or not finite.

    Example:

    >>> layer = keras_spiking.layers.ParametricLIFLayer(init_tau=3.0)
    >>> spikes = layer(keras.random.uniform((2, 8, 10)))
    >>> round(float(keras.ops.convert_to_numpy(layer.tau)), 3)
    3.0

    References:
        - [Fang et al., 2021](https://arxiv.org/abs/2007.05785)
    """

    tau = TimeConstant()
    w = Alias("tau", lambda layer: -ops.log(layer.tau - 1.0))

    def __init__(self, init_tau: ArrayLike = 2.0, **kwargs: Unpack[LeakyOptions]):
        super().__init__(init_tau, **kwargs)

    def get_config(self):
        config = super().get_config()
        config["init_tau"] = config.pop("tau")
        return config
