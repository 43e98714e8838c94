import keras
from keras import ops

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.parameter import Parameter


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
        scale_reset: Boolean, whether the reset undoes the scaling. Defaults to
            `False`.
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        k: Float or array, the factor to start from; a weight, one for the layer
            unless `learnable={"k": "channel"}` or `{"k": "neuron"}` says
            otherwise. Defaults to `1.0`.
        **kwargs: The arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Example:

    >>> spikes = keras_spiking.layers.KLIFLayer()(keras.random.uniform((2, 8, 10)))
    >>> spikes.shape
    (2, 8, 10)

    References:
        - [Jiang and Zhang, 2023](https://arxiv.org/abs/2302.09238)
    """

    k = Parameter(learnable=True)

    def __init__(self, scale_reset=False, tau=2.0, decay_input=True, k=1.0, **kwargs):
        super().__init__(tau=tau, decay_input=decay_input, **kwargs)
        self.scale_reset = bool(scale_reset)
        self.k = k

    def charge(self, x, v):
        return ops.relu(self.k * super().charge(x, v))

    def reset(self, h, spikes):
        if not self.scale_reset:
            return super().reset(h, spikes)
        if self.detach_reset:
            spikes = ops.stop_gradient(spikes)
        if self.v_reset is None:
            return (h - self.v_threshold * spikes) / self.k
        return h * (1.0 - spikes) / self.k + self.v_reset * spikes

    def get_config(self):
        return {**super().get_config(), "scale_reset": self.scale_reset}
