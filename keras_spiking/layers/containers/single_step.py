from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.containers import contained
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.nested_config import with_objects
from keras_spiking.ops.time_loop import masked


@keras.saving.register_keras_serializable("keras_spiking")
class SingleStep(Layer):
    """Makes one time step of a temporal layer a layer over `(batch, ...)`.

    With it, a model without a time axis can hold spiking neurons: its single
    step. `StepByStep` calls such a model once for every time step and keeps the
    states in between; every call outside `StepByStep` starts afresh.

    Args:
        layer: `TemporalLayer` whose step keeps the shape of its input.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, ...)`.
        mask: Boolean tensor `(batch,)`. Masked samples emit no spike and hold
            their state.

    Input shape:
        `(batch, ...)`.

    Output shape:
        As the input.

    Raises:
        TypeError: if `layer` is not a `TemporalLayer`.

    Example:

    >>> inputs = keras.Input((5,))
    >>> neurons = keras_spiking.layers.IFLayer(v_threshold=2.0)
    >>> outputs = keras_spiking.layers.SingleStep(neurons)(inputs)
    >>> network = keras_spiking.layers.StepByStep(
    ...     keras.Model(inputs, outputs), timesteps=100, reduce="mean"
    ... )
    >>> float(network(keras.ops.ones((1, 5)))[0, 0])
    0.5
    """

    has_time_axis = False

    def __init__(self, layer: TemporalLayer, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        if not isinstance(layer, TemporalLayer):
            raise TypeError(
                "SingleStep takes a layer with a single step, such as LIFLayer. "
                f"Received: layer={layer!r}"
            )
        self.layer = layer
        self.supports_masking = True

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build((input_shape[0], 1, *input_shape[1:]))
            self.layer.built = True

    def call(self, inputs, mask=None):
        x = ops.cast(inputs, self.layer.state_dtype)
        slot = streaming.Slot()
        states = slot.previous
        if states is None:
            states = self.layer.get_initial_state(x)
        if mask is None:
            outputs, states = self.layer.step(x, states)
        else:
            mask = ops.cast(mask, "bool")
            outputs, states = masked(self.layer.step)((x, mask), states)
        slot.put(states)
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        return {**config, "layer": contained.serialize([self.layer])[0]}

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "layer"))
