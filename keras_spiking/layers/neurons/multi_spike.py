from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.options import PotentialOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_integer
from keras_spiking.validation import refuse_keywords

__all__ = ["MultiSpikeLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class MultiSpikeLayer(SpikingLayer):
    """Neurons that emit as many spikes in a time step as their charge is worth.

        H[t] = decay V[t-1] + gain X[t]
        S[t] = floor(max(H[t], 0) / v_threshold), at most max_spikes
        V[t] = max(H[t] - v_threshold S[t], v_min)

    It is what sinabs has for the chips of SynSense: its `IAF` is the default here, its
    `LIF` has `decay=exp(-1 / tau)`. Where `ILIFLayer` rounds, this neuron rounds down.
    The derivative of the rounding is 1 where the count is not bounded.

    Args:
        decay: Float or array in [0, 1], the part of the membrane potential that is
            left after a time step. Defaults to `1.0`.
        gain: Float or array, the factor of the input. Defaults to `1.0`.
        max_spikes: Integer >= 1, the largest number of spikes in a time step, or
            `None`, no bound. Defaults to `None`.
        v_min: Float or array, the lowest membrane potential after a time step, or
            `None`, no bound. Defaults to `None`.
        v_threshold: Float or array > 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `None`.
        **kwargs: The other arguments of `SpikingLayer`, without `surrogate`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `decay` is not within [0, 1], or `max_spikes` is less than 1.
        TypeError: if `surrogate` is given.

    Example:

    >>> layer = keras_spiking.layers.MultiSpikeLayer()
    >>> counts = layer(keras.ops.full((1, 3, 1), 1.6))
    >>> [int(c) for c in keras.ops.reshape(counts, (-1,))]
    [1, 2, 1]

    References:
        - [sinabs](https://sinabs.readthedocs.io)
    """

    defaults = {"v_reset": None}
    v_threshold = Parameter(minimum=POSITIVE)
    decay = Parameter(minimum=0.0, maximum=1.0)
    gain = Parameter()
    v_min = Parameter(optional=True)

    def __init__(
        self,
        decay: ArrayLike = 1.0,
        *,
        gain: ArrayLike = 1.0,
        max_spikes: int | None = None,
        v_min: ArrayLike | None = None,
        **kwargs: Unpack[PotentialOptions],
    ):
        why = "the gradient passes straight through the rounding"
        refuse_keywords(type(self), kwargs, surrogate=why)
        super().__init__(**self.with_defaults(kwargs))
        self.decay = decay
        self.gain = gain
        self.v_min = v_min
        if max_spikes is not None:
            max_spikes = check_integer("max_spikes", max_spikes, minimum=1)
        self.max_spikes = max_spikes

    def charge(self, x, v):
        return self.decay * v + self.gain * x

    def fire(self, h):
        count = ops.relu(bounded(h) / self.v_threshold)
        if self.max_spikes is not None:
            count = ops.minimum(count, float(self.max_spikes))
        return straight_through(ops.floor(count), count)

    def reset(self, h, spikes):
        if self.v_reset is not None:
            spikes = ops.minimum(spikes, 1.0)
        v = super().reset(h, spikes)
        return v if self.v_min is None else ops.maximum(v, self.v_min)

    def get_config(self):
        config = {**super().get_config(), "max_spikes": self.max_spikes}
        del config["surrogate"]
        return config
