"""Quantisation by the functions of the field, for activations and weights.

Gradients pass straight through all roundings. `keras_spiking.quantizers` has the
classes, which clip into a range.
"""

from typing import Any

from keras import ops

from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


def step_quantize(x: Any, step: float = 1.0) -> Any:
    """The multiple of `step` next to `x`: `step round(x / step)`.

    Args:
        x: Float tensor.
        step: Float > 0. Defaults to `1.0`.
    """
    step = check_number("step", step, above=0.0)
    x = ops.convert_to_tensor(x)
    return straight_through(ops.round(x / step) * step, x)


def k_bit_quantize(x: Any, bits: int) -> Any:
    """`round((2^bits - 1) x) / (2^bits - 1)`: `2 ** bits` values for `x` in [0, 1].

    Args:
        x: Float tensor. Values outside of [0, 1] are rounded, not clipped.
        bits: Integer in [1, 24].
    """
    levels = 2.0 ** check_integer("bits", bits, minimum=1, maximum=24) - 1.0
    x = ops.convert_to_tensor(x)
    return straight_through(ops.round(x * levels) / levels, x)


def affine_k_bit_quantize(x: Any, bits: int, weight: Any, bias: Any) -> Any:
    """`weight k_bit_quantize(x) + bias`, with gradients of all three.

    Args:
        x: Float tensor.
        bits: Integer in [1, 24].
        weight: Float tensor that broadcasts to `x`.
        bias: Float tensor that broadcasts to `x`.
    """
    return weight * k_bit_quantize(x, bits) + bias


def clamp_by_linear(x: Any, epsilon: float = 1e-5) -> Any:
    """`(x - min(x)) / (max(x) + epsilon - min(x))`: `x` scaled into [0, 1).

    Args:
        x: Float tensor.
        epsilon: Float >= 0. Defaults to `1e-5`.
    """
    epsilon = check_number("epsilon", epsilon, minimum=0.0)
    x = ops.convert_to_tensor(x)
    smallest, largest = ops.min(x), ops.max(x) + epsilon
    return (x - smallest) / (largest - smallest)


def multi_level_spike_count(
    x: Any, max_spikes: int, window: tuple[float, float] | None = None
) -> Any:
    """`round(clip(x, 0, max_spikes))`, whose gradient is 1 within a window, else 0.

    Args:
        x: Float tensor.
        max_spikes: Integer >= 1.
        window: Tuple of the ends of the window, or `None`: 0 and `max_spikes`.
            Defaults to `None`.
    """
    max_spikes = check_integer("max_spikes", max_spikes, minimum=1)
    low, high = (0.0, float(max_spikes)) if window is None else window
    x = ops.convert_to_tensor(x)
    count = ops.round(ops.clip(x, 0.0, float(max_spikes)))
    inside = ops.logical_and(x >= low, x <= high)
    return straight_through(count, ops.where(inside, x, ops.stop_gradient(x)))
