"""Quantisation that gradients pass straight through.

The functions round in the forward pass and have the gradient of the identity.
The classes are quantisers of weights. Wrap a layer in
`keras_spiking.layers.Quantized` to train it quantisation-aware: the optimizer
moves float weights, and the layer computes with their quantised values. As a
Keras constraint (`kernel_constraint=...`) a quantiser projects the weights
themselves after every update instead; that is for fine-tuning with steps that
are larger than the grid.
"""

import math

import keras
from keras import ops

from keras_spiking.validation import check_number


def _straight_through(x, quantized):
    return x + ops.stop_gradient(quantized - x)


def round(x):
    """The nearest integer, ties to even."""
    return _straight_through(x, ops.round(x))


def floor(x):
    """The largest integer that is not above `x`."""
    return _straight_through(x, ops.floor(x))


def ceil(x):
    """The smallest integer that is not below `x`."""
    return _straight_through(x, ops.ceil(x))


def trunc(x):
    """The integer next to `x` towards zero."""
    return _straight_through(x, ops.trunc(x))


def clip(x, minimum, maximum):
    """`x` within `[minimum, maximum]`; the gradient passes outside of it, too."""
    return _straight_through(x, ops.clip(x, minimum, maximum))


class Quantizer(keras.constraints.Constraint):
    """Base class of the quantisers: override `__call__(w)`."""

    def __call__(self, w):
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

    def __init__(self, bits=8, minimum=0.0, maximum=1.0):
        self.bits = _check_bits(bits)
        self.minimum = check_number("minimum", minimum)
        self.maximum = check_number("maximum", maximum, above=self.minimum)

    def __call__(self, w):
        step = (self.maximum - self.minimum) / (2**self.bits - 1)
        w = clip(w, self.minimum, self.maximum)
        return self.minimum + round((w - self.minimum) / step) * step

    def get_config(self):
        return {"bits": self.bits, "minimum": self.minimum, "maximum": self.maximum}


@keras.saving.register_keras_serializable("keras_spiking")
class AffineKBit(Quantizer):
    """`2 ** bits` equally spaced values between the extremes of the weights.

        q(w) = min(w) + step round((w - min(w)) / step),
        step = (max(w) - min(w)) / (2 ** bits - 1)

    Args:
        bits: Integer in [1, 16]. Defaults to `8`.
        per_channel: Boolean, whether every output channel (the last axis) has
            its own extremes. Defaults to `False`.

    Example:

    >>> quantizer = keras_spiking.quantizers.AffineKBit(bits=1)
    >>> [float(q) for q in quantizer(keras.ops.array([-1.0, 0.2, 3.0]))]
    [-1.0, -1.0, 3.0]
    """

    def __init__(self, bits=8, per_channel=False):
        self.bits = _check_bits(bits)
        self.per_channel = bool(per_channel)

    def __call__(self, w):
        axes = tuple(range(len(w.shape) - 1)) if self.per_channel else None
        fixed = ops.stop_gradient(w)
        minimum = ops.min(fixed, axis=axes, keepdims=True)
        step = (ops.max(fixed, axis=axes, keepdims=True) - minimum) / (2**self.bits - 1)
        step = ops.where(step > 0, step, ops.ones_like(step))
        return minimum + round((w - minimum) / step) * step

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

    def __init__(self, minimum=-7, maximum=0):
        self.minimum = check_number("minimum", minimum)
        self.maximum = check_number("maximum", maximum, minimum=self.minimum)

    def __call__(self, w):
        size = ops.abs(w)
        smallest = 2.0 ** (self.minimum - 0.5)
        exponent = ops.round(ops.log(ops.maximum(size, smallest)) / math.log(2.0))
        exponent = ops.clip(exponent, self.minimum, self.maximum)
        power = ops.where(size < smallest, 0.0, ops.exp2(exponent))
        return _straight_through(w, ops.sign(w) * ops.cast(power, w.dtype))

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

    minimum = -256 / 64
    maximum = 254 / 64

    def __call__(self, w):
        return clip(round(32.0 * w) / 32.0, self.minimum, self.maximum)


def _check_bits(bits):
    bits = check_number("bits", bits, minimum=1)
    if bits != int(bits) or bits > 16:
        raise ValueError(
            f"`bits` must be an integer from 1 to 16. Received: bits={bits!r}"
        )
    return int(bits)


_NAMES = {
    "k_bit": KBit,
    "affine_k_bit": AffineKBit,
    "power_of_two": PowerOfTwo,
    "loihi": LoihiWeight,
}


def get(identifier):
    """Returns the quantiser that `identifier` stands for.

    Args:
        identifier: `None`, a callable such as a `Quantizer`, its configuration,
            or a name: `"k_bit"`, `"affine_k_bit"`, `"power_of_two"`, `"loihi"`.
    """
    if isinstance(identifier, str) and identifier in _NAMES:
        return _NAMES[identifier]()
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if identifier is None or callable(identifier):
        return identifier
    raise ValueError(
        f"A quantizer must be a callable, None, or one of {', '.join(_NAMES)}. "
        f"Received: {identifier!r}"
    )
