from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.options import LayerOptions
from keras_spiking.nested_config import with_objects
from keras_spiking.validation import check_keywords


@keras.saving.register_keras_serializable("keras_spiking")
class CumulativeMaximum(keras.layers.Layer):
    """Max pooling over spikes: passes on the growth of the largest sum.

        A[t] = A[t-1] + X[t]
        Y[t] = max(A[t]) - max(A[t-1])

    where `max` is the wrapped pooling. The outputs of all steps up to `t` add up
    to `max(A[t])`: their mean is the maximum of the mean inputs, exactly, after
    every number of steps. Spikes of one size come out as spikes of this size. It
    runs inside of a `StepByStep`, one step at a time.

    Args:
        layer: Keras layer or operation that takes the maximum, such as
            `MaxPooling2D` or `Maximum`.

    Call arguments:
        inputs: Tensor `(batch, ...)`, or a list of these.

    Input shape:
        As the layer's.

    Output shape:
        As the layer's.

    Example:

    >>> inputs = keras.Input((4, 1))
    >>> pooling = keras.layers.MaxPooling1D(2)
    >>> outputs = keras_spiking.conversion.CumulativeMaximum(pooling)(inputs)
    >>> outputs.shape
    (None, 2, 1)
    """

    def __init__(self, layer: keras.Operation, **kwargs: Unpack[LayerOptions]):
        check_keywords(type(self), kwargs)
        super().__init__(**kwargs)
        if not isinstance(layer, keras.Operation):
            raise TypeError(
                "`layer` must be a Keras layer, such as MaxPooling2D. Received: "
                f"layer={layer!r} (of type {type(layer).__name__})"
            )
        self.layer = layer

    def call(self, inputs):
        slot = streaming.Slot()
        sums, before = inputs, 0.0
        if slot.previous is not None:
            sums, before = slot.previous
            sums = keras.tree.map_structure(ops.add, sums, inputs)
        largest = self.layer(sums)
        slot.put((sums, largest))
        return largest - before

    def compute_output_spec(self, inputs):
        return self.layer.compute_output_spec(inputs)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "layer"))
