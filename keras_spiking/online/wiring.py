"""Which synapses feed which neurons, as it shows when a network runs."""

import functools

import keras
import numpy as np
from keras import ops

from keras_spiking import backends
from keras_spiking.inspection import hooks
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.learning.learner import check_synapse
from keras_spiking.online.online_model import InCallContext


def find_synapses(network: StepByStep, step_shape: tuple) -> dict[str, list[str]]:
    """The `Dense` layers that feed each layer of neurons.

    Args:
        network: Built `StepByStep`.
        step_shape: Shape of an input of one step.

    Returns:
        Dictionary from the names of neurons to lists of names of synapses.

    Raises:
        ValueError: if anything but `Dense` layers is trained or feeds neurons,
            or if neurons see their neighbours.
    """
    layers = all_layers(network)
    dense = {n: x for n, x in layers.items() if isinstance(x, keras.layers.Dense)}
    neurons = {n: x for n, x in layers.items() if isinstance(x, TemporalLayer)}
    _check_trained(network, dense)
    synapses, pending = {}, {}

    def at_dense(name, call, *args, **kwargs):
        pending[name] = call(*args, **kwargs)
        return pending[name]

    def at_neuron(name, call, inputs, *args, **kwargs):
        if pending:
            for synapse in pending:
                check_synapse(dense[synapse])
            _check_inputs(neurons[name], inputs[:, 0], pending)
            _check_neighbours(neurons[name], inputs[:, 0])
        synapses[name] = list(pending)
        pending.clear()
        return call(inputs, *args, **kwargs)

    # Whatever the weights are. Inputs are large, so that neurons fire and feed
    # others in the second step.
    random = np.random.default_rng(0)
    values = [(v, random.uniform(1.0, 2.0, v.shape)) for v in network.variables]
    inputs = random.uniform(-100.0, 100.0, step_shape)

    def run(x):
        weights = [(v, ops.convert_to_tensor(value, v.dtype)) for v, value in values]
        states = None
        for _ in range(2):
            _, states, _, _ = network.advance(x, None, states, weights)
            pending.clear()

    around = [(x, "call", functools.partial(at_dense, n)) for n, x in dense.items()]
    around += [(x, "call", functools.partial(at_neuron, n)) for n, x in neurons.items()]
    with backends.active().outside_of_tracing(), hooks.around(around):
        InCallContext(run)(ops.convert_to_tensor(inputs, "float32"), training=True)
    if not neurons or set(neurons) != set(synapses):
        raise ValueError(
            "EProp needs neurons over (batch, time, ...), called as such. "
            f"Received: {_names(set(neurons) - set(synapses) or layers)}"
        )
    return {name: found for name, found in synapses.items() if found}


def _check_trained(network, dense):
    known = {id(v) for x in dense.values() for v in x.trainable_variables}
    others = [v.path for v in network.trainable_variables if id(v) not in known]
    if others:
        raise ValueError(
            "EProp trains keras.layers.Dense only. Freeze or leave out the layers "
            f"of these weights. Received: {_names(others)}"
        )


def _check_inputs(neuron, inputs, outputs):
    total = ops.cast(sum(outputs.values()), neuron.state_dtype)
    inputs = ops.cast(inputs, neuron.state_dtype)
    fits = len(inputs.shape) == 2 and tuple(total.shape) == tuple(inputs.shape)
    # As precise as bfloat16 is.
    if not fits or ops.max(ops.abs(total - inputs)) > 0.02 * ops.max(ops.abs(total)):
        raise ValueError(
            "EProp needs neurons whose input (batch, time, features) is the output "
            "of Dense layers, or a sum of outputs, and nothing else in between. "
            f"Received: {type(neuron).__name__} '{neuron.name}' after "
            f"{_names(outputs)}"
        )


def _check_neighbours(neuron, inputs):
    def others(change):
        x = ops.cast(inputs, neuron.state_dtype)
        first = np.zeros(inputs.shape, neuron.state_dtype)
        first[:, 0] = change
        first = ops.convert_to_tensor(first)
        states = [s + first for s in neuron.get_initial_state(x)]
        outputs, states = neuron.step(x + first, states)
        return [ops.convert_to_numpy(y)[:, 1:] for y in (outputs, *states)]

    if any(map(np.any, np.subtract(others(100.0), others(-100.0)))):
        raise ValueError(
            "EProp needs neurons that depend on each other by synapses only. "
            f"Received: {type(neuron).__name__} '{neuron.name}'"
        )


def _names(names):
    return ", ".join(map(repr, names))
