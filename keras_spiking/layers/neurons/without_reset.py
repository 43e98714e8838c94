"""The base class of spiking neurons that no spike resets."""

from typing import Any
from typing import Unpack

from numpy.typing import ArrayLike

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.validation import refuse_keywords


class WithoutReset(SpikingLayer):
    """Spiking neurons that have a threshold, but no reset."""

    def __init__(
        self,
        v_threshold: ArrayLike = 1.0,
        *,
        surrogate: Any = "sigmoid",
        **kwargs: Unpack[TemporalOptions],
    ):
        why = "no spike resets these neurons"
        refuse_keywords(type(self), kwargs, v_reset=why, detach_reset=why)
        super().__init__(v_threshold, v_reset=None, surrogate=surrogate, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["v_reset"], config["detach_reset"]
        return config
