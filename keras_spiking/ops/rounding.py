"""Rounding that gradients pass straight through.

The values are those of the functions of the same name in `keras.ops`; the gradient is
that of the identity. Call them with the module's name, `rounding.round(x)`: `round`
is a built-in function, too.
"""

from typing import Any

from keras import ops

from keras_spiking.ops.straight_through import straight_through


def round(x: Any) -> Any:
    """The nearest integer, ties to even."""
    return straight_through(ops.round(x), x)


def floor(x: Any) -> Any:
    """The largest integer that is not above `x`."""
    return straight_through(ops.floor(x), x)


def ceil(x: Any) -> Any:
    """The smallest integer that is not below `x`."""
    return straight_through(ops.ceil(x), x)


def trunc(x: Any) -> Any:
    """The integer next to `x` towards zero."""
    return straight_through(ops.trunc(x), x)


def clip(x: Any, minimum: Any, maximum: Any, *, pass_through: bool = False) -> Any:
    """`x` within `[minimum, maximum]`.

    Args:
        x: Float tensor.
        minimum: Float or tensor, the lower end.
        maximum: Float or tensor, the upper end.
        pass_through: Boolean, the gradient outside of the range: 0 with `False`, 1
            with `True`, so that values outside can be trained to come back. Within
            the range, ends included, it is 1. Defaults to `False`.
    """
    like = x = ops.convert_to_tensor(x)
    if not pass_through:
        inside = ops.logical_and(x >= minimum, x <= maximum)
        like = ops.where(inside, x, ops.stop_gradient(x))
    return straight_through(ops.clip(x, minimum, maximum), like)
