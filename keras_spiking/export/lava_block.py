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
        outputs, inputs, *kernel = self.weight.shape
        shape, flat = [outputs], math.prod(input_shape)
        if not self.is_dense:
            least = (*self.strides, *self.dilation, self.groups, *self.shape)
            if min(least) < 1 or min(self.padding) < 0 or len(kernel) != 2:
                raise ValueError(
                    f"{self.name}: a kernel must have two axes, strides, dilation, "
                    "groups and shape be at least 1, and padding at least 0. Received: "
                    f"{kernel}, {self.strides}, {self.dilation}, {self.groups}, "
                    f"{self.shape} and {self.padding}"
                )
            inputs, flat = inputs * self.groups, input_shape[0]
            for i, size in enumerate(input_shape[1:]):
                extent = self.dilation[i] * (kernel[i] - 1) + 1
                size += 2 * self.padding[i] - extent
                shape.append(size // self.strides[i] + 1)
        facts = [
            ("the number of inputs", inputs, flat),
            ("the outputs beyond whole groups", outputs % self.groups, 0),
            ("the shape", tuple(self.shape), tuple(shape)),
        ]
        if not self.flattens:
            rank = 1 if self.is_dense else 3
            facts.insert(0, ("the rank of the input", len(input_shape), rank))
        for what in ("bias", "delay"):
            value = getattr(self, what)
            if value is not None and value.shape != (1,):
                facts.append((f"the shape of the {what}", value.shape, (outputs,)))
        for what, value, expected in facts:
            if value != expected:
                raise ValueError(
                    f"{self.name}: {what} must be {expected}. Received: {value}"
                )


def check(input_shape, blocks, max_bytes):
    """Raises a ValueError unless blocks that follow one another fit the chip."""
    shapes = [input_shape, *(block.shape for block in blocks)]
    for block, before in zip(blocks, shapes):
        block.check()
        block.check_shapes(before)
        check_bytes(f"{block.name}: a step", 4 * math.prod(block.shape), max_bytes)
