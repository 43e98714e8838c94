"""A layer of Loihi neurons with its synapses, in the integers of the chip.

This is what Lava's netx files hold, and what is simulated and read back.
"""

import dataclasses
import math

import numpy as np

from keras_spiking import loihi
from keras_spiking.export.files import check_bytes


@dataclasses.dataclass
class LavaBlock:
    """Synapses and neurons.

    Args:
        name: Name for messages.
        weight: Array of even integers: `(out, in)` for a dense block,
            `(out, in / groups, height, width)` for a convolution.
        threshold: Integer, in units of 1/64.
        current_decay: Integer in [0, 4096].
        voltage_decay: Integer in [0, 4096].
        shape: `(units,)` or `(channels, height, width)`, of the output.
        bias: Array of integers `(out,)`, or `None`.
        delay: Array of integers `(out,)`, steps by which spikes are late, or
            `None`.
        strides, padding, dilation: Pairs, of a convolution.
        groups: Integer, of a convolution.
        flattens: Boolean, whether the input of a dense block is an image, in
            the order channels, height, width.
    """

    name: str
    weight: np.ndarray
    threshold: int
    current_decay: int
    voltage_decay: int
    shape: tuple
    bias: np.ndarray | None = None
    delay: np.ndarray | None = None
    strides: tuple = (1, 1)
    padding: tuple = (0, 0)
    dilation: tuple = (1, 1)
    groups: int = 1
    flattens: bool = False

    @property
    def is_dense(self):
        return self.weight.ndim == 2

    def check(self):
        """Raises a ValueError if something does not fit the chip or Lava."""

        def within(what, values, minimum, maximum):
            values = np.asarray(values)
            if values.size and (values.min() < minimum or values.max() > maximum):
                raise ValueError(
                    f"{self.name}: {what} must be within [{minimum}, {maximum}] in "
                    f"the chip's integers. It goes from {values.min()} to "
                    f"{values.max()}."
                )

        within(
            "the threshold (64 v_threshold)", self.threshold, 1, loihi.THRESHOLD_MAXIMUM
        )
        within("the current decay", self.current_decay, 0, loihi.DECAY_SCALE)
        within("the voltage decay", self.voltage_decay, 0, loihi.DECAY_SCALE)
        within(
            "a weight (64 w)", self.weight, loihi.WEIGHT_MINIMUM, loihi.WEIGHT_MAXIMUM
        )
        if self.bias is not None:
            within(
                "the bias (64 b)", self.bias, -loihi.BIAS_MAXIMUM, loihi.BIAS_MAXIMUM
            )
        if self.delay is not None:
            within("the delay", self.delay, 0, loihi.DELAY_MAXIMUM)
            if not self.is_dense:
                raise ValueError(
                    f"{self.name}: Lava ignores the delays of convolutions. Use a "
                    "Delay after dense layers only."
                )
        if not self.weight.any():
            raise ValueError(f"{self.name}: Lava cannot load weights that are all 0.")
        smallest = -int(self.weight.min())
        if self.is_dense and self.weight.max() < 0 and not smallest & (smallest - 1):
            raise ValueError(
                f"{self.name}: Lava corrupts a dense matrix of negative weights "
                f"only whose smallest, {-smallest}, is a power of two. Change one "
                "weight by 2/64."
            )

    def check_shapes(self, input_shape):
        """Raises a ValueError if weights, geometry and shapes contradict each other."""

        def equal(what, value, expected):
            if value != expected:
                raise ValueError(
                    f"{self.name}: {what} must be {expected}. Received: {value}"
                )

        outputs = self.weight.shape[0]
        if self.is_dense:
            if len(input_shape) > 1 and not self.flattens:
                raise ValueError(
                    f"{self.name}: an input of shape {input_shape} must be flattened."
                )
            equal("the number of inputs", self.weight.shape[1], math.prod(input_shape))
            equal("the shape", tuple(self.shape), (outputs,))
        else:
            equal("the rank of the weight", self.weight.ndim, 4)
            equal("the rank of the input", len(input_shape), 3)
            if min(*self.strides, *self.dilation, self.groups, outputs) < 1:
                raise ValueError(
                    f"{self.name}: strides, dilation, groups and outputs must be at "
                    f"least 1. Received: {self.strides}, {self.dilation}, "
                    f"{self.groups} and {outputs}"
                )
            if min(self.padding) < 0:
                raise ValueError(
                    f"{self.name}: padding must be at least 0. Received: {self.padding}"
                )
            equal("the outputs beyond whole groups", outputs % self.groups, 0)
            inputs = self.weight.shape[1] * self.groups
            equal("the number of channels", inputs, input_shape[0])
            sizes = zip(
                *(input_shape[1:], self.weight.shape[2:]),
                *(self.padding, self.dilation, self.strides),
            )
            expected = [
                (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, p, d, s in sizes
            ]
            equal("the shape", tuple(self.shape), (outputs, *expected))
        if min(self.shape) < 1:
            raise ValueError(f"{self.name}: the shape is empty: {self.shape}")
        for what in ("bias", "delay"):
            value = getattr(self, what)
            if value is not None and value.shape not in ((1,), (outputs,)):
                equal(f"the shape of the {what}", value.shape, (outputs,))


def check(input_shape, blocks, max_bytes):
    """Raises a ValueError unless blocks that follow one another fit the chip."""
    shapes = [input_shape, *(block.shape for block in blocks)]
    for block, before in zip(blocks, shapes):
        block.check()
        block.check_shapes(before)
        check_bytes(f"{block.name}: a step", 4 * math.prod(block.shape), max_bytes)
