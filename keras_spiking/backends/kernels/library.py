"""A layer's compiled kernels, by any name that a framework can carry."""

import ctypes

from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels.printer import gpu_source
from keras_spiking.backends.kernels.printer import host_source
from keras_spiking.backends.kernels.printer import kernels

_libraries = {}


class Library:
    """The three kernels of a program for sequences of one dtype.

    Attributes:
        program: The `Program`.
        dtype: Dtype of the sequences; states have `state_dtype`.
        key: Name of the library: the hash of its text.
        kernels: `{"infer" | "forward" | "backward": Kernel}`.
    """

    def __init__(self, program, dtype):
        self.program = program
        self.dtype = dtype
        self.state_dtype = "float64" if dtype == "float64" else "float32"
        self.kernels = {k.name: k for k in kernels(program)}
        self.source = host_source(program, dtype)
        self.key = compiler.digest(self.source)
        self._functions = compiler.load(self.source)
        _libraries[self.key] = self

    @property
    def gpu_source(self):
        return gpu_source(self.program, self.dtype)

    def dtype_of(self, array):
        return {"sequence": self.dtype, "neuron": self.state_dtype, "mask": "uint8"}[
            array.kind
        ]

    def address(self, name):
        """Address of a kernel in memory."""
        return ctypes.cast(getattr(self._functions, name), ctypes.c_void_p).value

    def call(self, name, sizes, inputs, outputs):
        """Runs a kernel on the host.

        Args:
            name: `"infer"`, `"forward"` or `"backward"`.
            sizes: Tuple of batch, time and features.
            inputs, outputs: Lists of the addresses of contiguous arrays.
        """
        function = getattr(self._functions, name)
        function(
            *map(ctypes.c_longlong, sizes),
            (ctypes.c_void_p * len(inputs))(*inputs),
            (ctypes.c_void_p * len(outputs))(*outputs),
        )


def shape_of(array, batch, time, features):
    """Shape of an array of a kernel."""
    return {
        "sequence": (batch, time, features),
        "neuron": (batch, features),
        "mask": (batch, time),
    }[array.kind]


def get(key):
    """The library of that key."""
    return _libraries[key]


def backward_inputs(program, grad_output, grad_final, parameters, remembered, mask):
    """The inputs of the backward kernel, in its order.

    Args:
        remembered: `{name: sequence}` for all names in `program.known`.
    """
    sequences = [remembered[name] for name in program.known.values()]
    return [grad_output, *grad_final, *parameters, *sequences, *mask]
