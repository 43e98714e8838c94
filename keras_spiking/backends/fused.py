"""Which implementation runs a layer, and running the fused one."""

import collections
import logging
import math
import weakref

import keras
from keras import ops

from keras_spiking import config
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.expression import NotFusable
from keras_spiking.backends.kernels.fingerprint import fingerprint
from keras_spiking.backends.kernels.in_chunks import fewest_steps
from keras_spiking.backends.kernels.in_chunks import refusal
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.trace import Step
from keras_spiking.backends.loading import active
from keras_spiking.locks import Lock

DTYPES = ("float16", "bfloat16", "float32", "float64")
MAX_STEPS = 64  # of a class of layers with different values, kept for its layers

_logger = logging.getLogger("keras_spiking")
_logged = set()
_making = Lock()

# The fused kernel of a layer, or the reason why there is none.
#
# `step`: the `Step` that it was made from; `library`: a `Library`, or `None`; `fresh`:
# whether the kernel starts from the initial states; `reason`: a string, or `None`.
Kernel = collections.namedtuple("Kernel", "step library fresh reason")


def forget(layer):
    """Starts the table of a layer's kernels. It is no attribute that Keras tracks."""
    object.__setattr__(layer, "kernels", {})


def serving(layer, inputs, masked, fresh):
    """The `Kernel` that runs a call of a layer, or `None` for the reference.

    For `masked` and `fresh` see `Program`.

    Raises:
        RuntimeError: if there is none and the mode is `"always"`.
    """
    mode = config.fused()
    if mode == "never":
        return None
    kernel = choose(layer, tuple(inputs.shape[2:]), masked, fresh, inputs)
    if kernel.library is None and mode == "always":
        raise RuntimeError(
            f"Layer '{layer.name}' has no fused kernel: {kernel.reason}. Fused kernels "
            'were required by `keras_spiking.config.set_fused("always")`; with "auto" '
            "the reference runs instead."
        )
    if kernel.library is None:
        if active().has_kernels:
            _log_once(type(layer).__name__, kernel.reason)
        return None
    if mode == "auto" and inputs.shape[1] == 1 and active().fuses_single_steps:
        return None
    return kernel


def prepare(layer):
    """Makes the kernels of a layer that has just been built, where it matters.

    `torch.compile` can trace a call of a kernel, but not a compiler at work.
    """
    if keras.config.backend() == "torch" and config.fused() != "never":
        for fresh in (True, False):
            choose(layer, layer.features, fresh=fresh)


def choose(layer, features, masked=False, fresh=False, inputs=None):
    """The `Kernel` for calls of a layer, perhaps without a library."""
    backend = active()
    reason = backend.unavailable(inputs)
    if reason is not None:
        return Kernel(None, None, False, reason)
    # What arrives decides: JAX has float64 only if it is told so.
    dtype, in_chunks = layer.compute_dtype, False
    if inputs is not None:
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        in_chunks = _is_long(inputs.shape[1], features)
    key = (features, masked, fresh, dtype, in_chunks)
    kernel = layer.kernels.get(key)
    if kernel is None or not (backend.is_compiling() or _is_valid(kernel, layer)):
        kernel = layer.kernels[key] = _make(layer, *key)
    return kernel


def _is_valid(kernel, layer):
    step = kernel.step
    return step is None or fingerprint(layer, step.reads) == step.fingerprint


def _is_long(time, features):
    """Whether a sequence, of a known number of steps, is to run in chunks."""
    if None in features or not isinstance(time, int) or active().is_compiling():
        return False
    fewest = fewest_steps(math.prod(features))
    return fewest is not None and time >= fewest


def steps_in_chunks(library, features):
    """From how many time steps on a layer's kernel runs in chunks, or `None`."""
    refused = refusal(library.program) is not None
    return None if refused else fewest_steps(math.prod(features))


def _make(layer, features, masked, fresh, dtype, in_chunks):
    """Makes the kernel of a layer, or finds one that another layer has."""
    if dtype not in DTYPES:
        return Kernel(None, None, False, f"there are no kernels for {dtype}")
    if None in features:
        reason = f"features of shape {features} are not all of a fixed size"
        return Kernel(None, None, False, reason)
    if compiler.compiler() is None:
        reason = "there is no C compiler: install gcc or clang, or set CC"
        return Kernel(None, None, False, reason)
    with _making, active().outside_of_tracing():
        step = _step_of(layer, features)
        if step.refusal is not None:
            return Kernel(step, None, False, step.refusal)
        try:
            library = _library_of(step, masked, fresh, dtype, in_chunks)
        except (NotFusable, RuntimeError, OSError) as error:
            return Kernel(step, None, False, str(error))
        return Kernel(step, library, library.program.fresh, None)


def _step_of(layer, features):
    """The traced step of a layer, which layers of the same equations share."""
    tables = type(layer).traced_steps
    where = (features, layer.state_dtype)
    for names, steps in tables.setdefault(where, {}).items():
        step = steps.get(fingerprint(layer, names))
        if step is not None:
            return step
    step = Step(layer, features)
    steps = tables[where].setdefault(step.reads, {})
    steps[step.fingerprint] = step
    if len(steps) > MAX_STEPS:
        del steps[next(iter(steps))]
    return step


def _library_of(step, masked, fresh, dtype, in_chunks):
    """The library of a step. The step outlives its layers; the library does not."""
    key = (masked, fresh, dtype, in_chunks)
    library = step.libraries.get(key, lambda: None)()
    if library is None:
        program = Program(step, masked, fresh)
        in_chunks = in_chunks and refusal(program) is None
        library = libraries.make(program, dtype, active().register, in_chunks)
        step.libraries[key] = weakref.ref(library)
    return library


def run(kernel, layer, inputs, states, mask):
    """Runs a layer's fused kernel over a sequence.

    Kernels see all arrays flat: sequences `(batch, time, features)`, states and
    parameters `(batch, features)`; some backends flatten them only there. Parameters
    are repeated over the batch, so that every array has a batch axis to be split over
    devices; the gradient sums over it in turn. A fresh program has no states, neither
    first nor final ones.
    """
    backend, library, step = active(), kernel.library, kernel.step
    reshape = backend.reshape
    batch, time, *features = ops.shape(inputs)
    size = 1
    for n in features:
        size *= n
    flat = features if backend.flattens_last else [size]

    def per_neuron(value):
        value = backend.cast(value, library.state_dtype)
        value = ops.broadcast_to(value, (batch, *features))
        return reshape(value, (batch, *flat))

    values = [
        getattr(layer, source) if isinstance(source, str) else layer.variables[source]
        for source in step.parameters
    ]
    arrays = [reshape(backend.cast(inputs, library.dtype), (batch, time, *flat))]
    arrays += [per_neuron(state) for state in states]
    arrays += [per_neuron(ops.convert_to_tensor(value)) for value in values]
    if mask is not None:
        arrays.append(backend.cast(mask, "uint8"))
    if step.scalars:
        arrays.append(backend.constant(step.scalars, library.state_dtype, inputs))
    output, *final = backend.run(library, arrays)
    output = reshape(output, (batch, time, *features))
    return output, tuple(reshape(s, (batch, *features)) for s in final)


def _log_once(name, reason):
    if (name, reason) not in _logged:
        _logged.add((name, reason))
        _logger.warning("%s runs on the reference in keras.ops: %s.", name, reason)
