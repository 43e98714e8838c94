"""The compiled kernels of products, one library for each dtype."""

import ctypes
import functools

from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.host import TEAM
from keras_spiking.backends.products import dense
from keras_spiking.backends.products import either
from keras_spiking.backends.products import events

# A sum may be taken in any order: nothing is lost by rounding once instead of twice.
COUNTS = 64  # numbers whose sum `count` gives
FLAGS = ("-ffp-contract=fast",)


class Library:
    """Kernels that any product of a dtype runs on.

    Attributes:
        dtype: `"float32"` or `"float64"`.
        kernels: Their names. `count` counts non-zeros; `forward` is the product and
            `weights` the gradient of its weights, by a walk over the non-zeros; the
            `dense` ones take all, `inputs` is the gradient of the input, and the
            `either` ones choose.
    """

    kernels = (
        "count",
        "forward",
        "weights",
        "dense_forward",
        "dense_inputs",
        "dense_weights",
        "either_forward",
        "either_weights",
    )

    def __init__(self, dtype):
        text = events.source(dtype) + dense.SOURCE + either.SOURCE
        text += "".join(TEAM.format(name=name) for name in self.kernels)
        self.dtype = dtype
        self.key = compiler.digest(text + repr(FLAGS))
        self._functions = compiler.load(text, FLAGS)

    def number(self, name):
        """A kernel's name as an integer of 63 bits; 0 is no kernel's."""
        return int(self.key[:14], 16) * 16 + self.kernels.index(name) + 1

    def address(self, name):
        """Address of a function in memory."""
        return ctypes.cast(getattr(self._functions, name), ctypes.c_void_p).value

    def call(self, name, sizes, inputs, outputs):
        """Runs a kernel on the host, on the addresses of contiguous arrays."""
        libraries.call(getattr(self._functions, name), sizes, inputs, outputs)


@functools.cache
def get(dtype):
    """The library of a dtype, which is compiled if need be."""
    return Library(dtype)
