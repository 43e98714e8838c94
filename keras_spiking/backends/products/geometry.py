"""The shapes of a product, which is a convolution over rows and columns.

A dense layer has one row and one column, a convolution over a sequence has one row.
"""

from typing import NamedTuple

LANES = {"float32": 16, "float64": 8}  # numbers in a vector of 64 bytes


class Geometry(NamedTuple):
    """How inputs, weights and outputs of a product meet.

    Inputs are `(images, in_rows, in_columns, channels)`, weights `(kernel_rows,
    kernel_columns, channels / groups, filters)`, outputs `(images, out_rows,
    out_columns, filters)`. On an axis, output `o` meets input `o stride + tap dilation
    - pad`. If the product is transposed, inputs and outputs change places in that.
    """

    in_rows: int = 1
    in_columns: int = 1
    channels: int = 1
    out_rows: int = 1
    out_columns: int = 1
    filters: int = 1
    kernel_rows: int = 1
    kernel_columns: int = 1
    stride_rows: int = 1
    stride_columns: int = 1
    pad_rows: int = 0
    pad_columns: int = 0
    dilation_rows: int = 1
    dilation_columns: int = 1
    groups: int = 1
    transposed: int = 0

    @property
    def multiplications(self):
        """How many a dense product has, for each image."""
        taps = self.kernel_rows * self.kernel_columns * self.channels // self.groups
        return self.out_rows * self.out_columns * self.filters * taps


def of_dense(channels, units):
    """The geometry of a product with a matrix `(channels, units)`."""
    return Geometry(channels=channels, filters=units)


def of_conv(shape, kernel_shape, *, strides, padding, dilation_rate, data_format):
    """The geometry of `ops.conv`, or `None` if it has more than two spatial axes.

    Args:
        shape: Shape of an input, the batch left out.
        kernel_shape: Shape of the kernel.
        strides, padding, dilation_rate, data_format: As for `ops.conv`.
    """
    *kernel, depth, filters = kernel_shape
    rank = len(kernel)
    if data_format == "channels_last":
        *size, channels = shape
    else:
        channels, *size = shape
    if rank > 2 or None in size or channels % depth:
        return None
    strides, dilation = _pair(strides, rank), _pair(dilation_rate, rank)
    axes = [
        _axis(n, k, s, d, padding)
        for n, k, s, d in zip(size, kernel, strides, dilation)
    ]
    missing = 2 - rank
    outputs, pads = (
        [filler] * missing + [axis[i] for axis in axes]
        for i, filler in enumerate((1, 0))
    )
    ones = [1] * missing
    size, kernel, strides, dilation = (
        ones + list(values) for values in (size, kernel, strides, dilation)
    )
    groups = channels // depth
    return Geometry(
        *size, channels, *outputs, filters, *kernel, *strides, *pads, *dilation, groups
    )


def _axis(size, kernel, stride, dilation, padding):
    """Output size and padding before the first input of an axis."""
    width = (kernel - 1) * dilation + 1
    if padding == "valid":
        return max((size - width) // stride + 1, 0), 0
    output = -(-size // stride)
    return output, max((output - 1) * stride + width - size, 0) // 2


def _pair(value, rank):
    return (value,) * rank if isinstance(value, int) else tuple(value)
