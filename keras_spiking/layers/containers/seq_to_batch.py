from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.backends import active
from keras_spiking.layers.containers import contained
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.mistakes import warn_of_dropout
from keras_spiking.layers.options import LayerOptions
from keras_spiking.nested_config import with_objects
from keras_spiking.validation import check_mask
from keras_spiking.validation import check_time_axis


@keras.saving.register_keras_serializable("keras_spiking")
class SeqToBatch(Layer):
    """Applies layers to every time step at once, by folding time into the batch.

    `(batch, time, ...)` is reshaped to `(batch * time, ...)`, goes through the
    layers, and is reshaped back. For layers without a state that is the same as
    applying them step by step, and faster. Batch normalisation takes its
    statistics over batch and time.

    Args:
        layer: Keras layer or model without a state over time, or a list of them,
            which are applied one after the other.
        more: Further layers, as if they stood in the list.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        mask: Boolean tensor `(batch, time)`. Layers that take a mask, such as
            batch normalisation, get it with time folded into the batch.
        training: Boolean, passed on to the layers.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        `(batch, time, ...)`, features as the last layer returns them.

    Raises:
        ValueError: if a layer works over time itself.

    Example:

    >>> layer = keras_spiking.layers.SeqToBatch(
    ...     [keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization()]
    ... )
    >>> tuple(layer(keras.ops.ones((2, 4, 10, 10, 1))).shape)
    (2, 4, 8, 8, 8)
    """

    has_time_axis = True

    def __init__(self, layer: Any, *more: Any, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.layers = contained.as_list([layer, *more], "SeqToBatch")
        for layer in self.layers:
            if contained.has_time_axis(layer):
                raise ValueError(
                    f"SeqToBatch cannot hold the {type(layer).__name__} "
                    f"'{layer.name}', which works over time: inside, every time "
                    "step looks like another sample. Place it before or after "
                    "the SeqToBatch, or use StepByStep."
                )
        warn_of_dropout(self.layers, stacklevel=3)
        self.supports_masking = True

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs, mask=None, training=None):
        check_time_axis(self, inputs.shape)
        check_mask(self, inputs.shape, mask)
        if mask is not None:
            mask = ops.reshape(ops.cast(mask, "bool"), (-1,))
        batch, time, *features = ops.shape(inputs)
        x = active().reshape(inputs, (-1, *features))
        x = contained.call_all(self.layers, x, mask, training)
        if inputs.shape[1] is not None:
            batch = -1
        return active().reshape(x, (batch, time, *ops.shape(x)[1:]))

    def compute_output_shape(self, input_shape):
        check_time_axis(self, input_shape)
        # Calling the layers with a symbolic step builds them.
        x = keras.KerasTensor((None, *input_shape[2:]), dtype=self.compute_dtype)
        for layer in self.layers:
            x = layer(x)
        return (*input_shape[:2], *x.shape[1:])

    def get_config(self):
        config = super().get_config()
        return {**config, "layer": contained.serialize(self.layers)}

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "layer"))
