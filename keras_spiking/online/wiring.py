"""Which synapses feed which neurons, as it shows when a network runs."""

import functools
import math
from typing import Any

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

SYNAPSES = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)


def find_synapses(network: StepByStep, step_shape: tuple) -> dict:
    """The dense and convolutional layers that feed each layer of neurons.

    Args:
        network: Built `StepByStep`.
        step_shape: Shape of an input of one step.

    Returns:
        Dictionary from the names of neurons to lists of names of synapses, in the order
        of their calls. Those after all neurons are last, under `None`.

    Raises:
        ValueError: if anything but `SYNAPSES` is trained or feeds neurons,
            or if neurons see their neighbours.
    """
    layers = all_layers(network)
    known = {n: x for n, x in layers.items() if isinstance(x, SYNAPSES)}
    neurons = {n: x for n, x in layers.items() if isinstance(x, TemporalLayer)}
    _check_trained(network, known)
    synapses, pending, received = {}, {}, {}

    def at_synapse(name, call, x, *args, **kwargs):
        pending[name], received[name] = call(x, *args, **kwargs), x
        return pending[name]

    def at_neuron(name, call, inputs, *args, **kwargs):
        for synapse, outputs in pending.items():
            check_synapse(known[synapse])
            _check_product(known[synapse], received[synapse], outputs)
        if pending:
            _check_inputs(neurons[name], inputs[:, 0], pending)
            _check_neighbours(neurons[name], inputs[:, 0])
            _check_axes([known[synapse] for synapse in pending])
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
            pending.clear()
            _, states, _, _ = network.advance(x, None, states, weights)

    around = [(x, "call", functools.partial(at_synapse, n)) for n, x in known.items()]
    around += [(x, "call", functools.partial(at_neuron, n)) for n, x in neurons.items()]
    with backends.active().outside_of_tracing(), hooks.around(around):
        InCallContext(run)(ops.convert_to_tensor(inputs, "float32"), training=True)
    if not neurons or set(neurons) != set(synapses):
        raise ValueError(
            "EProp needs neurons over (batch, time, ...), called as such. "
            f"Received: {_names(set(neurons) - set(synapses) or layers)}"
        )
    synapses[None] = list(pending)
    return {name: found for name, found in synapses.items() if found}


def kernel(synapse: keras.layers.Layer) -> Any:
    """The matrix `(weights, outputs)` that `patches` are multiplied by."""
    weights = getattr(synapse, "standardized_kernel", synapse.kernel)
    return ops.reshape(weights, (-1, weights.shape[-1]))


def patches(synapse: keras.layers.Layer, x: Any) -> Any:
    """What each output of a synapse sees: `(batch, places, weights)`.

    A convolution is a dense layer at every place of its output.
    """
    if not isinstance(synapse, keras.layers.Dense):
        if has_channels_first(synapse):
            x = ops.moveaxis(x, 1, -1)
        size = (*synapse.kernel_size, x.shape[-1])
        eye = np.eye(math.prod(size)).reshape(*size, -1)
        x = ops.conv(
            x,
            ops.convert_to_tensor(eye, x.dtype),
            strides=synapse.strides,
            padding=synapse.padding,
            data_format="channels_last",
            dilation_rate=synapse.dilation_rate,
        )
    return ops.reshape(x, (ops.shape(x)[0], math.prod(x.shape[1:-1]), x.shape[-1]))


def has_channels_first(synapse: keras.layers.Layer) -> bool:
    return getattr(synapse, "data_format", None) == "channels_first"


def _check_trained(network, synapses):
    known = {id(v) for x in synapses.values() for v in x.trainable_variables}
    others = [v.path for v in network.trainable_variables if id(v) not in known]
    if others:
        raise ValueError(
            "EProp trains keras.layers.Dense, Conv1D, Conv2D and Conv3D only. Freeze "
            f"or leave out the layers of these weights. Received: {_names(others)}"
        )


def _check_product(synapse, x, outputs):
    """Whether a layer computes what its kernel and bias say."""
    known = getattr(synapse, "groups", 1) == 1
    if known and getattr(synapse, "padding", "same") in ("same", "valid"):
        x = ops.cast(patches(synapse, x), "float32")
        weights = ops.cast(kernel(synapse), "float32")
        y = ops.matmul(x, weights)
        y = y + ops.cast(synapse.bias, "float32") if synapse.use_bias else y
        if has_channels_first(synapse):
            outputs = ops.moveaxis(outputs, 1, -1)
        gap = ops.reshape(ops.cast(outputs, "float32"), ops.shape(y)) - y
        # As precise as sums in bfloat16 are.
        terms = ops.matmul(ops.abs(x), ops.abs(weights))
        if ops.max(ops.abs(gap)) <= 0.02 * ops.max(terms):
            return
    raise ValueError(
        "EProp needs synapses that multiply by their kernel: Dense, or convolutions "
        "with `groups=1` and `padding='same'` or `'valid'`. Received: "
        f"{type(synapse).__name__} '{synapse.name}'"
    )


def _check_axes(synapses):
    if len({has_channels_first(synapse) for synapse in synapses}) > 1:
        raise ValueError(
            "EProp needs the same `data_format` in all synapses of a layer of neurons. "
            f"Received: {_names(synapse.name for synapse in synapses)}"
        )


def _check_inputs(neuron, inputs, outputs):
    total = ops.cast(sum(outputs.values()), neuron.state_dtype)
    inputs = ops.cast(inputs, neuron.state_dtype)
    fits = tuple(total.shape) == tuple(inputs.shape)
    # As precise as bfloat16 is.
    if not fits or ops.max(ops.abs(total - inputs)) > 0.02 * ops.max(ops.abs(total)):
        raise ValueError(
            "EProp needs neurons whose input is the output of Dense or convolutional "
            "layers, or a sum of outputs, and nothing else in between. "
            f"Received: {type(neuron).__name__} '{neuron.name}' after "
            f"{_names(outputs)}"
        )


def _check_neighbours(neuron, inputs):
    def others(change):
        x = ops.cast(inputs, neuron.state_dtype)
        first = np.zeros(inputs.shape, neuron.state_dtype)
        first.reshape(len(first), -1)[:, 0] = change
        first = ops.convert_to_tensor(first)
        states = [s + first for s in neuron.get_initial_state(x)]
        outputs, states = neuron.step(x + first, states)
        found = [ops.convert_to_numpy(y) for y in (outputs, *states)]
        return [y.reshape(len(y), -1)[:, 1:] for y in found]

    if any(map(np.any, np.subtract(others(100.0), others(-100.0)))):
        raise ValueError(
            "EProp needs neurons that depend on each other by synapses only. "
            f"Received: {type(neuron).__name__} '{neuron.name}'"
        )


def _names(names):
    return ", ".join(map(repr, names))
