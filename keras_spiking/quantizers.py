"""Quantisers of weights.

Wrap a layer in `keras_spiking.layers.Quantized` to train it quantisation-aware: the
optimizer moves float weights, and the layer computes with their quantised values. As
a Keras constraint (`kernel_constraint=...`) a quantiser projects the weights
themselves after every update instead; that is for fine-tuning with steps that are
larger than the grid.

Gradients pass straight through all quantisers, also where they clip, so that weights
outside of the range can come back. `clip` on its own stops them there by default.
The functions `round`, `floor`, `ceil`, `trunc` and `clip` are those of
`keras_spiking.ops.rounding`, `step_quantize`, `k_bit_quantize`,
`affine_k_bit_quantize`, `clamp_by_linear` and `multi_level_spike_count` those of
`keras_spiking.ops.quantization`, for quantisers and activations of your own.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_spiking import loihi as chip
from keras_spiking.described import Described
from keras_spiking.ops import rounding
from keras_spiking.ops.quantization import affine_k_bit_quantize
from keras_spiking.ops.quantization import clamp_by_linear
from keras_spiking.ops.quantization import k_bit_quantize
from keras_spiking.ops.quantization import multi_level_spike_count
from keras_spiking.ops.quantization import step_quantize
from keras_spiking.ops.rounding import ceil
from keras_spiking.ops.rounding import clip
from keras_spiking.ops.rounding import floor
from keras_spiking.ops.rounding import round as round
from keras_spiking.ops.rounding import trunc
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

# Without `round`, as in NumPy: `import *` must not replace a built-in function.
__all__ = [
    "AffineKBit",
    "KBit",
    "LoihiWeight",
    "PowerOfTwo",
    "Quantizer",
    "Step",
    "affine_k_bit_quantize",
    "ceil",
    "clamp_by_linear",
    "clip",
    "floor",
    "get",
    "k_bit_quantize",
    "multi_level_spike_count",
    "step_quantize",
    "trunc",
]


class Quantizer(Described, keras.constraints.Constraint):
    """Base class of the quantisers: override `__call__(w)`."""

    def __call__(self, w: Any) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} must implement `__call__(w)`."
        )


@keras.saving.register_keras_serializable("keras_spiking")
class KBit(Quantizer):
    """`2 ** bits` equally spaced values from `minimum` to `maximum`.

        q(w) = minimum + step round((clip(w) - minimum) / step),
        step = (maximum - minimum) / (2 ** bits - 1)

    Args:
        bits: Integer in [1, 16]. Defaults to `8`.
        minimum: Float, the smallest value. Defaults to `0.0`.
        maximum: Float, the largest value. Defaults to `1.0`.

    Example:

    >>> quantizer = keras_spiking.quantizers.KBit(bits=2, maximum=3.0)
    >>> [float(q) for q in quantizer(keras.ops.array([0.1, 1.4, 7.0]))]
    [0.0, 1.0, 3.0]
    """

    def __init__(self, bits: int = 8, minimum: float = 0.0, maximum: float = 1.0):
        self.bits = check_integer("bits", bits, minimum=1, maximum=16)
        self.minimum = check_number("minimum", minimum)
        self.maximum = check_number("maximum", maximum, above=self.minimum)

    def __call__(self, w):
        step = (self.maximum - self.minimum) / (2**self.bits - 1)
        w = rounding.clip(w, self.minimum, self.maximum, pass_through=True)
        return self.minimum + rounding.round((w - self.minimum) / step) * step

    def get_config(self):
        return {"bits": self.bits, "minimum": self.minimum, "maximum": self.maximum}


@keras.saving.register_keras_serializable("keras_spiking")
class Step(Quantizer):
    """The multiple of `step` next to each weight, without bounds.

        q(w) = step round(w / step)

    Args:
        step: Float > 0. Defaults to `1.0`.

    Example:

    >>> quantizer = keras_spiking.quantizers.Step(0.25)
    >>> [float(q) for q in quantizer(keras.ops.array([0.1, -0.4, 7.2]))]
    [0.0, -0.5, 7.25]
    """

    def __init__(self, step: float = 1.0):
        self.step = check_number("step", step, above=0.0)

    def __call__(self, w):
        return step_quantize(w, self.step)

    def get_config(self):
        return {"step": self.step}


@keras.saving.register_keras_serializable("keras_spiking")
class AffineKBit(Quantizer):
    """`2 ** bits` equally spaced values between the extremes of the weights.

        q(w) = min(w) + step round((w - min(w)) / step),
        step = (max(w) - min(w)) / (2 ** bits - 1)

    The values follow the weights. `affine_k_bit_quantize` is the function with a
    weight and a bias that are given, or learned.

    Args:
        bits: Integer in [1, 16]. Defaults to `8`.
        per_channel: Boolean, whether every output channel (the last axis) has
            its own extremes. Defaults to `False`.

    Example:

    >>> quantizer = keras_spiking.quantizers.AffineKBit(bits=1)
    >>> [float(q) for q in quantizer(keras.ops.array([-1.0, 0.2, 3.0]))]
    [-1.0, -1.0, 3.0]
    """

    def __init__(self, bits: int = 8, per_channel: bool = False):
        self.bits = check_integer("bits", bits, minimum=1, maximum=16)
        self.per_channel = check_bool("per_channel", per_channel)

    def __call__(self, w):
        axes = tuple(range(len(w.shape) - 1)) if self.per_channel else None
        fixed = ops.stop_gradient(w)
        minimum = ops.min(fixed, axis=axes, keepdims=True)
        step = (ops.max(fixed, axis=axes, keepdims=True) - minimum) / (2**self.bits - 1)
        step = ops.where(step > 0, step, ops.ones_like(step))
        return minimum + rounding.round((w - minimum) / step) * step

    def get_config(self):
        return {"bits": self.bits, "per_channel": self.per_channel}


@keras.saving.register_keras_serializable("keras_spiking")
class PowerOfTwo(Quantizer):
    """The power of two next to each weight, with its sign: shifts, not products.

        q(w) = sign(w) 2 ** round(log2 |w|)

    Weights below `2 ** (minimum - 0.5)` become 0.

    Args:
        minimum: Integer, the smallest exponent. Defaults to `-7`.
        maximum: Integer, the largest exponent. Defaults to `0`.

    Example:

    >>> quantizer = keras_spiking.quantizers.PowerOfTwo()
    >>> [float(q) for q in quantizer(keras.ops.array([0.3, -0.7, 1e-4]))]
    [0.25, -0.5, 0.0]
    """

    def __init__(self, minimum: int = -7, maximum: int = 0):
        self.minimum = check_integer("minimum", minimum)
        self.maximum = check_integer("maximum", maximum, minimum=self.minimum)

    def __call__(self, w):
        size = ops.abs(w)
        smallest = 2.0 ** (self.minimum - 0.5)
        exponent = ops.round(ops.log(ops.maximum(size, smallest)) / math.log(2.0))
        exponent = ops.clip(exponent, self.minimum, self.maximum)
        power = ops.where(size < smallest, 0.0, ops.exp2(exponent))
        return straight_through(ops.sign(w) * ops.cast(power, w.dtype), w)

    def get_config(self):
        return {"minimum": self.minimum, "maximum": self.maximum}


@keras.saving.register_keras_serializable("keras_spiking")
class LoihiWeight(Quantizer):
    """The weights that Loihi's synapses hold: even integers of 8 bits, over 64.

        q(w) = clip(2 round(32 w), -256, 254) / 64

    so multiples of 1/32 from -4 to 127/32.

    Example:

    >>> quantizer = keras_spiking.quantizers.LoihiWeight()
    >>> [float(q) for q in quantizer(keras.ops.array([0.1, -0.5, 9.0]))]
    [0.09375, -0.5, 3.96875]

    References:
        - [Davies et al., 2018](https://doi.org/10.1109/MM.2018.112130359)
    """

    minimum = chip.WEIGHT_MINIMUM / chip.INPUT_SCALE
    maximum = chip.WEIGHT_MAXIMUM / chip.INPUT_SCALE

    def __call__(self, w):
        scale = chip.INPUT_SCALE / chip.WEIGHT_STEP
        w = rounding.round(scale * w) / scale
        return rounding.clip(w, self.minimum, self.maximum, pass_through=True)


_NAMES = {
    "k_bit": KBit,
    "step": Step,
    "affine_k_bit": AffineKBit,
    "power_of_two": PowerOfTwo,
    "loihi": LoihiWeight,
}


def get(identifier: Any) -> Any:
    """Returns the quantiser that `identifier` stands for.

    Args:
        identifier: `None`, a callable such as a `Quantizer`, its configuration,
            or a name: `"k_bit"`, `"step"`, `"affine_k_bit"`, `"power_of_two"`,
            `"loihi"`.
    """
    if isinstance(identifier, str) and identifier in _NAMES:
        return _NAMES[identifier]()
    quantizer = identifier
    if isinstance(identifier, dict):
        quantizer = keras.saving.deserialize_keras_object(identifier)
    if quantizer is None or callable(quantizer):
        return quantizer
    raise ValueError(
        f"A quantizer must be a callable, None, or one of {', '.join(_NAMES)}. "
        f"Received: {identifier!r}"
    )
