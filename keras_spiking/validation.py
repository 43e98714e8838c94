"""Checks of arguments: what was given, what is allowed, what to do."""

import numbers

import numpy as np


def check_number(name, value, minimum=None, maximum=None, above=None, below=None):
    """Returns `value` as it was given if it is a number within the bounds."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, np.number)):
        raise TypeError(
            f"`{name}` must be a number. Received: {name}={value!r} "
            f"(of type {type(value).__name__})"
        )
    value = value.item() if isinstance(value, np.generic) else value
    array = np.asarray(value, "float64")
    _check_bounds(name, array, value, minimum, maximum, above, below)
    return value


def check_array(name, value, minimum=None, maximum=None, above=None, below=None):
    """Returns a float, or a float64 array if `value` has dimensions."""
    try:
        array = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        raise TypeError(
            f"`{name}` must be a number or an array of numbers. "
            f"Received: {name}={value!r}"
        ) from None
    _check_bounds(name, array, value, minimum, maximum, above, below)
    return float(array) if array.ndim == 0 else array


def check_timesteps(timesteps, name="timesteps"):
    """Returns `timesteps` if it is an integer of at least 1."""
    if isinstance(timesteps, bool) or not isinstance(
        timesteps, (numbers.Integral, np.integer)
    ):
        raise TypeError(
            f"`{name}` must be an integer, the number of time steps to "
            f"simulate. Received: {name}={timesteps!r}"
        )
    if timesteps < 1:
        raise ValueError(f"`{name}` must be at least 1. Received: {name}={timesteps}")
    return int(timesteps)


def _check_bounds(name, array, value, minimum, maximum, above, below):
    if not np.all(np.isfinite(array)):
        raise ValueError(f"`{name}` must be finite. Received: {name}={value!r}")
    if minimum is not None and not np.all(array >= minimum):
        raise ValueError(
            f"`{name}` must be at least {minimum:g}. Received: {name}={value!r}"
        )
    if maximum is not None and not np.all(array <= maximum):
        raise ValueError(
            f"`{name}` must be at most {maximum:g}. Received: {name}={value!r}"
        )
    if above is not None and not np.all(array > above):
        raise ValueError(
            f"`{name}` must be greater than {above:g}. Received: {name}={value!r}"
        )
    if below is not None and not np.all(array < below):
        raise ValueError(
            f"`{name}` must be less than {below:g}. Received: {name}={value!r}"
        )


def check_choice(name, value, choices):
    """Returns `value` if it is one of `choices`."""
    if value not in choices:
        allowed = ", ".join(repr(c) for c in choices)
        raise ValueError(
            f"`{name}` must be one of {allowed}. Received: {name}={value!r}"
        )
    return value


def check_groups(layer, what, size, group):
    """Returns how many groups of `group` there are in `size`, without a rest."""
    if size is None or size % group:
        raise ValueError(
            f"The {what} of {type(layer).__name__} '{layer.name}' must divide into "
            f"groups of {group}. Received: {size} {what}."
        )
    return size // group


def check_mask(layer, shape, mask):
    """Checks that a mask fits the inputs `(batch, time, ...)` of a layer."""
    if mask is not None and not same_shape(mask.shape, shape[:2]):
        raise ValueError(
            f"The `mask` of layer '{layer.name}' must have the shape (batch, "
            f"time) = {tuple(shape[:2])}. Received a mask of shape "
            f"{tuple(mask.shape)}."
        )


def same_shape(shape, other):
    """Whether two shapes are equal as far as they are known."""
    return len(shape) == len(other) and all(
        n is None or m is None or n == m for n, m in zip(shape, other)
    )
