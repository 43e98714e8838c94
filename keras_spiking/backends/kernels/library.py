"""A layer's compiled kernels, by any name that a framework can carry."""

import collections
import ctypes
import weakref

from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels import host
from keras_spiking.backends.kernels import in_chunks as chunks
from keras_spiking.backends.kernels.passes import kernels

NO_SECOND_DERIVATIVES = (
    "Fused kernels have no second derivatives: use "
    '`keras_spiking.config.set_fused("never")`.'
)

# Frameworks carry the key of a library. It lives as long as a layer, a graph or a
# gradient to come holds it, and the last ones stay in case that their layer has gone
# while a call of theirs was under way.
_libraries = weakref.WeakValueDictionary()
_recent = collections.deque(maxlen=64)


class Library:
    """The kernels of a program for sequences of one dtype.

    Attributes:
        program: The `Program`.
        dtype: Dtype of the sequences; states have `state_dtype`.
        in_chunks: Whether the host runs chunks of time side by side.
        key: Name of the library: the hash of its text.
        kernels: `{"forward" | "backward": Kernel}`.
        operators: What a backend has made of the kernels, by name.
        gpu_functions: What CuPy has made of them, by name and device.
    """

    def __init__(self, program, dtype, in_chunks, source):
        self.program = program
        self.dtype = dtype
        self.in_chunks = in_chunks
        self.state_dtype = "float64" if dtype == "float64" else "float32"
        self.kernels = {k.name: k for k in kernels(program)}
        self.source = source
        self.key = compiler.digest(source)
        self.operators, self.gpu_functions = {}, {}
        self._functions = compiler.load(source)

    def __deepcopy__(self, memo):
        return self  # a copy of a layer has the same kernels

    @property
    def gpu_source(self):
        return cuda.source(self.program, self.dtype)

    def dtype_of(self, array):
        dtypes = {"sequence": self.dtype, "mask": "uint8"}
        return dtypes.get(array.kind, self.state_dtype)

    def number(self, name):
        """A kernel's name as an integer of 63 bits; 0 is no kernel's."""
        return int(self.key[:15], 16) * 4 + list(self.kernels).index(name) + 1

    def address(self, name):
        """Address of a kernel in memory."""
        return ctypes.cast(getattr(self._functions, name), ctypes.c_void_p).value

    def reusable(self, name):
        """Index of the input whose memory the first output may take, or `None`.

        After the way back the gradient of the output is of no use any more: it
        can become the gradient of the input. Chunks of time may need it again.
        """
        if self.in_chunks:
            return None
        names = [array.name for array in self.kernels[name].inputs]
        return names.index("grad_output") if "grad_output" in names else None

    def call(self, name, sizes, inputs, outputs):
        """Runs a kernel on the host.

        Args:
            name: `"forward"` or `"backward"`.
            sizes: Tuple of batch, time and features.
            inputs, outputs: Lists of the addresses of contiguous arrays.

        Raises:
            MemoryError: if there is no memory for what a kernel keeps for itself.
        """
        call(getattr(self._functions, name), sizes, inputs, outputs)


def call(function, sizes, inputs, outputs):
    """Runs a function of sizes and arrays on the host. See `Library.call`."""
    failed = function(
        (ctypes.c_longlong * len(sizes))(*sizes),
        (ctypes.c_void_p * len(inputs))(*inputs),
        (ctypes.c_void_p * len(outputs))(*outputs),
    )
    if failed:
        raise MemoryError("There is no memory left for a kernel.")


def shape_of(array, batch, time, features):
    """Shape of an array of a kernel."""
    shapes = {
        "neuron": (batch, features),
        "mask": (batch, time),
        "checkpoint": (batch, (time - 1) // cuda.CHUNK, features),
    }
    return shapes.get(array.kind, (batch, time, features))


def make(program, dtype, register=lambda library: None, in_chunks=False):
    """The library of a program, which all programs with the same text share.

    Args:
        program: The `Program`.
        dtype: Dtype of the sequences.
        register: Callable, makes a new library known to a framework.
        in_chunks: Whether the host runs chunks of time side by side.
    """
    source = (chunks if in_chunks else host).source(program, dtype)
    library = _libraries.get(compiler.digest(source))
    if library is None:
        library = Library(program, dtype, in_chunks, source)
        register(library)
        _libraries[library.key] = library
        _recent.append(library)
    return library


def get(key):
    """The library of that key."""
    return _libraries[key]
