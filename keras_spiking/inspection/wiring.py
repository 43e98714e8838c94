"""Which neurons receive what a synapse sends, as it shows when a model runs."""

from collections.abc import Callable
from collections.abc import Iterable

import keras
import numpy as np
from keras import ops

from keras_spiking.inspection import hooks


def reached(
    run: Callable, synapse: keras.layers.Layer, neurons: Iterable[keras.layers.Layer]
) -> list[keras.layers.Layer]:
    """The neurons that receive the outputs of a synapse, through other layers or not.

    The synapse sends NaN, which passes all layers, and which no neuron hands on.

    Args:
        run: Function of no arguments that calls the model.
        synapse: Layer of the model.
        neurons: Layers of the model.
    """
    found = []

    def from_synapse(call, *args, **kwargs):
        return call(*args, **kwargs) * float("nan")

    def at_neuron(neuron):
        def hook(call, inputs, *args, **kwargs):
            sent = np.isnan(ops.convert_to_numpy(inputs))
            if sent.any() and neuron not in found:
                found.append(neuron)
            inputs = ops.where(ops.isnan(inputs), ops.zeros_like(inputs), inputs)
            return call(inputs, *args, **kwargs)

        return hook

    around = [(synapse, "call", from_synapse)]
    around += [(neuron, "call", at_neuron(neuron)) for neuron in neurons]
    # The scope keeps what a call assigns, and it is dropped here.
    with keras.StatelessScope(), hooks.around(around):
        run()
    return found
