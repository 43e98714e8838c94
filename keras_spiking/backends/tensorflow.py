"""TensorFlow: fused kernels outside of XLA, and a loop over time that compiles in it.

A custom operator would have to be compiled against TensorFlow's headers, which
takes longer than most trainings. `tf.numpy_function` calls the same C kernels at
the price of copying the results once; XLA cannot take it.
"""

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from keras_spiking.backends.exporting import is_exporting
from keras_spiking.backends.kernels.library import shape_of

# A call into Python costs more than a single step.
FUSES_SINGLE_STEPS = True


def unavailable(x=None):
    """Why a kernel cannot serve here, or `None`."""
    if is_exporting():
        return "the model is being exported"
    if x is not None and GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        return "XLA compiles this function (jit_compile=True)"
    if tf.config.list_logical_devices("GPU"):
        return "there are no kernels for TensorFlow on GPUs"
    return None


def run(library, x, states, parameters, mask):
    """Runs a library's kernels; see `backends.fused`."""

    @tf.custom_gradient
    def over_time(*inputs):
        def gradient(*upstream):
            grads = _call(library, "backward", [*inputs, *upstream])
            return grads + [None] * library.program.masked

        return _call(library, "forward", inputs), gradient

    output, *final = over_time(x, *states, *parameters, *mask)
    return output, tuple(final)


def _call(library, name, inputs):
    arrays = library.kernels[name].outputs

    def kernel(*inputs):
        shape = inputs[0].shape
        outputs = [
            np.empty(
                shape_of(a, *shape), tf.as_dtype(library.dtype_of(a)).as_numpy_dtype
            )
            for a in arrays
        ]
        pointers = [[a.ctypes.data for a in group] for group in (inputs, outputs)]
        library.call(name, shape, *pointers)
        return outputs

    types = [tf.as_dtype(library.dtype_of(array)) for array in arrays]
    outputs = tf.numpy_function(kernel, inputs, types, stateful=False)
    for array, output in zip(arrays, outputs):
        output.set_shape(shape_of(array, *inputs[0].shape))
    return list(outputs)


def require(condition, message, tensors):
    """Tensors that raise `tf.errors.InvalidArgumentError` in a graph that runs."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tuple(tf.identity(tensor) for tensor in tensors)


def while_loop(step, inputs, states, timesteps):
    """`ops.time_loop` as one `tf.while_loop`.

    The gradient of `keras.ops.scan` does not compile under XLA, which wants to
    know how many elements a list of saved tensors can have.
    """
    sequences = keras.tree.flatten(inputs)
    if timesteps is None:
        timesteps = tf.shape(sequences[0])[1]

    def array(x):
        x = tf.transpose(x, [1, 0, *range(2, len(x.shape))])
        array = tf.TensorArray(x.dtype, timesteps, element_shape=x.shape[1:])
        return array.unstack(x)

    arrays = [array(x) for x in sequences]

    def read(t):
        return keras.tree.pack_sequence_as(inputs, [a.read(t) for a in arrays])

    # What a step returns is known only once it has been traced: in a graph of its
    # own, since a step may assign variables.
    first = keras.tree.map_structure(lambda x: x[:, 0], inputs)
    traced = tf.function(lambda: step(first, states)[0], autograph=False)
    example = traced.get_concrete_function().structured_outputs
    outputs = [
        tf.TensorArray(y.dtype, timesteps, element_shape=y.shape)
        for y in keras.tree.flatten(example)
    ]

    def body(t, outputs, states):
        y, states = step(read(t), states)
        ys = keras.tree.flatten(y)
        outputs = [a.write(t, y) for a, y in zip(outputs, ys)]
        return t + 1, outputs, states

    _, outputs, states = tf.while_loop(
        lambda t, *_: t < timesteps,
        body,
        (tf.constant(0), outputs, states),
        maximum_iterations=timesteps,
    )

    def stack(array, y):
        stacked = array.stack()
        stacked = tf.transpose(stacked, [1, 0, *range(2, len(y.shape) + 1)])
        stacked.set_shape([y.shape[0], None, *y.shape[1:]])
        return stacked

    examples = keras.tree.flatten(example)
    stacked = [stack(a, y) for a, y in zip(outputs, examples)]
    return keras.tree.pack_sequence_as(example, stacked), states
