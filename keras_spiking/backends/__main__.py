"""`python -m keras_spiking.backends`: what serves on this machine, and why."""

import importlib.metadata
import platform

import keras

import keras_spiking
from keras_spiking import backends
from keras_spiking import config
from keras_spiking.backends import explain
from keras_spiking.backends import memory
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
    backend = backends.active()
    rows += [("kernel calls", backend.call_report()), ("CUDA", backend.cuda_report())]
    rows += [("LIFLayer", _try_layer()), ("products", _products(backend))]
    mode = f"{config.keep_memory()!r} (set_keep_memory or KERAS_SPIKING_KEEP_MEMORY)"
    rows.append(("memory", f"{mode}; {memory.report()}"))
    return [*rows, ("optimizers", backend.optimizer_report())]


def _products(backend):
    setting = "set_event_driven or KERAS_SPIKING_EVENT_DRIVEN"
    if compiler.compiler() is None:
        found = "dense, since there is no C compiler"
    elif reason := backend.products_unavailable():
        found = f"dense, since {reason}"
    else:
        found = "over the non-zeros, or dense, as measured for each shape"
    return f"{config.event_driven()!r} ({setting}); {found}"


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
    files = list(folder.glob("*.so")) if folder.is_dir() else []
    size = sum(file.stat().st_size for file in files) / 1e6
    return f"{folder} ({len(files)} kernels and measurements, {size:.1f} MB)"


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
