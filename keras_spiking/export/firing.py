"""Thresholds of neurons that fire at equality, and of neurons that do not."""

import numpy as np


def check_spikes(stage):
    """Raises `ValueError` for neurons whose surrogate does not spike."""
    surrogate = getattr(stage.layer, "surrogate", None)
    if surrogate is not None and not surrogate.spiking:
        raise ValueError(
            f"{stage} has no spikes, but smooth activations: assign "
            f"`layer.surrogate.spiking = True` first. Received: surrogate={surrogate!r}"
        )


def above(threshold, dtype="float32"):
    """The threshold at which to fire in order to fire above `threshold` only.

    That is the next float. Subnormal ones are left out: some backends round them to 0.
    """
    threshold = np.asarray(threshold, dtype)
    smallest = np.finfo(dtype).tiny
    found = np.nextafter(threshold, np.asarray(np.inf, dtype))
    found = np.where(np.abs(found) < smallest, smallest * (threshold >= 0), found)
    return found.astype("float64")


def below(threshold, dtype="float32"):
    """The threshold above which to fire in order to fire at `threshold`, too."""
    return -above(-np.asarray(threshold, dtype), dtype)
