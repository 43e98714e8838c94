from typing import Unpack

import keras

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.regularization.dropout import Dropout
from keras_spiking.nested_config import with_objects
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number
from keras_spiking.validation import check_seed


@keras.saving.register_keras_serializable("keras_spiking")
class StackedRNN(Layer):
    """Recurrent layers one after the other, with dropout in between.

    Args:
        cells: List of cells, such as `SpikingLSTMCell`, one for each layer.
        dropout: Float in [0, 1), the fraction of units that is dropped between two
            layers in training. Defaults to `0.0`.
        invariant_dropout: Boolean, whether the same units are dropped at all time
            steps. Defaults to `False`.
        bidirectional: Boolean, whether each layer also reads the sequence backwards,
            by a second cell of the same configuration; the outputs of both are
            concatenated. Defaults to `False`.
        return_sequences: Boolean, whether to return the outputs of all steps or of
            the last one. Defaults to `True`.
        return_state: Boolean, whether to return the final states in addition.
            Defaults to `False`.
        seed: Integer or `None`, for dropout. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, features)`.
        initial_state: List of tensors `(batch, units)`, in the order in which
            `return_state=True` returns them: those of the first layer, forwards and
            then backwards, those of the second, and so on.
        training: Boolean, whether units are dropped.
        mask: Boolean tensor `(batch, time)`, as in `keras.layers.RNN`.

    Input shape:
        `(batch, time, features)`.

    Output shape:
        `(batch, time, units)`, `(batch, time, 2 units)` if bidirectional; without the
        time axis if `return_sequences=False`.

    Raises:
        TypeError: if `cells` is not a list of cells.

    Example:

    >>> cells = [keras_spiking.layers.SpikingLSTMCell(8) for _ in range(2)]
    >>> layer = keras_spiking.layers.StackedRNN(
    ...     cells, dropout=0.5, invariant_dropout=True, bidirectional=True
    ... )
    >>> tuple(layer(keras.ops.ones((2, 5, 4)), training=True).shape)
    (2, 5, 16)

    References:
        - [Lotfi Rezaabad and Vishwanath, 2020](https://arxiv.org/abs/2007.06176)
    """

    has_time_axis = True

    def __init__(
        self,
        cells: list,
        *,
        dropout: float = 0.0,
        invariant_dropout: bool = False,
        bidirectional: bool = False,
        return_sequences: bool = True,
        return_state: bool = False,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        is_list = isinstance(cells, (list, tuple)) and len(cells) > 0
        if not is_list or not all(hasattr(c, "state_size") for c in cells):
            raise TypeError(
                "`cells` must be a list of recurrent cells, such as "
                f"[SpikingLSTMCell(8), SpikingLSTMCell(8)]. Received: cells={cells!r}"
            )
        self.cells = list(cells)
        self.dropout = check_number("dropout", dropout, minimum=0.0, below=1.0)
        self.invariant_dropout = check_bool("invariant_dropout", invariant_dropout)
        self.bidirectional = check_bool("bidirectional", bidirectional)
        self.return_sequences = check_bool("return_sequences", return_sequences)
        self.return_state = check_bool("return_state", return_state)
        self.seed = check_seed(seed)
        self.supports_masking = True
        self.layers = [self._layer(i, cell) for i, cell in enumerate(self.cells)]
        make = Dropout if self.invariant_dropout else keras.layers.Dropout
        seeds = [None if seed is None else seed + i for i in range(len(cells) - 1)]
        self.dropouts = [make(self.dropout, seed=s) for s in seeds]

    def _layer(self, i, cell):
        last = i == len(self.cells) - 1
        returns = {"return_sequences": self.return_sequences or not last}
        layer = keras.layers.RNN(
            cell, return_state=True, dtype=self.dtype_policy, **returns
        )
        if not self.bidirectional:
            return layer
        return keras.layers.Bidirectional(layer, dtype=self.dtype_policy)

    @property
    def removes_time_axis(self):
        """Whether the output has no time axis any more."""
        return not self.return_sequences

    def build(self, input_shape):
        for layer, cell in zip(self.layers, self.cells):
            layer.build(input_shape)
            width = cell.output_size * (2 if self.bidirectional else 1)
            input_shape = (*input_shape[:2], width)

    def call(self, inputs, initial_state=None, training=False, mask=None):
        given = None if initial_state is None else keras.tree.flatten(initial_state)
        states, y = [], inputs
        for i, layer in enumerate(self.layers):
            start = None
            if given is not None:
                size = self._state_count(self.cells[i])
                start, given = given[:size], given[size:]
            if i > 0:
                y = self.dropouts[i - 1](y, training=training)
            y, *after = layer(y, initial_state=start, training=training, mask=mask)
            states += after
        return (y, *states) if self.return_state else y

    def _state_count(self, cell):
        count = len(keras.tree.flatten(cell.state_size))
        return count * (2 if self.bidirectional else 1)

    def compute_output_shape(self, input_shape):
        directions = 2 if self.bidirectional else 1
        batch, time = input_shape[:2]
        output = (batch, directions * self.cells[-1].output_size)
        if self.return_sequences:
            output = (batch, time, output[1])
        if not self.return_state:
            return output
        states = [
            (batch, size)
            for cell in self.cells
            for size in keras.tree.flatten(cell.state_size) * directions
        ]
        return (output, *states)

    def compute_output_spec(self, inputs, initial_state=None, training=None, mask=None):
        shapes = self.compute_output_shape(inputs.shape)
        if not self.return_state:
            return keras.KerasTensor(shapes, dtype=self.compute_dtype)
        return tuple(keras.KerasTensor(s, dtype=self.compute_dtype) for s in shapes)

    def compute_mask(self, inputs, mask=None):
        mask = keras.tree.flatten(mask)[0] if self.return_sequences else None
        if not self.return_state:
            return mask
        states = sum(self._state_count(cell) for cell in self.cells)
        return [mask] + [None] * states

    def get_config(self):
        return {
            **super().get_config(),
            "cells": [keras.saving.serialize_keras_object(c) for c in self.cells],
            "dropout": self.dropout,
            "invariant_dropout": self.invariant_dropout,
            "bidirectional": self.bidirectional,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "cells"))
