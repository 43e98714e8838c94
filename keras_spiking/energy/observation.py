"""A model runs once, and what reaches its weights and leaves its neurons is shown.

It runs step by step in plain operations, so that every tensor has values where it
appears, also within loops that are compiled otherwise, and nothing has to be assembled.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking.energy.fan_out import CELLS
from keras_spiking.energy.fan_out import SEPARABLE
from keras_spiking.energy.fan_out import is_counted
from keras_spiking.inspection import hooks
from keras_spiking.inspection.selection import all_layers
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.layers.containers.single_step import SingleStep
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.time_loop import unrolled

_RECTIFIERS = (keras.layers.ReLU, keras.layers.Activation)


def observe(
    model: keras.layers.Layer, x: Any, at_synapses: Callable, at_neurons: Callable
) -> Any:
    """Runs `model(x, training=False)`. All variables stay as they are.

    Args:
        model: Keras model.
        x: Its inputs, a structure of arrays.
        at_synapses: Function `(name, layer, part, inputs)`, called with an array for
            each use of a layer's weights, see `fan_out`.
        at_neurons: Function `(name, layer, outputs, has_time)`, called with an array
            for each call of neurons and other layers with a state, and of layers that
            are only an activation.

    Returns:
        The outputs of the model.
    """
    known = all_layers(model)
    single = {id(x.layer): x for x in known.values() if isinstance(x, SingleStep)}
    around, watched = [], []
    for name, layer in known.items():
        if is_counted(layer):
            hook = functools.partial(_at_synapses, at_synapses, name, layer)
            # Layers that Keras has quantised are called by the other name.
            around += [(layer, method, hook) for method in ("call", "quantized_call")]
        elif id(layer) in single:
            note = functools.partial(at_neurons, name, layer, has_time=False)
            around.append((single[id(layer)], "call", _Outputs(note)))
        elif isinstance(layer, TemporalLayer) or is_spiking(layer):
            outputs = _Outputs(
                functools.partial(at_neurons, name, layer, has_time=True)
            )
            around.append((layer, "call", outputs))
            if hasattr(layer, "run_steps"):
                around.append((layer, "run_steps", outputs.of_all_steps))
        elif isinstance(layer, _RECTIFIERS):
            note = functools.partial(at_neurons, name, layer, has_time=False)
            around.append((layer, "call", _Outputs(note)))
        elif isinstance(layer, keras.layers.RNN):
            watched.append(layer)
    around = [hook for hook in around if hasattr(hook[0], hook[1])]
    # The scope keeps what a call assigns, and it is dropped here.
    with unrolled(), _unrolled_keras(watched), hooks.around(around):
        with keras.StatelessScope():
            return model(
                keras.tree.map_structure(ops.convert_to_tensor, x), training=False
            )


def to_array(x: Any) -> np.ndarray:
    """A tensor as an array; one of half precision as float32."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return ops.convert_to_numpy(ops.cast(x, "float32") if "16" in dtype else x)


def _at_synapses(note, name, layer, call, x, *args, **kwargs):
    if isinstance(layer, CELLS):
        note(name, layer, "kernel", to_array(x))
        states = args[0] if args else kwargs["states"]
        state = states[0] if isinstance(states, (list, tuple)) else states
        note(name, layer, "recurrent_kernel", to_array(state))
    else:
        note(name, layer, "kernel", to_array(x))
    if isinstance(layer, SEPARABLE):
        middle = _depthwise(layer, x)
        note(name, layer, "pointwise_kernel", to_array(middle))
    return call(x, *args, **kwargs)


def _depthwise(layer, x):
    y = ops.depthwise_conv(
        ops.cast(x, layer.compute_dtype),
        ops.cast(layer.depthwise_kernel, layer.compute_dtype),
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
    )
    return y if layer.data_format == "channels_last" else ops.moveaxis(y, 1, -1)


class _Outputs:
    """A hook around `call` that shows the outputs of all steps, if there are more than
    are returned."""

    def __init__(self, note):
        self.note = note
        self.noted = False

    def __call__(self, call, *args, **kwargs):
        self.noted = False
        outputs = call(*args, **kwargs)
        if not self.noted:
            first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
            self.note(to_array(first))
        return outputs

    def of_all_steps(self, run_steps, *args, **kwargs):
        outputs, states = run_steps(*args, **kwargs)
        self.note(to_array(outputs))
        self.noted = True
        return outputs, states


@contextlib.contextmanager
def _unrolled_keras(layers):
    """Lets Keras's recurrent layers loop in Python, cell by cell."""
    names = ("unroll", "use_cudnn")
    before = [(x, n, getattr(x, n)) for x in layers for n in names if hasattr(x, n)]
    for layer, name, _ in before:
        setattr(layer, name, name == "unroll")
    try:
        yield
    finally:
        for layer, name, value in before:
            setattr(layer, name, value)
