"""TensorFlow: fused kernels outside of XLA, and a loop over time that compiles in it.

All kernels share one operator (`backends.tensorflow_operator`), which is compiled
once and finds a kernel by its number. XLA cannot take it.
"""

import ctypes
import functools
import weakref

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from keras_spiking.backends import tensorflow_products as event_driven
from keras_spiking.backends.backend import Backend
from keras_spiking.backends.exporting import is_exporting
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import entry
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.products.product import of_conv
from keras_spiking.backends.products.product import of_conv_transpose
from keras_spiking.backends.products.product import of_dense
from keras_spiking.backends.products.product import of_depthwise_conv
from keras_spiking.backends.tensorflow_operator import OPERATOR_SOURCE

_libraries_of = weakref.WeakKeyDictionary()  # what graphs call


class TensorFlow(Backend):
    has_kernels = True
    # More steps than that are traced once and compile under XLA, too. A kernel takes as
    # long as the operations of a single step in a graph, and half as long as they take
    # one by one.
    unrolled_steps = 16

    def loop(self, step, inputs, states, timesteps):
        return _while_loop(step, inputs, states, timesteps)

    def knows(self, tensor):
        return tf.executing_eagerly()

    def require(self, condition, message, tensors):
        """In a graph that runs, it raises `tf.errors.InvalidArgumentError`."""
        if self.knows(condition):
            return super().require(condition, message, tensors)
        with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
            return tuple(tf.identity(tensor) for tensor in tensors)

    def value_and_gradients(self, function, tensors):
        tensors = [tf.stop_gradient(tensor) for tensor in tensors]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value, others = function(tensors)
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(value, tensors, unconnected_gradients=zero)
        return keras.tree.map_structure(tf.stop_gradient, (value, others)), gradients

    def compiled(self, function):
        return tf.function(function, autograph=False)

    def outside_of_tracing(self):
        return tf.init_scope()

    def unavailable(self, x=None):
        if is_exporting():
            return "the model is being exported"
        graph = tf.compat.v1.get_default_graph()
        if x is not None and GraphOrParentsInXlaContext(graph):
            return "XLA compiles this function (jit_compile=True)"
        if tf.config.list_logical_devices("GPU"):
            return "there are no kernels for TensorFlow on GPUs"
        return None

    def register(self, library):
        operator = _operators()[1]
        entry.register(operator, library)

    def run(self, library, inputs):
        if not tf.executing_eagerly():
            # A graph may outlive the layer that it was traced from.
            graph = tf.compat.v1.get_default_graph()
            _libraries_of.setdefault(graph, {})[library.key] = library
        return _call(library, "forward", inputs)

    def dense(self, x, kernel):
        product = of_dense(x, kernel)
        return event_driven.product(product, x, kernel, ops.matmul)

    def conv(self, x, kernel, **options):
        dense = functools.partial(super().conv, **options)
        return event_driven.product(of_conv(x, kernel, **options), x, kernel, dense)

    def depthwise_conv(self, x, kernel, **options):
        dense = functools.partial(super().depthwise_conv, **options)
        product = of_depthwise_conv(x, kernel, **options)
        return event_driven.product(product, x, kernel, dense)

    def conv_transpose(self, x, kernel, **options):
        dense = functools.partial(super().conv_transpose, **options)
        product = of_conv_transpose(x, kernel, **options)
        return event_driven.product(product, x, kernel, dense)

    def products_unavailable(self, x=None):
        if is_exporting():
            return "the model is being exported"
        if GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
            return "XLA compiles this function (jit_compile=True)"
        if tf.config.list_logical_devices("GPU"):
            return "they run on a CPU, and TensorFlow on a GPU"
        return None

    def register_products(self, library):
        self.register(library)

    def run_product(self, product, kernel, arrays, shape, *, whole=False, limit=0.0):
        if kernel.startswith("either"):
            arrays = [*arrays, product.counts(arrays[0])]
        shape = shape if whole else (-1, *shape)
        output = _operators()[0].keras_spiking_product(
            arrays=arrays,
            kernel=product.library.number(kernel),
            sizes=product.sizes(0, limit),
            shape=shape,
        )
        return tf.ensure_shape(output, [None if n < 0 else n for n in shape])

    def reshape(self, x, shape):
        return tf.reshape(x, shape)

    def constant(self, values, dtype, like):
        return np.asarray(values, dtype)

    def call_report(self):
        header = f"{tf.sysconfig.get_include()}/tensorflow/c/kernels.h"
        xla = "under XLA (jit_compile=True) the reference serves"
        return f"an operator, compiled against {header}; {xla}"

    def cuda_report(self):
        if tf.config.list_physical_devices("GPU"):
            return "no kernels for TensorFlow on GPUs"
        return "TensorFlow sees no GPU"


@functools.cache
def _operators():
    """Returns the module of the operators, and their library."""
    text = f"/* for TensorFlow {tf.__version__} */\n" + entry.SOURCE + OPERATOR_SOURCE
    flags = (f"-I{tf.sysconfig.get_include()}", *tf.sysconfig.get_link_flags())
    with compiler.built(text, flags) as path:
        # TensorFlow has to be the first to load it: it watches what is registered.
        operators = tf.load_op_library(path)
        library = ctypes.CDLL(path)
    library.keras_spiking_start(tf.config.threading.get_intra_op_parallelism_threads())
    return operators, library


def _call(library, name, inputs):
    reusable = library.reusable(name)
    outputs = library.kernels[name].outputs
    return _operators()[0].keras_spiking_over_time(
        inputs,
        output_types=[library.dtype_of(array) for array in outputs],
        library=library.key,
        kernel=library.number(name),
        reusable=-1 if reusable is None else reusable,
    )


@tf.RegisterGradient("KerasSpikingOverTime")
def _differentiate(operation, *upstream):
    library = libraries.get(operation.get_attr("library").decode())
    if operation.get_attr("kernel") != library.number("forward"):
        raise RuntimeError(libraries.NO_SECOND_DERIVATIVES)
    grads = _call(library, "backward", [*operation.inputs, *upstream])
    # A mask and numbers have no gradient.
    return grads + [None] * (len(operation.inputs) - len(grads))


def _while_loop(step, inputs, states, timesteps):
    """A `tf.while_loop` that compiles under XLA, with its gradient.

    That of `keras.ops.scan` does not: XLA wants to know how many elements a list of
    saved tensors can have.
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


BACKEND = TensorFlow("tensorflow")
