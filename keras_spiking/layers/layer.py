"""What the layers of the package have in common."""

from typing import Unpack

import keras

from keras_spiking.layers.options import Explicit
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.remat import Rematerializable
from keras_spiking.validation import check_keywords


class Layer(Explicit, Rematerializable, keras.layers.Layer):
    """A Keras layer that tells misspelt arguments, and can be computed again.

    Args:
        **kwargs: The arguments of `keras.layers.Layer`.
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]):
        check_keywords(type(self), kwargs)
        super().__init__(**kwargs)

    def build_from_config(self, config):
        reason = None
        try:
            super().build_from_config(config)
            if not self.built:  # and Keras would take it for built
                reason = "it holds no shape"
        except Exception as error:  # nearly any, if a shape is none
            reason = error
        if reason is not None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' cannot be built from its "
                f"configuration: {reason}. Received: {config!r}"
            ) from None

    @property
    def state_dtype(self):
        """The dtype of states and parameters: float32 or float64."""
        return "float64" if self.compute_dtype == "float64" else "float32"
