"""Kernels for CUDA devices, compiled by CuPy.

CuPy keeps what it has compiled on disk. It only compiles here: memory and streams
are those of the framework that calls.
"""


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


def function(library, name, device):
    """A kernel of a library as a CuPy function, for the device of a number."""
    if (name, device) not in library.gpu_functions:
        library.gpu_functions[name, device] = _function(library, name, device)
    return library.gpu_functions[name, device]


def _function(library, name, device):
    import cupy

    with cupy.cuda.Device(device):
        module = cupy.RawModule(code=library.gpu_source, options=("--fmad=false",))
        return module.get_function(name)


def address(library, name, device):
    """The same as the number that the driver knows it by, a `CUfunction`."""
    import cupy

    with cupy.cuda.Device(device):
        return function(library, name, device).kernel.ptr
