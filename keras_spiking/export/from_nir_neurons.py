"""NIR's neurons as layers, one time step of `dt` computed as the reader asks.

With `a` the part of the distance to rest that is lost in a step and `g` the gain
of the input, all neurons come down to `v += a (v_leak - v) + g x`.
"""

import keras
import numpy as np

from keras_spiking import layers

DISCRETIZATIONS = ("euler", "exponential", "unit_gain")


def to_layers(name, node, dt, discretization, reset):
    """A list of layers that compute the NIR node `node`."""
    kind = type(node).__name__
    if kind == "Threshold":
        return [_memoryless(array(node.threshold))]
    if kind == "I":
        return [rescaling(_gain(array(node.r) * dt, discretization)), _integrator()]
    if kind == "IF":
        gain = _gain(array(node.r) * dt, discretization)
        neurons = layers.IFLayer(**_firing(name, node, reset, 0.0))
        return [*_scaled(gain), neurons]
    if kind in ("LI", "LIF"):
        return _leaky(name, node, node.tau, dt, discretization, reset)
    if kind in ("CubaLI", "CubaLIF"):
        lost = _lost(name, node.tau_syn, dt, discretization)
        gain = _gain(array(node.w_in) * lost, discretization)
        current = layers.LILayer(tau=_float32(1 / lost), decay_input=False)
        membrane = _leaky(name, node, node.tau_mem, dt, discretization, reset)
        return [*_scaled(gain), current, *membrane]
    raise ValueError(
        f"Node {name!r}: nodes of type {kind} cannot be read. These can: Affine, "
        "Linear, Conv1d, Conv2d, SumPool2d, AvgPool2d, Flatten, Scale, Threshold, "
        "Delay, I, IF, LI, LIF, CubaLI, CubaLIF."
    )


def _leaky(name, node, tau, dt, discretization, reset):
    lost = _lost(name, tau, dt, discretization)
    gain = _gain(array(node.r) * lost, discretization)
    v_leak = array(node.v_leak)
    fires = hasattr(node, "v_threshold")
    rest = array(node.v_reset) if fires and reset == "hard" else np.zeros(())
    shift = (v_leak - rest) * lost
    decay_input = bool(np.array_equal(gain, lost)) and not np.any(shift)
    before = [] if decay_input else _scaled(gain, shift)
    time = {"tau": _float32(1 / lost), "decay_input": decay_input}
    if not fires:
        return [*before, layers.LILayer(**time)]
    firing = _firing(name, node, reset, v_leak)
    return [*before, layers.LIFLayer(**time, **firing)]


def _lost(name, tau, dt, discretization):
    tau = array(tau)
    if discretization == "exponential":
        return -np.expm1(-dt / tau)
    # A time constant of one step must survive the division of floats.
    lost = dt / tau
    lost = np.where(np.float32(lost) == 1, 1.0, lost)
    if np.any(lost > 1) or np.any(lost <= 0):
        raise ValueError(
            f"Node {name!r}: time constants must be at least dt={dt:g} for Euler "
            f"steps. The shortest is {np.min(tau):g}: choose a smaller `dt`, or "
            '`discretization="exponential"`.'
        )
    return lost


def _gain(gain, discretization):
    return np.ones(()) if discretization == "unit_gain" else gain


def _firing(name, node, reset, v_leak):
    threshold = array(node.v_threshold)
    if np.any(threshold < 0):
        raise ValueError(f"Node {name!r}: negative thresholds cannot be expressed.")
    if reset == "soft":
        return {"v_threshold": _number(threshold), "v_reset": None}
    return {
        "v_threshold": _number(threshold),
        "v_reset": _number(array(node.v_reset)),
    }


def _memoryless(threshold):
    # All of the past leaks away in a step.
    return layers.LIFLayer(tau=1.0, decay_input=False, v_threshold=_number(threshold))


def _integrator():
    return layers.Integrator()


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
