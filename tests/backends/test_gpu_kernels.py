"""CUDA kernels without a GPU: their text runs on the host."""

import shutil

import numpy as np
import pytest
from backend import BACKEND
from emulated_gpu import EmulatedKernels

from keras_spiking import layers
from keras_spiking.backends import gpu
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels.library import Library
from keras_spiking.backends.kernels.library import shape_of
from keras_spiking.backends.kernels.program import Program

pytestmark = pytest.mark.skipif(
    BACKEND != "numpy" or compiler.compiler() is None or shutil.which("g++") is None,
    reason="tested once, with NumPy, where there are compilers",
)
SIZES = (3, 6, 131)  # more threads than one block has


def draw(array, dtype, random):
    if array.kind == "mask":
        return random.integers(0, 2, shape_of(array, *SIZES), "uint8")
    values = random.uniform(0.5, 2.0, shape_of(array, *SIZES))
    if dtype == "bfloat16":
        return (values.astype("float32").view("uint32") >> 16).astype("uint16")
    return values.astype(dtype)


def empty(arrays, library):
    storage = {"bfloat16": "uint16"}
    dtypes = [storage.get(library.dtype_of(a), library.dtype_of(a)) for a in arrays]
    return [np.zeros(shape_of(a, *SIZES), d) for a, d in zip(arrays, dtypes)]


def numbers(array):
    """bfloat16, kept as the upper half of a float32, as numbers."""
    if array.dtype != "uint16":
        return array
    return (array.astype("uint32") << 16).view("float32")


@pytest.mark.parametrize("kernel", ["forward", "backward"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("neuron", ["LIFLayer", "ALIFLayer", "ParametricLIFLayer"])
def test_cuda_text_computes_what_the_host_does(neuron, dtype, kernel, tmp_path):
    layer = getattr(layers, neuron)()
    layer.build((None, None, SIZES[2]))
    library = Library(Program(layer, (SIZES[2],), masked=True), dtype)
    arrays = library.kernels[kernel]
    random = np.random.default_rng(0)
    inputs = [draw(a, library.dtype_of(a), random) for a in arrays.inputs]

    expected = empty(arrays.outputs, library)
    addresses = [[a.ctypes.data for a in group] for group in (inputs, expected)]
    library.call(kernel, SIZES, *addresses)

    outputs = empty(arrays.outputs, library)
    scratch = empty(arrays.scratch, library)
    addresses = [a.ctypes.data for a in (*inputs, *outputs, *scratch)]
    blocks = -(-SIZES[0] * SIZES[2] // gpu.THREADS)
    kernels = EmulatedKernels(library.gpu_source, tmp_path)
    kernels.launch(kernel, blocks, gpu.THREADS, SIZES, addresses)
    for array, value, output in zip(arrays.outputs, expected, outputs):
        # The host computes with vectors, whose functions round a little differently.
        rtol = 2e-2 if value.dtype == "uint16" else 1e-4
        value, output = numbers(value), numbers(output)
        assert np.any(value)
        np.testing.assert_allclose(output, value, rtol, 1e-6, err_msg=array.name)
