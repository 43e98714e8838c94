import functools
from typing import Any
from typing import Unpack

import keras

from keras_spiking.layers import streaming
from keras_spiking.layers.containers import contained
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.remat import as_pure_function
from keras_spiking.nested_config import with_objects


@keras.saving.register_keras_serializable("keras_spiking")
class Rematerialize(Layer):
    """Trains layers in less memory: what they remember is computed again.

    A training step keeps what the gradient of each layer needs: for neurons a
    membrane potential at every time step. Of the layers in here nothing is kept but
    their input; the backward pass runs them a second time. Outputs, gradients and
    moving averages stay the same.

    `keras.RematScope` does that for layers one by one; neurons and `SeqToBatch` made
    inside a scope work on every backend. Layers of Keras that take `training`, as
    batch normalisation does, do not, in any model: JAX and the graphs of TensorFlow
    refuse them, and PyTorch moves their averages twice. Make them outside the
    scope and only the `SeqToBatch` that holds them inside, or use this layer. Give it
    blocks that start where there is little to keep, such as after pooling.

    XLA merges the second computation with the first one on CPUs: JAX saves memory
    on accelerators only.

    Args:
        layer: Keras layer or model, or a list of them, which are applied one after
            the other.
        more: Further layers, as if they stood in the list.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor, the input of the first layer.
        mask: Boolean tensor `(batch, time)`.
        training: Boolean. Outside training there is nothing to remember.

    Input shape:
        As the first layer's.

    Output shape:
        As the last layer's.

    Raises:
        ValueError: in a training inside a `StepByStep`, whose layers hand on
            their state. Put the `StepByStep` into the `Rematerialize` instead.

    Example:

    >>> layer = keras_spiking.layers.Rematerialize(
    ...     [
    ...         keras_spiking.layers.SeqToBatch(keras.layers.Conv2D(8, 3)),
    ...         keras_spiking.layers.LIFLayer(),
    ...     ]
    ... )
    >>> tuple(layer(keras.ops.ones((2, 4, 10, 10, 1))).shape)
    (2, 4, 8, 8, 8)

    References:
        - [Chen et al., 2016](https://arxiv.org/abs/1604.06174)
    """

    def __init__(self, layer: Any, *more: Any, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        layers = contained.as_list([layer, *more], "Rematerialize")
        self.block = keras.Sequential(layers)
        self.supports_masking = True

    @property
    def layers(self):
        return self.block.layers

    def build(self, input_shape):
        self.block.build(input_shape)

    def call(self, inputs, mask=None, training=None):
        if not training:
            return self.block(inputs, mask=mask)
        if streaming.is_streaming():
            raise ValueError(
                f"Rematerialize '{self.name}' cannot be trained inside a "
                "StepByStep: put the StepByStep into a Rematerialize."
            )
        call = functools.partial(self.block, mask=mask, training=True)
        return as_pure_function(self.block, call, keras.remat)(inputs)

    def compute_output_shape(self, input_shape):
        return self.block.compute_output_shape(input_shape)

    def compute_mask(self, inputs, mask=None):
        return self.block.compute_mask(inputs, mask)

    def get_config(self):
        return {**super().get_config(), "layer": contained.serialize(self.layers)}

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "layer"))
