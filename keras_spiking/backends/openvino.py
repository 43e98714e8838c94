"""OpenVINO: inference only, in graphs that its runtime compiles.

The reference runs, in `keras.ops`. What is different here: numbers stay float32 on
processors that have bfloat16, a loop over time is one operation, and random numbers are
drawn when a graph runs, not when it is made.
"""

import functools
import math
import random

import keras
import openvino
import openvino.opset16 as opset
from keras import ops
from openvino import Type

from keras_spiking.backends.backend import Backend
from keras_spiking.keras_version import KERAS_VERSION

if KERAS_VERSION < (3, 14):
    raise ImportError(
        f"Keras {keras.__version__} lacks operations on OpenVINO that neurons need, "
        "`unstack` for one: pip install 'keras>=3.14'"
    )

_compile_model = openvino.compile_model


@functools.wraps(_compile_model)
def compile_in_float32(model, device_name="AUTO", config=None):
    """`openvino.compile_model`, which takes bfloat16 for float32 where it can.

    Rounded that much, potentials cross thresholds that they do not reach.
    """
    config = {"INFERENCE_PRECISION_HINT": "f32", **(config or {})}
    return _compile_model(model, device_name, config)


openvino.compile_model = compile_in_float32  # Keras has no argument for it


class OpenVINO(Backend):
    # Unrolled, fewer steps run up to 1.5 times as fast, and compile soon enough.
    unrolled_steps = 16

    def loop(self, step, inputs, states, timesteps):
        return _loop(step, inputs, states, timesteps)

    def knows(self, tensor):
        return not _is_symbolic(ops.convert_to_tensor(tensor).output)

    def keep(self, variable, value):
        before = _stored(variable)
        variable.assign(value)
        if _stored(variable) is before:  # a `keras.StatelessScope` has it
            return
        if _is_symbolic(ops.convert_to_tensor(value).output):
            variable.assign(before)
            raise NotImplementedError(
                f"'{variable.path}' cannot change in `predict` or `evaluate`: graphs "
                "of OpenVINO keep nothing between calls. Call the model itself, "
                "`model(x)`, or use `return_state=True` and `initial_state`."
            )
        # The graph of its value would grow with every call.
        variable.assign(ops.convert_to_numpy(value))

    def forget_compiled(self, model):
        super().forget_compiled(model)
        model.ov_compiled_model = None

    def uniform(self, shape, layer):
        if _is_known(shape, layer):
            return super().uniform(shape, layer)
        return _uniform(shape, _seed(layer))

    def normal(self, shape, dtype, layer):
        if _is_known(shape, layer):
            return super().normal(shape, dtype, layer)
        # By Box and Muller. The logarithm is that of a number in (0, 1].
        seed = _seed(layer)
        length = ops.sqrt(-2.0 * ops.log(1.0 - _uniform(shape, seed)))
        angle = (2.0 * math.pi) * _uniform(shape, seed + 1)
        return ops.cast(length * ops.cos(angle), dtype)

    def call_report(self):
        steps = f"loops of more than {self.unrolled_steps} steps are one operation"
        return f"none: OpenVINO compiles the reference, in float32; {steps}"

    def optimizer_report(self):
        return "none: OpenVINO does not train"


def _stored(variable):
    """The value of a variable, whatever scope there is."""
    with keras.StatelessScope():
        return variable.value


def _is_known(shape, layer):
    """Whether random numbers can be drawn now, as Keras does on this backend."""
    state = ops.convert_to_tensor(layer.seed_generator.state)
    return all(isinstance(n, int) for n in shape) and not _is_symbolic(state.output)


def _seed(layer):
    return random.getrandbits(30) if layer.seed is None else layer.seed


def _uniform(shape, seed):
    """Float32 numbers in `[0, 1)`, others whenever a graph or a loop's body runs."""
    sizes = [ops.reshape(ops.convert_to_tensor(n, "int32"), (1,)) for n in shape]
    sizes = ops.concatenate(sizes).output
    zero, one = (opset.constant(x, Type.f32) for x in (0.0, 1.0))
    # Two seeds of 0 stand for a random one.
    numbers = opset.random_uniform(sizes, zero, one, "f32", seed % 2**31, 1)
    return _tensor(numbers.output(0))


