"""The weights of a Dense that Keras has quantised."""

import keras
import numpy as np
from keras import ops


def dequantized_kernel(layer: keras.layers.Dense) -> np.ndarray | None:
    """The kernel that a quantised Dense computes with, or `None` if it has none.

        levels / scale                              (int8, and int4 by output)
        (levels - zero[group]) * scale[group]       (int4 by groups of inputs)

    The inputs are a matter of their own, see `quantizes_inputs`.

    Returns:
        A float64 array `(inputs, units)`. Those of a group are float32 numbers, since
        that is how Keras computes with them.
    """
    if layer.quantization_mode not in ("int8", "int4") or layer.lora_enabled:
        return None
    levels = ops.convert_to_numpy(layer.kernel)
    scale = ops.convert_to_numpy(layer.kernel_scale)
    if not hasattr(layer, "kernel_zero"):
        return levels.astype("float64") / scale
    zero = ops.convert_to_numpy(layer.kernel_zero).astype("float32")
    group = ops.convert_to_numpy(layer.g_idx).astype(int)
    return ((levels - zero[group]) * scale[group]).astype("float64")


def quantizes_inputs(layer: keras.layers.Dense) -> bool:
    """Whether a quantised Dense rounds its inputs, too.

    It does so to 1/127 of the largest one of each sample and step: those that are all
    0 and 1 (or -1, 0 and 1) stay what they are.
    """
    return getattr(layer, "inputs_quantizer", None) is not None
