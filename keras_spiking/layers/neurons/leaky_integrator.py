from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.options import StateOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.reduce import reduce_time
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import refuse_keywords

__all__ = ["LILayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class LILayer(TemporalLayer):
    """Leaky integrators: LIF neurons that never fire, the readout of a network.

    The output is the membrane potential, at every step or reduced over time:

        V[t] = V[t-1] + (X[t] - V[t-1]) / tau      (decay_input=True)
        V[t] = V[t-1] - V[t-1] / tau + X[t]        (decay_input=False)

    Args:
        tau: Float or array that broadcasts over the features, the time constant
            in time steps, >= 1. Defaults to `2.0`.
        decay_input: Boolean, whether the input is divided by `tau`, too.
            Defaults to `True`.
        reduce: `None` for the potential at every step, or `"last"`, `"max"`,
            `"mean"` or `"max_abs"` (the value furthest from 0) over time. Masked
            steps do not count. Defaults to `None`.
        **kwargs: `return_state`, `stateful`, `learnable` and the arguments of
            `keras.layers.Layer`. See `SpikingLayer` for these.

    Call arguments:
        inputs: Tensor of input currents, `(batch, time, ...)`.
        initial_state: Tensor or list of one tensor, `(batch, ...)`.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input if `reduce=None`, else `(batch, ...)`.

    Raises:
        ValueError: if `tau` is less than 1.
        TypeError: if `return_sequences` is given: use `reduce`.

    Example:

    >>> readout = keras_spiking.layers.LILayer(tau=2.0, reduce="max")
    >>> tuple(readout(keras.ops.ones((4, 16, 10))).shape)
    (4, 10)
    """

    tau = Parameter(minimum=1.0)

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        decay_input: bool = True,
        reduce: str | None = None,
        **kwargs: Unpack[StateOptions],
    ):
        instead = "use `reduce=None` for all time steps or `reduce='last'`"
        refuse_keywords(type(self), kwargs, return_sequences=instead)
        choices = (None, "last", "max", "mean", "max_abs")
        self.reduce = check_choice("reduce", reduce, choices)
        super().__init__(return_sequences=reduce is None, **kwargs)
        self.tau = tau
        self.decay_input = check_bool("decay_input", decay_input)

    def step(self, x, states):
        (v,) = states
        x = bounded(x)
        v = v + ((x - v) / self.tau if self.decay_input else x - v / self.tau)
        return v, (v,)

    def collapse(self, outputs, mask=None):
        return reduce_time(outputs, self.reduce, mask)

    def get_config(self):
        config = super().get_config()
        del config["return_sequences"]
        config.update(decay_input=self.decay_input, reduce=self.reduce)
        return config
