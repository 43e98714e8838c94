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
    def turned(self):
        """The geometry of the gradient of the input, a product as well."""
        return self._replace(
            in_rows=self.out_rows,
            in_columns=self.out_columns,
            channels=self.filters,
            out_rows=self.in_rows,
            out_columns=self.in_columns,
            filters=self.channels,
            transposed=1 - self.transposed,
        )

    @property
    def multiplications(self):
        """How many a dense product has, for each image."""
        taps = self.kernel_rows * self.kernel_columns * self.channels // self.groups
        return self.out_rows * self.out_columns * self.filters * taps


def of_dense(shape, kernel_shape):
    """The geometry of a product with a matrix `(channels, units)`."""
    channels, units = kernel_shape
    return Geometry(channels=channels, filters=units)


def of_conv(
    shape,
    kernel_shape,
    *,
    strides,
    padding,
    dilation_rate,
    data_format,
    depthwise=False,
):
    """The geometry of `ops.conv`, or `None` if it has more than two spatial axes.

    Args:
        shape: Shape of an input, the batch left out.
        kernel_shape: Shape of the kernel.
        strides, padding, dilation_rate, data_format: As for `ops.conv`.
        depthwise: Boolean, whether it is that of `ops.depthwise_conv`.
    """
    size, channels = _split(shape, data_format)
    *kernel, depth, filters = kernel_shape
    if depthwise:
        depth, filters = 1, depth * filters
    every = (_all(v, size) for v in (strides, dilation_rate))
    axes = [conv_axis(*axis, padding) for axis in zip(size, kernel, *every)]
    return _make(size, channels, filters, kernel, axes, channels // depth)


def conv_axis(size, kernel, stride, dilation, padding):
    """Output size, padding, stride and dilation of an axis."""
    width = (kernel - 1) * dilation + 1
    if size is None:
        return None, None, stride, dilation
    if padding == "valid":
        return max((size - width) // stride + 1, 0), 0, stride, dilation
    output = -(-size // stride)
    pad = max((output - 1) * stride + width - size, 0) // 2
    return output, pad, stride, dilation


def of_conv_transpose(
    shape, kernel_shape, *, strides, padding, output_padding, dilation_rate, data_format
):
    """The geometry of `ops.conv_transpose`. See `of_conv`."""
    size, channels = _split(shape, data_format)
    *kernel, filters, _ = kernel_shape
    every = (_all(v, size) for v in (strides, dilation_rate, output_padding))
    axes = [transposed_axis(*axis, padding) for axis in zip(size, kernel, *every)]
    return _make(size, channels, filters, kernel, axes, 1, transposed=1)


def transposed_axis(size, kernel, stride, dilation, extra, padding):
    """Output size, padding, stride and dilation of an axis of a transposed product."""
    width = (kernel - 1) * dilation + 1
    if padding == "valid":
        last = max(width, stride) if extra is None else width + extra
        return (size - 1) * stride + last, 0, stride, dilation
    if extra is None:
        output, cut = size * stride, stride + width - 2
    else:
        output = (size - 1) * stride + width % 2 + extra
        cut = width + width % 2 - 2 + extra
    pad = width - 1 - min((cut + 1) // 2, width - 1)
    return output, pad, stride, dilation


def _make(size, channels, filters, kernel, axes, groups, transposed=0):
    """A geometry of one or two axes of `(output, pad, stride, dilation)`."""
    rank = len(kernel)
    if rank > 2 or None in size:
        return None
    one, ones = [(1, 0, 1, 1)] * (2 - rank), [1] * (2 - rank)
    outputs, pads, strides, dilations = zip(*one, *axes)
    return Geometry(
        *(*ones, *size, channels),
        *(*outputs, filters),
        *(*ones, *kernel),
        *(*strides, *pads, *dilations),
        groups,
        transposed,
    )


def _split(shape, data_format):
    """Sizes of the spatial axes, and the number of channels."""
    if data_format == "channels_last":
        return list(shape[:-1]), shape[-1]
    return list(shape[1:]), shape[0]


def _all(value, axes):
    """A value for each axis."""
    if value is None or isinstance(value, int):
        return (value,) * len(axes)
    return tuple(value)
