"""Settings of the process."""

import os

from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice

__all__ = [
    "checks_finite",
    "event_driven",
    "fused",
    "fused_optimizers",
    "keep_memory",
    "set_check_finite",
    "set_event_driven",
    "set_fused",
    "set_fused_optimizers",
    "set_keep_memory",
]

_MODES = ("auto", "always", "never")


def _initial(variable):
    return check_choice(variable, os.environ.get(variable, "auto"), _MODES)


_fused = _initial("KERAS_SPIKING_FUSED")
_event_driven = _initial("KERAS_SPIKING_EVENT_DRIVEN")
_keep_memory = _initial("KERAS_SPIKING_KEEP_MEMORY")


def set_fused(mode: str):
    """Sets whether layers run on fused kernels.

    The environment variable `KERAS_SPIKING_FUSED` sets the initial mode. A function
    that has already been compiled keeps what it was compiled with.

    Args:
        mode: `"auto"`: a fused kernel where there is one, otherwise the reference in
            `keras.ops`. `"always"`: an error where there is no kernel. `"never"`: the
            reference everywhere.

    Example:

    >>> keras_spiking.config.set_fused("never")
    >>> keras_spiking.config.fused()
    'never'
    >>> keras_spiking.config.set_fused("auto")
    """
    global _fused
    _fused = check_choice("mode", mode, _MODES)


def fused() -> str:
    """Returns the mode that `set_fused` has set."""
    return _fused


def set_event_driven(mode: str):
    """Sets whether products in containers walk only over what is not zero.

    They are those of `Dense` and of convolutions over one or two axes in `SeqToBatch`,
    `StepByStep` and other containers, on a CPU. The environment variable
    `KERAS_SPIKING_EVENT_DRIVEN` sets the initial mode. A function that has already
    been compiled keeps what it was compiled with.

    Args:
        mode: `"auto"`: where few enough inputs are not zero for that to be faster.
            `"always"`: whatever is given, or an error where there is no such product.
            `"never"`: the dense product everywhere.

    Example:

    >>> keras_spiking.config.set_event_driven("never")
    >>> keras_spiking.config.event_driven()
    'never'
    >>> keras_spiking.config.set_event_driven("auto")
    """
    global _event_driven
    _event_driven = check_choice("mode", mode, _MODES)


def event_driven() -> str:
    """Returns the mode that `set_event_driven` has set."""
    return _event_driven


def set_keep_memory(mode: str):
    """Sets whether the C library keeps the memory of arrays that are freed.

    Large models train up to twice as fast on a CPU if it does, since new memory
    comes from the system page by page. The price: the process never shrinks, and
    other processes cannot have what it does not use. The setting is read when a
    layer of neurons is built (on JAX as well when the package is imported, before
    JAX starts its threads); memory that has once been kept is kept to the end of
    the process. The environment variable `KERAS_SPIKING_KEEP_MEMORY` sets the initial
    mode.

    Args:
        mode: `"auto"`: where that is faster, which is on PyTorch and JAX without a
            GPU, on Linux with glibc, unless environment variables tell glibc otherwise.
            `"always"`: on all backends, or a `RuntimeError` with the reason.
            `"never"`: memory goes back to the system.

    Example:

    >>> keras_spiking.config.set_keep_memory("never")
    >>> keras_spiking.config.keep_memory()
    'never'
    >>> keras_spiking.config.set_keep_memory("auto")
    """
    global _keep_memory
    _keep_memory = check_choice("mode", mode, _MODES)


def keep_memory() -> str:
    """Returns the mode that `set_keep_memory` has set."""
    return _keep_memory


_SWITCH = {"on": True, "off": False}
_fused_optimizers = _SWITCH[
    check_choice(
        "KERAS_SPIKING_FUSED_OPTIMIZERS",
        os.environ.get("KERAS_SPIKING_FUSED_OPTIMIZERS", "on"),
        tuple(_SWITCH),
    )
]


def set_fused_optimizers(fused: bool):
    """Sets whether Keras's `Adam`, `AdamW` and `SGD` run PyTorch's fused updates.

    These make an update in one pass over the weights where Keras makes about ten, with
    the same results, variables and files. Other backends have nothing of the kind. It
    holds for all models of the process, from when the first layer of neurons is built.
    The environment variable `KERAS_SPIKING_FUSED_OPTIMIZERS`, `on` or `off`, sets the
    initial value.

    Args:
        fused: Boolean. Initially `True`.

    Example:

    >>> keras_spiking.config.set_fused_optimizers(False)
    >>> keras_spiking.config.fused_optimizers()
    False
    >>> keras_spiking.config.set_fused_optimizers(True)
    """
    global _fused_optimizers
    _fused_optimizers = check_bool("fused", fused)


def fused_optimizers() -> bool:
    """Returns whether `set_fused_optimizers` has switched fused updates on."""
    return _fused_optimizers


_checks_finite = False


def set_check_finite(check: bool):
    """Sets whether states that become infinite or NaN raise an error.

    A membrane potential that has overflowed spoils all later time steps, often
    with no other sign than missing spikes. The check costs a pass over the states
    after every call. Functions compiled by JAX cannot raise: there, `FiringRateLogger`
    and monitors show such states.

    Args:
        check: Boolean. Initially `False`.

    Example:

    >>> keras_spiking.config.set_check_finite(True)
    >>> keras_spiking.config.checks_finite()
    True
    >>> keras_spiking.config.set_check_finite(False)
    """
    global _checks_finite
    _checks_finite = check_bool("check", check)


def checks_finite() -> bool:
    """Returns whether `set_check_finite` has switched the check on."""
    return _checks_finite
