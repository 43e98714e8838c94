"""NIR's neurons as layers, one time step of `dt` computed as the reader asks.

With `a` the part of the distance to rest that is lost in a step and `g` the gain
of the input, all neurons come down to `v += a (v_leak - v) + g x`.
"""

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.export.firing import above

DISCRETIZATIONS = ("euler", "exponential", "unit_gain")


def to_layers(node, options):
    """A list of layers that compute the NIR node `node`."""
    kind = type(node).__name__
    if kind == "Threshold":
        # All of the past leaks away in a step.
        threshold = _threshold(node.threshold, options)
        return [layers.LIFLayer(tau=1.0, decay_input=False, v_threshold=threshold)]
    if kind == "I":
        gain = _gain(array(node.r) * options.dt, options)
        return [rescaling(gain), layers.Integrator()]
    if kind == "IF":
        gain = _gain(array(node.r) * options.dt, options)
        return [*_scaled(gain), layers.IFLayer(**_firing(node, options))]
    if kind in ("LI", "LIF"):
        return _leaky(node, node.tau, options)
    if kind in ("CubaLI", "CubaLIF"):
        lost = _lost(node.tau_syn, options)
        gain = _gain(array(node.w_in) * lost, options)
        current = layers.LILayer(tau=_float32(1 / lost), decay_input=False)
        return [*_scaled(gain), current, *_leaky(node, node.tau_mem, options)]
    raise ValueError(
        f"nodes of type {kind} cannot be read. These can: Affine, Linear, Conv1d, "
        "Conv2d, SumPool2d, AvgPool2d, Flatten, Scale, Threshold, Delay, I, IF, LI, "
        "LIF, CubaLI, CubaLIF."
    )


def _leaky(node, tau, options):
    lost = _lost(tau, options)
    gain = _gain(array(node.r) * lost, options)
    fires = hasattr(node, "v_threshold")
    hard = fires and options.reset == "hard"
    rest = array(node.v_reset) if hard else np.zeros(())
    shift = (array(node.v_leak) - rest) * lost
    decay_input = bool(np.array_equal(gain, lost)) and not np.any(shift)
    before = [] if decay_input else _scaled(gain, shift)
    time = {"tau": _float32(1 / lost), "decay_input": decay_input}
    if not fires:
        return [*before, layers.LILayer(**time)]
    return [*before, layers.LIFLayer(**time, **_firing(node, options))]


def _lost(tau, options):
    tau, dt = array(tau), options.dt
    if np.any(tau <= 0):
        raise ValueError(f"time constants must be positive. Received: {np.min(tau):g}")
    if options.discretization == "exponential":
        return -np.expm1(-dt / tau)
    # A time constant of one step must survive the division of floats.
    lost = dt / tau
    lost = np.where(np.float32(lost) == 1, 1.0, lost)
    if np.any(lost > 1):
        raise ValueError(
            f"time constants must be at least dt={dt:g} for Euler steps. The shortest "
            f"is {np.min(tau):g}: choose a smaller `dt`, or "
            '`discretization="exponential"`.'
        )
    return lost


def _gain(gain, options):
    return np.ones(()) if options.discretization == "unit_gain" else gain


def _firing(node, options):
    reset = _number(array(node.v_reset)) if options.reset == "hard" else None
    return {"v_threshold": _threshold(node.v_threshold, options), "v_reset": reset}


def _threshold(threshold, options):
    threshold = array(threshold)
    if not options.at_threshold:
        double = keras.config.dtype_policy().compute_dtype == "float64"
        threshold = above(threshold, "float64" if double else "float32")
    if np.any(threshold < 0):
        raise ValueError("negative thresholds cannot be expressed.")
    return _number(threshold)


def _scaled(gain, shift=0.0):
    if np.all(np.float32(gain) == 1) and not np.any(shift):
        return []
    return [rescaling(gain, shift)]


def rescaling(scale, offset=0.0):
    """A layer that computes `scale * x + offset`."""
    return keras.layers.Rescaling(_number(scale), _number(offset))


def array(value):
    """Parameters `(channels, height, width)`, as an array with channels last; one
    number if they are all equal."""
    value = np.asarray(value, "float64")
    if value.size and np.all(value == value.flat[0]):
        return value.flat[0].reshape(())
    return np.moveaxis(value, 0, -1) if value.ndim > 1 else value


def _number(value):
    return float(value) if np.ndim(value) == 0 else np.asarray(value).tolist()


def _float32(value):
    # What was stored as dt * tau comes back with the rounding of float64 only.
    return _number(np.float32(value).astype("float64"))
