"""Settings of the process."""

import os

from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice

_MODES = ("auto", "always", "never")
_fused = check_choice(
    "KERAS_SPIKING_FUSED", os.environ.get("KERAS_SPIKING_FUSED", "auto"), _MODES
)


def set_fused(mode):
    """Says whether fused kernels serve the layers.

    The environment variable `KERAS_SPIKING_FUSED` sets the mode at the start. A
    function that has been compiled already keeps what it was compiled with.

    Args:
        mode: `"auto"`: a fused kernel where there is one, else the reference in
            `keras.ops`. `"always"`: an error where there is none. `"never"`: the
            reference everywhere.

    Example:

    >>> keras_spiking.config.set_fused("never")
    >>> keras_spiking.config.fused()
    'never'
    >>> keras_spiking.config.set_fused("auto")
    """
    global _fused
    _fused = check_choice("mode", mode, _MODES)


def fused():
    """The mode that `set_fused` has set."""
    return _fused


_checks_finite = False


def set_check_finite(check):
    """Sets whether states that become infinite or NaN raise an error.

    A membrane potential that has overflown spoils all time steps that follow, often
    without a sign but silence. The check costs a pass over the states after every
    call. Functions that JAX compiles cannot raise: there, `FiringRateLogger` and
    monitors show such states.

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


def checks_finite():
    """What `set_check_finite` has set."""
    return _checks_finite
