from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Parameter

__all__ = ["CubaLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class CubaLayer(SpikingLayer):
    """Current-based LIF neurons: the input passes through a synaptic current.

        I[t] = (1 - current_decay) I[t-1] + X[t]
        H[t] = (1 - voltage_decay) V[t-1] + I[t]

    In floating point; `CubaLIFLayer` is the neuron of Loihi in fixed point.

    Args:
        current_decay: Float or array in [0, 1], the fraction of the synaptic
            current lost in a time step. Defaults to `0.5`.
        voltage_decay: Float or array in [0, 1], the same for the membrane
            potential. Defaults to `0.25`.
        v_threshold: Float or array >= 0, the threshold. Defaults to `0.5`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"rect"`.
        **kwargs: The other arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and the `current`.

    Raises:
        ValueError: if a decay is not within [0, 1].

    Example:

    >>> spikes = keras_spiking.layers.CubaLayer()(keras.random.uniform((2, 8, 10)))
    >>> spikes.shape
    (2, 8, 10)

    References:
        - [Davies et al., 2018](https://doi.org/10.1109/MM.2018.112130359)
    """

    defaults = {"v_threshold": 0.5, "surrogate": "rect"}
    state_names = ("v", "current")
    current_decay = Parameter(minimum=0.0, maximum=1.0)
    voltage_decay = Parameter(minimum=0.0, maximum=1.0)

    def __init__(
        self,
        current_decay: ArrayLike = 0.5,
        *,
        voltage_decay: ArrayLike = 0.25,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**self.with_defaults(kwargs))
        self.current_decay = current_decay
        self.voltage_decay = voltage_decay

    def charge(self, x, v):
        return (1.0 - self.voltage_decay) * v + x

    def step(self, x, states):
        v, current = states
        current = (1.0 - self.current_decay) * current + bounded(x)
        spikes, (v,) = super().step(current, (v,))
        return spikes, (v, current)
