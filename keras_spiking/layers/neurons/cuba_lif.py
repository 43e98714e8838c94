from typing import Any
from typing import Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking import loihi
from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops import rounding
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Parameter
from keras_spiking.validation import refuse_keywords

STATE_UNIT = 1 / loihi.STATE_SCALE
INPUT_UNIT = 1 / loihi.INPUT_SCALE
STATE_LIMIT = loihi.STATE_LIMIT * STATE_UNIT
THRESHOLD_LIMIT = loihi.THRESHOLD_MAXIMUM * INPUT_UNIT
BIAS_LIMIT = loihi.BIAS_MAXIMUM * INPUT_UNIT


@keras.saving.register_keras_serializable("keras_spiking")
class CubaLIFLayer(SpikingLayer):
    """Current-based leaky integrate-and-fire neurons in Loihi's fixed point.

        U[t] = trunc(U[t-1] (1 - current_decay)) + X[t]
        H[t] = trunc(V[t-1] (1 - voltage_decay)) + U[t] + bias
        S[t] = 1 if H[t] > v_threshold else 0
        V[t] = H[t] (1 - S[t])

    where states are multiples of 1/4096, `trunc` rounds to them towards zero,
    decays are multiples of 1/4096, and threshold and bias of 1/64. The result
    equals that of the chip bit for bit if the input is made of spikes and Loihi
    weights (`Quantized(..., kernel_quantizer="loihi")`). As on the chip `U` wraps
    around and `V` saturates at 2048. Gradients pass straight through roundings,
    and through the spike by its surrogate.

    Args:
        v_threshold: Float or array in [1/64, 2047], rounded down to a multiple of
            1/64. A neuron fires above it, not at it. Defaults to `1.25`.
        current_decay: Float or array in [0, 1], the part of the synaptic current
            lost in a time step. 1 keeps none. Defaults to `0.25`.
        voltage_decay: Float or array in [0, 1], the part of the membrane
            potential lost in a time step. 0 keeps all. Defaults to `0.03`.
        bias: Float or array in [-63, 63], drives the membrane potential in every
            time step. Defaults to `0.0`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"sigmoid"`.
        detach_reset: Boolean, whether the gradient does not flow through the spike in
            the reset. Defaults to `False`.
        **kwargs: `return_sequences`, `return_state`, `stateful`, `learnable`,
            `data_format` and the arguments of `keras.layers.Layer`. See
            `SpikingLayer` for these. There is no `v_reset`: Loihi resets to 0.

    Call arguments:
        inputs: Tensor of synaptic input, `(batch, time, ...)`.
        initial_state: List of two tensors `(batch, ...)`, membrane potential and
            synaptic current.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if a parameter does not fit the chip's register.
        TypeError: for `v_reset`.

    Example:

    >>> layer = keras_spiking.layers.CubaLIFLayer(learnable="voltage_decay")
    >>> spikes = layer(keras.ops.ones((1, 5, 1)))
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [0, 1, 1, 1, 1]

    References:
        - [Davies et al., 2018](https://doi.org/10.1109/MM.2018.112130359)
        - [Shrestha and Orchard, 2018](https://arxiv.org/abs/1810.08646)
    """

    v_threshold = Parameter(minimum=INPUT_UNIT, maximum=THRESHOLD_LIMIT)
    state_names = ("v", "current")
    current_decay = Parameter(minimum=0.0, maximum=1.0)
    voltage_decay = Parameter(minimum=0.0, maximum=1.0)
    bias = Parameter(minimum=-BIAS_LIMIT, maximum=BIAS_LIMIT)

    def __init__(
        self,
        v_threshold: ArrayLike = 1.25,
        *,
        current_decay: ArrayLike = 0.25,
        voltage_decay: ArrayLike = 0.03,
        bias: ArrayLike = 0.0,
        surrogate: Any = "sigmoid",
        detach_reset: bool = False,
        **kwargs: Unpack[TemporalOptions],
    ):
        refuse_keywords(type(self), kwargs, v_reset="Loihi's neurons reset to 0")
        super().__init__(
            v_threshold=v_threshold,
            surrogate=surrogate,
            detach_reset=detach_reset,
            **kwargs,
        )
        self.current_decay = current_decay
        self.voltage_decay = voltage_decay
        self.bias = bias

    def fixed_point(self) -> dict[str, Any]:
        """The parameters as the chip holds them, in the layer's units."""
        return {
            "v_threshold": _to_multiple("floor", self.v_threshold, INPUT_UNIT),
            "current_decay": _to_multiple("round", self.current_decay, STATE_UNIT),
            "voltage_decay": _to_multiple("round", self.voltage_decay, STATE_UNIT),
            "bias": _to_multiple("round", self.bias, INPUT_UNIT),
        }

    def step(self, x, states):
        v, u = states
        fixed = self.fixed_point()
        u = _decay(u, 1.0 - fixed["current_decay"])
        u = _wrap(u + _to_multiple("trunc", bounded(x), STATE_UNIT))
        h = _decay(v, 1.0 - fixed["voltage_decay"]) + u + fixed["bias"]
        h = ops.clip(h, STATE_UNIT - STATE_LIMIT, STATE_LIMIT - STATE_UNIT)
        # Strictly above the threshold is at or above the next multiple.
        spikes = self.surrogate(h - (fixed["v_threshold"] + STATE_UNIT))
        return spikes, (self.reset(h, spikes), u)

    def get_config(self):
        config = super().get_config()
        del config["v_reset"]
        return config


def _to_multiple(function, value, unit):
    # Both scalings are exact: a unit is a power of two. A fixed parameter stays a
    # Python float, which a kernel can hold as a constant.
    if isinstance(value, float):
        return float(getattr(np, function)(value / unit)) * unit
    return getattr(rounding, function)(value / unit) * unit


def _decay(state, kept):
    """`state * kept` towards zero, exact in float32.

    The product has up to 36 bits, so the integer part is multiplied by itself.
    No rounded product is added to anything: a compiler may fuse the two.
    """
    whole = rounding.trunc(state)
    part = (state - whole) * kept
    return whole * kept + _to_multiple("trunc", part, STATE_UNIT)


def _wrap(u):
    u = ops.where(u > STATE_LIMIT, u - 2 * STATE_LIMIT, u)
    return ops.where(u <= -STATE_LIMIT, u + 2 * STATE_LIMIT, u)
