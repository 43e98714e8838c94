"""OpenVINO: inference only, in graphs that its runtime compiles.

It runs the reference in `keras.ops`, in float32 where layers ask for float32.
"""

import functools

import keras
import openvino
import openvino.opset16 as opset
from keras import ops
from openvino import Type

from keras_spiking.backends.backend import Backend


class OpenVINO(Backend):
    unrolled_steps = 16

    def prepare(self):
        super().prepare()
        openvino.compile_model = compile_in_float32

    def loop(self, step, inputs, states, timesteps):
        return _loop(step, inputs, states, timesteps)

    def require(self, condition, message, tensors):
        if _is_symbolic(condition.output):
            return tensors  # compiled graphs cannot raise
        return super().require(condition, message, tensors)


compile_model = openvino.compile_model


@functools.wraps(compile_model)
def compile_in_float32(model, device_name="AUTO", config=None):
    config = {"INFERENCE_PRECISION_HINT": "f32", **(config or {})}
    return compile_model(model, device_name, config)


def _is_symbolic(output):
    """Whether it depends on inputs, whose values are not known yet."""
    return any(
        node.get_type_name() == "Parameter" for node in _ancestors([output.get_node()])
    )


def _ancestors(nodes, oldest=0):
    """The nodes and all that they depend on, as far as they are not older."""
    found, ahead = {}, list(nodes)
    while ahead:
        node = ahead.pop()
        number = node.get_instance_id()
        if number >= oldest and number not in found:
            found[number] = node
            ahead += [value.get_node() for value in node.input_values()]
    return list(found.values())


def _loop(step, inputs, states, timesteps):
    """A `Loop`, whose body is one time step.

    `keras.ops.scan` unrolls, and to compile a hundred steps takes seconds.
    """
    sequences = [x.output for x in keras.tree.flatten(inputs)]
    states = keras.tree.map_structure(ops.convert_to_tensor, states)
    before = [state.output for state in keras.tree.flatten(states)]
    axis = opset.constant([1], Type.i32)

    carried = [_parameter(state, state.get_partial_shape()) for state in before]
    slices = []
    for x in sequences:
        shape = x.get_partial_shape()
        shape[1] = 1
        slices.append(_parameter(x, shape))
    own = [*slices, *carried]
    xs = [_tensor(opset.squeeze(slice, axis)) for slice in slices]
    y, new = step(
        keras.tree.pack_sequence_as(inputs, xs),
        keras.tree.pack_sequence_as(states, [_tensor(state) for state in carried]),
    )
    y, new = keras.tree.map_structure(ops.convert_to_tensor, (y, new))
    outputs = [
        opset.result(opset.unsqueeze(x.output, axis)) for x in keras.tree.flatten(y)
    ]
    after = [opset.result(state.output) for state in keras.tree.flatten(new)]
    goes_on = opset.result(opset.constant(True))
    results = [goes_on, *outputs, *after]
    outside = _import(results, min(p.get_instance_id() for p in own))

    if timesteps is None:
        shape = opset.shape_of(sequences[0], Type.i32)
        timesteps = opset.gather(shape, opset.constant(1, Type.i32), opset.constant(0, Type.i32))
    else:
        timesteps = opset.constant(timesteps, Type.i32)
    loop = opset.loop(timesteps, opset.constant(True))
    loop.set_function(openvino.Model(results, [*own, *outside]))
    loop.set_special_body_ports([-1, 0])
    for parameter, x in zip(slices, sequences):
        loop.set_sliced_input(parameter, x, 0, 1, 1, -1, 1)
    for parameter, first, result in zip(carried, before, after):
        loop.set_merged_input(parameter, first, result.output(0))
    for parameter, value in outside.items():
        loop.set_invariant_input(parameter, value)
    stacked = [
        _tensor(loop.get_concatenated_slices(result.output(0), 0, 1, 1, -1, 1))
        for result in outputs
    ]
    final = [_tensor(loop.get_iter_value(result.output(0), -1)) for result in after]
    stacked = keras.tree.pack_sequence_as(y, stacked)
    return stacked, keras.tree.pack_sequence_as(new, final)


def _import(results, oldest):
    """Gives a body what it reads from outside as parameters: `{parameter: value}`.

    Args:
        results: List of nodes.
        oldest: Integer, the number of the body's first node: nodes are numbered.
    """
    parameters, values = {}, {}
    for node in _ancestors(results, oldest):
        for input in node.inputs():
            value = input.get_source_output()
            source = value.get_node()
            number = source.get_instance_id()
            if number >= oldest or source.get_type_name() == "Constant":
                continue
            key = number, value.get_index()
            if key not in parameters:
                parameters[key] = _parameter(value, value.get_partial_shape())
                values[key] = value
            input.replace_source_output(parameters[key].output(0))
    return {parameters[key]: values[key] for key in values}


def _parameter(output, shape):
    return opset.parameter(shape, output.get_element_type())


def _tensor(node):
    return ops.convert_to_tensor(node if hasattr(node, "get_node") else node.output(0))


BACKEND = OpenVINO("openvino")
