"""Kernels for CUDA devices, compiled by CuPy.

CuPy keeps what it has compiled on disk. It only compiles here: memory and streams
are those of the framework that calls, and CUDA's driver starts the kernels, which
takes a tenth of the time that a call through CuPy does.
"""

import ctypes
import functools


def unavailable():
    """Why there are no kernels for CUDA devices, or `None`."""
    try:
        import cupy  # noqa: F401
    except ImportError:
        return "CuPy is not installed: `pip install cupy-cuda12x` (or cupy-cuda13x)"
    return None


def report(device):
    """What compiles kernels, and for which device, in words."""
    if reason := unavailable():
        return reason
    import cupy

    return f"CuPy {cupy.__version__} on {device}"


def address(library, name, device):
    """A kernel of a library for the device of a number, as a `CUfunction`."""
    functions = library.gpu_functions
    if (name, device) not in functions:
        functions[name, device] = _function(library, name, device)
    return functions[name, device].kernel.ptr


def _function(library, name, device):
    import cupy

    with cupy.cuda.Device(device):
        module = cupy.RawModule(code=library.gpu_source, options=("--fmad=false",))
        return module.get_function(name)


@functools.cache
def driver():
    """CUDA's driver, which is there where its devices are."""
    return ctypes.CDLL("libcuda.so.1")


def launch(function, device, stream, blocks, threads, sizes, addresses):
    """Starts a kernel.

    Args:
        function: Its address, see above.
        device: Number of the device.
        stream: Address of the stream.
        blocks, threads: Integers, how many, and how many in each.
        sizes, addresses: Integers, the kernel's arguments. All have 64 bits.
    """
    import cupy

    values = (*sizes, *addresses)
    arguments = (ctypes.c_uint64 * len(values))(*values)
    first = ctypes.addressof(arguments)
    places = range(first, first + 8 * len(values), 8)
    pointers = (ctypes.c_void_p * len(values))(*places)
    with cupy.cuda.Device(device):
        failure = driver().cuLaunchKernel(
            ctypes.c_void_p(function),
            *(blocks, 1, 1, threads, 1, 1, 0),
            ctypes.c_void_p(stream),
            pointers,
            None,
        )
    if failure:
        raise RuntimeError(f"CUDA could not start a kernel: error {failure}.")
