"""Masks: which connections a model has."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_spiking.pruning.kernels import is_kernel

__all__ = ["apply_masks", "masks_of"]


def masks_of(model: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Which weights of each kernel are not 0.

    Args:
        model: A built Keras model or layer.

    Returns:
        A dictionary from the paths of kernels to Boolean arrays of their shapes.

    Example:

    >>> layer = keras.layers.Dense(2, name="dense")
    >>> layer.build((None, 3))
    >>> keras_spiking.pruning.masks_of(layer)["dense/kernel"].all()
    np.True_
    """
    kernels = _kernels(model)
    return {p: keras.ops.convert_to_numpy(v) != 0.0 for p, v in kernels.items()}


def apply_masks(model: keras.layers.Layer, masks: Mapping[str, Any]) -> None:
    """Prunes what masks leave out: sets these weights to 0.

    Train on with `KeepZeros`, so that they stay 0.

    Args:
        model: A built Keras model or layer.
        masks: Dictionary from the paths of kernels, as `masks_of` names them, to arrays
            of their shapes that are Boolean, or 0 and 1. Other kernels stay as they
            are.

    Raises:
        TypeError: if `masks` is no dictionary.
        ValueError: if there is no such kernel, or if a mask has another shape or other
            values. Nothing is pruned then.

    Example:

    >>> layer = keras.layers.Dense(1, name="dense")
    >>> layer.build((None, 3))
    >>> keras_spiking.pruning.apply_masks(layer, {"dense/kernel": [[1], [0], [1]]})
    >>> keras_spiking.pruning.masks_of(layer)["dense/kernel"][:, 0].tolist()
    [True, False, True]
    """
    if not isinstance(masks, Mapping):
        raise TypeError(
            "`masks` must be a dictionary from paths of kernels to arrays, as "
            f"`keras_spiking.pruning.masks_of` returns it. Received: {masks!r}"
        )
    kernels = _kernels(model)
    checked = {}
    for path, mask in masks.items():
        if path not in kernels:
            known = ", ".join(map(repr, kernels))
            raise ValueError(
                f"'{model.name}' has no kernel {path!r}. Its kernels: {known}."
            )
        checked[path] = _check(path, mask, tuple(kernels[path].shape))
    for path, mask in checked.items():
        weights = keras.ops.convert_to_tensor(kernels[path])
        pruned = keras.ops.where(mask, weights, keras.ops.zeros_like(weights))
        kernels[path].assign(pruned)


def _kernels(model):
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"`model` must be a Keras model or layer. Received: {model!r}")
    kernels = {v.path: v for v in model.weights if is_kernel(v)}
    if not kernels:
        raise ValueError(
            f"'{model.name}' has no kernels. Build it first: call it once, or give it "
            "a `keras.Input`."
        )
    return kernels


def _check(path, mask, shape):
    mask = np.asarray(keras.ops.convert_to_numpy(mask))
    if mask.shape != shape:
        raise ValueError(
            f"The mask of {path!r} must have the shape of the kernel, {shape}. "
            f"Received a mask of shape {mask.shape}."
        )
    if not np.all((mask == 0) | (mask == 1)):
        raise ValueError(
            f"The mask of {path!r} must be Boolean, or consist of 0 and 1. Received "
            f"values from {mask.min()} to {mask.max()}."
        )
    return mask.astype(bool)
