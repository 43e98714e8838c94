"""Which neurons receive what a synapse sends, as it shows when a model runs."""

from collections.abc import Callable
from collections.abc import Iterable

import keras
from keras import ops

from keras_spiking.inspection import hooks


def reached(
    run: Callable, synapse: keras.layers.Layer, neurons: Iterable[keras.layers.Layer]
) -> list[keras.layers.Layer]:
    """The neurons that receive the outputs of a synapse, through other layers or not.

    The synapse sends NaN, which passes all layers, and which no neuron hands on.
    Other inputs of neurons are to be less than 10,000.

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
            # Of NaN alone, TensorFlow's maximum is the lowest of all numbers.
            usual = ops.abs(ops.cast(inputs, "float32")) < 1e4
            if neuron not in found and not ops.convert_to_numpy(usual).all():
                found.append(neuron)
            inputs = ops.where(usual, inputs, ops.zeros_like(inputs))
            return call(inputs, *args, **kwargs)

        return hook

    around = [(synapse, "call", from_synapse)]
    around += [(neuron, "call", at_neuron(neuron)) for neuron in neurons]
    # The scope keeps what a call assigns, and it is dropped here.
    with keras.StatelessScope(), hooks.around(around):
        run()
    return found
