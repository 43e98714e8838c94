"""CUDA kernels without a GPU: their text runs on the host."""

import shutil

import numpy as np
import pytest
from backend import BACKEND
from emulated_gpu import EmulatedKernels

from keras_spiking import layers
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.library import shape_of
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.trace import Step

pytestmark = pytest.mark.skipif(
    BACKEND != "numpy" or compiler.compiler() is None or shutil.which("g++") is None,
    reason="tested once, with NumPy, where there are compilers",
)
BATCH, FEATURES = 3, 131  # more threads than one block has


def draw(array, library, random, sizes):
    dtype = library.dtype_of(array)
    if array.kind == "scalars":
        return np.array(library.program.step.scalars, dtype)
    if array.kind == "mask":
        return random.integers(0, 2, shape_of(array, *sizes), "uint8")
    values = random.uniform(0.5, 2.0, shape_of(array, *sizes))
    if dtype == "bfloat16":
        return (values.astype("float32").view("uint32") >> 16).astype("uint16")
    return values.astype(dtype)


def empty(arrays, library, sizes):
    storage = {"bfloat16": "uint16"}
    dtypes = [storage.get(library.dtype_of(a), library.dtype_of(a)) for a in arrays]
    return [np.zeros(shape_of(a, *sizes), d) for a, d in zip(arrays, dtypes)]


def numbers(array):
    """bfloat16, kept as the upper half of a float32, as numbers."""
    if array.dtype != "uint16":
        return array
    return (array.astype("uint32") << 16).view("float32")


def check(layer, dtype, timesteps, folder, fresh=False):
    """Both kernels of a layer as CUDA text, beside those of the host."""
    layer.build((None, None, FEATURES))
    program = Program(Step(layer, (FEATURES,)), masked=True, fresh=fresh)
    library = libraries.make(program, dtype)
    emulated = EmulatedKernels(library.gpu_source, folder)
    sizes = (BATCH, timesteps, FEATURES)
    blocks = -(-BATCH * FEATURES // cuda.THREADS)
    for name, kernel in library.kernels.items():
        random = np.random.default_rng(0)
        inputs = [draw(a, library, random, sizes) for a in kernel.inputs]
        expected = empty(kernel.outputs, library, sizes)
        addresses = [[a.ctypes.data for a in group] for group in (inputs, expected)]
        library.call(name, sizes, *addresses)

        outputs = empty(kernel.outputs, library, sizes)
        memory = empty(cuda.checkpoints(kernel), library, sizes)
        addresses = [a.ctypes.data for a in (*inputs, *outputs, *memory)]
        emulated.launch(name, blocks, cuda.THREADS, sizes, addresses)
        assert np.any(expected[0])
        for array, value, output in zip(kernel.outputs, expected, outputs):
            # The host's vectors have functions that round a little differently.
            rtol = 2e-2 if value.dtype == "uint16" else 1e-4
            value, output = numbers(value), numbers(output)
            np.testing.assert_allclose(output, value, rtol, 1e-6, err_msg=array.name)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("neuron", ["LIFLayer", "ALIFLayer", "ParametricLIFLayer"])
def test_cuda_text_computes_what_the_host_does(neuron, dtype, tmp_path):
    check(getattr(layers, neuron)(), dtype, 6, tmp_path)


@pytest.mark.parametrize("timesteps", [1, 16, 17, 32, 45])
def test_the_way_back_goes_forward_again_from_chunk_to_chunk(timesteps, tmp_path):
    assert 16 % cuda.CHUNK == 0
    check(layers.ALIFLayer(), "float32", timesteps, tmp_path, fresh=timesteps > 17)


@pytest.mark.parametrize("neuron", ["LILayer", "CubaLIFLayer"])
def test_way_back_without_memory_and_long_steps(neuron, tmp_path):
    layer = getattr(layers, neuron)()
    check(layer, "float32", 37, tmp_path)
