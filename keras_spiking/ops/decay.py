"""What time leaves of a state that decays exponentially."""

import math
from typing import Any

from keras import ops


def decay(time: Any, tau: Any) -> Any:
    """`exp(-time / tau)`: a float of floats, else a tensor.

    Args:
        time: Float or tensor.
        tau: Float or tensor, the time constant in the same unit.
    """
    exponent = -time / tau
    return math.exp(exponent) if isinstance(exponent, float) else ops.exp(exponent)


def turn(states: Any, rate: Any, frequency: Any, time: Any) -> tuple[Any, Any]:
    """`exp(time (-rate + i frequency)) z` of a complex state `z`.

    Args:
        states: Tuple of two tensors, the real and the imaginary part.
        rate: Float or tensor > 0, how fast the state decays.
        frequency: Float or tensor, the angle that it turns by in a unit of time.
        time: Float or tensor.
    """
    cos, sin = rotation(rate, frequency, time)
    real, imaginary = states
    return cos * real - sin * imaginary, sin * real + cos * imaginary


def rotation(rate: Any, frequency: Any, time: Any) -> tuple[Any, Any]:
    """The real and the imaginary part of `exp(time (-rate + i frequency))`."""
    left, angle = decay(time, 1.0 / rate), frequency * time
    functions = math if isinstance(angle, float) else ops
    return left * functions.cos(angle), left * functions.sin(angle)
