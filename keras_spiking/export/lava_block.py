"""A layer of Loihi neurons with its synapses, in the integers of the chip.

This is what Lava's netx files hold, and what is simulated and read back.
"""

import dataclasses

import numpy as np

THRESHOLD_MAXIMUM = 131071
BIAS_LIMIT = 4095
DECAY_MAXIMUM = 4096
DELAY_MAXIMUM = 62
WEIGHT_MINIMUM = -256
WEIGHT_MAXIMUM = 254


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

        within("the threshold (64 v_threshold)", self.threshold, 1, THRESHOLD_MAXIMUM)
        within("the current decay", self.current_decay, 0, DECAY_MAXIMUM)
        within("the voltage decay", self.voltage_decay, 0, DECAY_MAXIMUM)
        within("a weight (64 w)", self.weight, WEIGHT_MINIMUM, WEIGHT_MAXIMUM)
        if self.bias is not None:
            within("the bias (64 b)", self.bias, -BIAS_LIMIT, BIAS_LIMIT)
        if self.delay is not None:
            within("the delay", self.delay, 0, DELAY_MAXIMUM)
            if not self.is_dense:
                raise ValueError(
                    f"{self.name}: Lava ignores the delays of convolutions. Use a "
                    "Delay behind dense layers only."
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
