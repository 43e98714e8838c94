"""Means over time of what happens inside of a converted network."""

import keras

from keras_spiking.conversion.graph import single
from keras_spiking.conversion.neurons import RateIFLayer
from keras_spiking.conversion.neurons import SignedIFLayer
from keras_spiking.layers.containers.single_step import SingleStep
from keras_spiking.layers.containers.step_by_step import StepByStep


def step_of(snn):
    """The Functional model that is the single step of a `SpikingModel`."""
    return snn.simulation.layers[0]


def neuron_layers(snn):
    """The layers of neurons, `SingleStep`s, in the order of the ANN."""
    return [
        layer
        for layer in step_of(snn).layers
        if isinstance(layer, SingleStep)
        and isinstance(layer.layer, (RateIFLayer, SignedIFLayer))
    ]


def means_over_time(snn, tensors, x, batch_size):
    """The means over time of tensors in the step.

    Args:
        snn: `SpikingModel`.
        tensors: List of tensors of `step_of(snn)`.
        x: List of arrays, one for each input.
        batch_size: Integer.

    Returns:
        List of arrays `(batch, ...)`, one for each tensor.
    """
    step = keras.Model(single(step_of(snn).inputs), single(tensors))
    steps = StepByStep(step, snn.timesteps, reduce="mean")
    model = keras.Model(snn.inputs, steps(snn.simulation.input))
    return keras.tree.flatten(model.predict(x, batch_size=batch_size, verbose=0))
