"""Which implementation serves a layer, and running the fused one."""

import importlib
import logging

import keras
from keras import ops

from keras_spiking import config
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.expression import NotFusable
from keras_spiking.backends.kernels.program import Program

DTYPES = ("float16", "bfloat16", "float32", "float64")

_logger = logging.getLogger("keras_spiking")
_logged = set()
_backend = None  # the module of the active backend, if it has kernels
if keras.config.backend() in ("jax", "tensorflow", "torch"):
    _backend = importlib.import_module(
        f"keras_spiking.backends.{keras.config.backend()}"
    )


def serving(layer, inputs, masked, fresh):
    """The library that serves a call of a layer, or `None` for the reference.

    For `masked` and `fresh` see `Program`.

    Raises:
        RuntimeError: if there is none and the mode is `"always"`.
    """
    mode = config.fused()
    if mode == "never":
        return None
    library, reason = choose(layer, tuple(inputs.shape[2:]), masked, fresh, inputs)
    if library is None and mode == "always":
        raise RuntimeError(
            f"Layer '{layer.name}' has no fused kernel: {reason}. Fused kernels were "
            'asked for by `keras_spiking.config.set_fused("always")`; "auto" lets '
            "the reference serve."
        )
    if library is None:
        _log_once(type(layer).__name__, reason)
    elif mode == "auto" and inputs.shape[1] == 1 and _backend.FUSES_SINGLE_STEPS:
        return None
    return library


def prepare(layer):
    """Makes the kernels of a layer that has just been built, where it matters.

    `torch.compile` can trace a call of a kernel, but not a compiler at work.
    """
    if keras.config.backend() == "torch" and config.fused() != "never":
        for fresh in (True, False):
            choose(layer, layer.features, fresh=fresh)


def choose(layer, features, masked=False, fresh=False, inputs=None):
    """Returns the library for a layer and `None`, or `None` and the reason."""
    if _backend is None:
        backend = keras.config.backend()
        return None, f"there are no fused kernels for the {backend} backend"
    # What arrives decides: JAX has float64 only if it is told so.
    dtype = layer.compute_dtype
    if inputs is not None:
        dtype = keras.backend.standardize_dtype(inputs.dtype)
    reason = _backend.unavailable(inputs)
    if reason is not None:
        return None, reason
    key = (features, masked, fresh, dtype)
    if key not in layer.kernels:
        layer.kernels[key] = _make(layer, *key)
    name, reason = layer.kernels[key]
    return (None if name is None else libraries.get(name)), reason


def _make(layer, features, masked, fresh, dtype):
    """Makes the kernels of a layer; returns the key of their library."""
    if dtype not in DTYPES:
        return None, f"there are no kernels for {dtype}"
    if None in features:
        return None, f"features of shape {features} are not all of a fixed size"
    if compiler.compiler() is None:
        return None, "there is no C compiler: install gcc or clang, or set CC"
    try:
        library = libraries.Library(Program(layer, features, masked, fresh), dtype)
        _backend.register(library)
        return library.key, None
    except (NotFusable, RuntimeError, OSError) as error:
        return None, str(error)


def run(library, layer, inputs, states, mask):
    """Runs a layer's fused kernel over a sequence.

    Kernels see all arrays flat: sequences `(batch, time, features)`, states and
    parameters `(batch, features)`. Parameters are repeated over the batch, so
    that every array has a batch axis to be split over devices; the gradient sums
    over it in turn. A fresh program has no states, neither first nor final ones.
    """
    reshape = _backend.reshape  # 20 times as fast as that of `keras.ops`
    batch, time, *features = ops.shape(inputs)
    size = 1
    for n in features:
        size *= n

    def per_neuron(value):
        value = ops.cast(value, library.state_dtype)
        value = ops.broadcast_to(value, (batch, *features))
        return reshape(value, (batch, size))

    sources = library.program.step.parameters
    values = [getattr(layer, s) if isinstance(s, str) else s for s in sources]
    values = [ops.convert_to_tensor(v) for v in values]
    output, final = _backend.run(
        library,
        reshape(ops.cast(inputs, library.dtype), (batch, time, size)),
        [per_neuron(s) for s in states],
        [per_neuron(v) for v in values],
        [] if mask is None else [ops.cast(mask, "uint8")],
    )
    output = reshape(output, (batch, time, *features))
    return output, tuple(reshape(s, (batch, *features)) for s in final)


def _log_once(name, reason):
    if (name, reason) not in _logged:
        _logged.add((name, reason))
        _logger.warning("%s runs on the reference in keras.ops: %s.", name, reason)