def _is_symbolic(output):
    """Whether an output depends on inputs of a graph, which have no values yet."""
    nodes = _ancestors([output.get_node()])
    return any(node.get_type_name() == "Parameter" for node in nodes)


def _ancestors(nodes, oldest=0):
    """Nodes and what they depend on, but for what was made before number `oldest`."""
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

    Compiling a hundred unrolled steps, as `keras.ops.scan` makes them, takes seconds.
    """
    sequences = [x.output for x in keras.tree.flatten(inputs)]
    states = keras.tree.map_structure(ops.convert_to_tensor, states)
    before = [state.output for state in keras.tree.flatten(states)]
    one = opset.constant(1, Type.i32)
    if timesteps is None:
        shape = opset.shape_of(sequences[0], Type.i32)
        timesteps = opset.gather(shape, one, opset.constant(0, Type.i32))
    else:
        timesteps = opset.constant(timesteps, Type.i32)

    slices = [_parameter(x, _one_step(x.get_partial_shape())) for x in sequences]
    carried = [_parameter(x, x.get_partial_shape()) for x in before]
    own = [*slices, *carried]
    y, new = step(
        keras.tree.pack_sequence_as(
            inputs, [_tensor(opset.squeeze(x, one).output(0)) for x in slices]
        ),
        keras.tree.pack_sequence_as(states, [_tensor(x.output(0)) for x in carried]),
    )
    y, new = keras.tree.map_structure(ops.convert_to_tensor, (y, new))
    outputs = [
        opset.result(opset.unsqueeze(x.output, one)) for x in keras.tree.flatten(y)
    ]
    after = [opset.result(x.output) for x in keras.tree.flatten(new)]
    results = [opset.result(opset.constant(True)), *outputs, *after]
    outer = _read_from_outside(results, min(x.get_instance_id() for x in own))

    loop = opset.loop(timesteps, opset.constant(True))
    loop.set_function(openvino.Model(results, [*own, *outer]))
    loop.set_special_body_ports([-1, 0])
    every = {"start": 0, "stride": 1, "part_size": 1, "end": -1, "axis": 1}
    for parameter, x in zip(slices, sequences):
        loop.set_sliced_input(parameter, x, **every)
    for parameter, x, result in zip(carried, before, after):
        loop.set_merged_input(parameter, x, result.output(0))
    for parameter, x in outer.items():
        loop.set_invariant_input(parameter, x)
    stacked = [loop.get_concatenated_slices(x.output(0), **every) for x in outputs]
    final = [loop.get_iter_value(x.output(0)) for x in after]
    return (
        keras.tree.pack_sequence_as(y, [_tensor(x) for x in stacked]),
        keras.tree.pack_sequence_as(new, [_tensor(x) for x in final]),
    )


def _one_step(shape):
    shape[1] = 1
    return shape


def _read_from_outside(results, oldest):
    """What the body of a loop reads from outside: `{new parameter: what it reads}`.

    Args:
        results: List of nodes.
        oldest: Integer, the number of the body's first node. Nodes are numbered as they
            are made, and a step makes all of its own.
    """
    parameters, read = {}, {}
    for node in _ancestors(results, oldest):
        for place in node.inputs():
            x = place.get_source_output()
            source = x.get_node()
            number = source.get_instance_id()
            if number >= oldest or source.get_type_name() == "Constant":
                continue
            key = number, x.get_index()
            if key not in parameters:
                parameters[key] = _parameter(x, x.get_partial_shape())
                read[parameters[key]] = x
            place.replace_source_output(parameters[key].output(0))
    return read


def _parameter(x, shape):
    return opset.parameter(shape, x.get_element_type())


def _tensor(output):
    return ops.convert_to_tensor(output)


BACKEND = OpenVINO("openvino")
