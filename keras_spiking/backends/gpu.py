"""Kernels for CUDA devices, compiled by CuPy.

CuPy keeps what it has compiled on disk. It only compiles here: memory and streams
are those of the framework that calls.
"""

import functools


def unavailable():
    """Why there are no kernels for CUDA devices, or `None`."""
    try:
        import cupy  # noqa: F401
    except ImportError:
        return 'CuPy is not installed: `pip install "keras3-spiking[cupy]"`'
    return None


@functools.cache
def function(library, name, device):
    """A kernel of a library as a CuPy function, for the device of a number."""
    import cupy

    with cupy.cuda.Device(device):
        module = cupy.RawModule(code=library.gpu_source, options=("--fmad=false",))
        return module.get_function(name)


def address(library, name, device):
    """The same as the number that the driver knows it by, a `CUfunction`."""
    import cupy

    with cupy.cuda.Device(device):
        return function(library, name, device).kernel.ptr
