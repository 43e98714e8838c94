"""Builds the spiking network."""

import keras
from keras import layers

from keras_spiking.conversion import rules
from keras_spiking.conversion.cumulative_maximum import CumulativeMaximum
from keras_spiking.conversion.differences import Differences
from keras_spiking.conversion.folding import copy_layer
from keras_spiking.conversion.graph import run
from keras_spiking.conversion.graph import single
from keras_spiking.conversion.rules import Rectifier
from keras_spiking.conversion.running_mean import RunningMean
from keras_spiking.conversion.spiking_model import SpikingModel
from keras_spiking.layers.containers.single_step import SingleStep
from keras_spiking.layers.containers.step_by_step import StepByStep


def build(graph, neurons, encoders, timesteps, delay, name):
    """The spiking network of a graph: what stays the same in all steps, then the
    simulation, then the activations of outputs.

    All operations are copied before they enter the model, since a symbolic call
    leaves traces, and a graph may be built again.

    Args:
        graph: Graph that `folding.prepare` has prepared.
        neurons: Dictionary from names of calls to the layers that replace them.
        encoders: List of layers, one for each input, that encode one step of it,
            or `None` to present the inputs as they are.
        timesteps: Integer, number of time steps.
        delay: Integer, number of steps that the readout leaves out.
        name: String, the name of the ANN.
    """
    before, spiking, heads = split(graph, static=encoders is None)
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name),
        graph.inputs,
    )
    flat = keras.tree.flatten(graph.inputs)
    values = {id(x): y for x, y in zip(flat, keras.tree.flatten(inputs))}
    names = _output_names(graph)

    def outside(call):
        clashes = call.name in names
        name = f"{call.name}_operation" if clashes else call.name
        return copy_layer(call.operation, name=name)

    run(before, values, outside)

    leaving = _taken(heads, keras.tree.flatten(graph.outputs))
    entering = _taken(spiking, leaving)
    step_inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in entering]
    inner = {id(x): y for x, y in zip(entering, step_inputs)}
    if encoders is not None:
        encoder_of = {id(x): encoder for x, encoder in zip(flat, encoders)}
        for x in entering:
            inner[id(x)] = copy_layer(encoder_of[id(x)])(inner[id(x)])

    def inside(call):
        if isinstance(call.operation, Rectifier):
            return SingleStep(copy_layer(neurons[call.name]), name=call.name)
        if rules.is_maximum(call):
            return CumulativeMaximum(copy_layer(call.operation), name=call.name)
        if rules.is_function(call):
            return _differences(call)
        layer = copy_layer(call.operation)
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False  # so that statistics stay as they are
        return layer

    run(spiking, inner, inside)
    means = [SingleStep(RunningMean(delay))(inner[id(x)]) for x in leaving]
    step = keras.Model(single(step_inputs), single(means), name="step")
    simulation = StepByStep(step, timesteps, reduce="last", name="simulation")
    results = simulation(single([values[id(x)] for x in entering]))
    values.update({id(x): y for x, y in zip(leaving, keras.tree.flatten(results))})

    run(heads, values, outside)
    outputs = [
        layers.Identity(name=name)(values[id(x)])
        for x, name in zip(keras.tree.flatten(graph.outputs), names)
    ]
    outputs = keras.tree.pack_sequence_as(graph.outputs, outputs)
    return SpikingModel(inputs, outputs, name=f"spiking_{name}")


def _differences(call):
    """What computes the function of a call in each step, to call in its place."""
    tensors = list({id(x): x for x in call.inputs}.values())
    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in tensors]
    values = {id(x): y for x, y in zip(tensors, inputs)}
    run([call], values, lambda call: copy_layer(call.operation))
    function = keras.Model(single(inputs), values[id(call.outputs[0])])
    layer = Differences(function, name=call.name)

    def compute(*args, **kwargs):
        arguments = keras.tree.flatten((args, kwargs))
        symbols = [x for x in arguments if isinstance(x, keras.KerasTensor)]
        return layer(single(list({id(x): x for x in symbols}.values())))

    return compute


def split(graph, static=True):
    """The calls before the first neurons, the spiking part, and the heads."""
    before, spiking, heads = [], [], []
    constant = {id(x) for x in keras.tree.flatten(graph.inputs)} if static else set()
    for call in graph.calls:
        if isinstance(call.operation, Rectifier):
            spiking.append(call)
        elif rules.is_head(graph, call):
            heads.append(call)
        elif all(id(x) in constant for x in call.inputs):
            before.append(call)
            constant.update(id(x) for x in call.outputs)
        else:
            spiking.append(call)
    return before, spiking, heads


def _taken(calls, outputs):
    """The tensors that calls take from outside, to return `outputs`."""
    inner = {id(x) for call in calls for x in call.outputs}
    needed = [x for call in calls for x in call.inputs] + outputs
    return list({id(x): x for x in needed if id(x) not in inner}.values())


def _output_names(graph):
    """The ANN's, changed where an input or another output has the name already."""
    taken = [x.name for x in keras.tree.flatten(graph.inputs)]
    inputs = len(taken)
    for name in graph.output_names:
        while name in taken:
            name = f"{name}_output"
        taken.append(name)
    return taken[inputs:]
