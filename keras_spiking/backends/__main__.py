"""`python -m keras_spiking.backends`: what serves on this machine, and why."""

import importlib.metadata
import platform

import keras

import keras_spiking
from keras_spiking import config
from keras_spiking.backends import explain
from keras_spiking.backends import gpu
from keras_spiking.backends.kernels import compiler

BACKEND = keras.config.backend()


def report():
    """A list of pairs: what there is to know, and what was found."""
    path = compiler.compiler()
    versions = f"keras_spiking {keras_spiking.__version__}, Keras {keras.__version__}"
    rows = [
        ("versions", f"{versions}, Python {platform.python_version()}"),
        ("backend", f"{BACKEND} {_version(BACKEND)}".strip()),
        ("mode", f"{config.fused()!r} (set_fused or KERAS_SPIKING_FUSED)"),
        ("C compiler", path or "none: install gcc or clang, or set CC"),
    ]
    if path is not None:
        rows += [
            ("flags", " ".join(compiler.FLAGS)),
            ("vector math", _vector_math()),
            ("cache", _cache()),
        ]
    if BACKEND in _CALLS:
        rows += [("kernel calls", _CALLS[BACKEND]()), ("CUDA", _CUDA[BACKEND]())]
    return [*rows, ("LIFLayer", _try_layer())]


def _version(package):
    if package == "tensorflow":
        import tensorflow

        return tensorflow.__version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _vector_math():
    try:
        compiler.load("", compiler.VECTOR_MATH)
    except (RuntimeError, OSError) as error:
        return f"no, functions such as exp run one by one: {error}"
    return "yes, by libmvec"


def _cache():
    folder = compiler.cache_folder()
    libraries = list(folder.glob("*.so")) if folder.is_dir() else []
    size = sum(library.stat().st_size for library in libraries) / 1e6
    return f"{folder} ({len(libraries)} libraries, {size:.1f} MB)"


def _jax_calls():
    import jax

    header = f"{jax.ffi.include_dir()}/xla/ffi/api/c_api.h"
    return f"XLA custom calls, compiled against {header}"


def _torch_calls():
    from keras_spiking.backends import torch

    return f"custom operator {torch.over_time._qualname}"


def _tensorflow_calls():
    import tensorflow as tf

    header = f"{tf.sysconfig.get_include()}/tensorflow/c/kernels.h"
    xla = "under XLA (jit_compile=True) the reference serves"
    return f"an operator, compiled against {header}; {xla}"


def _cupy(device):
    return gpu.unavailable() or f"CuPy {_version('cupy')} on {device}"


def _jax_cuda():
    import jax

    if jax.default_backend() == "cpu":
        return "JAX sees no GPU"
    return _cupy(jax.devices()[0].device_kind)


def _torch_cuda():
    import torch

    if not torch.cuda.is_available():
        return "PyTorch sees no GPU"
    return _cupy(torch.cuda.get_device_name())


def _tensorflow_cuda():
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    return "no kernels for TensorFlow on GPUs" if devices else "TensorFlow sees no GPU"


_CALLS = {
    "jax": _jax_calls,
    "torch": _torch_calls,
    "tensorflow": _tensorflow_calls,
}
_CUDA = {"jax": _jax_cuda, "torch": _torch_cuda, "tensorflow": _tensorflow_cuda}


def _try_layer():
    """Runs a layer, since only that shows that all parts fit together."""
    layer = keras_spiking.layers.LIFLayer()
    try:
        layer(keras.ops.ones((2, 4, 8)))
    except Exception as error:
        return f"does not run: {type(error).__name__}: {error}"
    (row,) = explain(layer)
    return f"{row['implementation']}: {row['reason']}"


def main():
    rows = report()
    width = max(len(name) for name, _ in rows)
    for name, finding in rows:
        print(f"{name:{width}}  {finding}")


if __name__ == "__main__":
    main()
