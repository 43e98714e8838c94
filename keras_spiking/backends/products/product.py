"""A product of a layer, in the shapes that its kernels take."""

import functools
import math
from typing import NamedTuple

from keras import ops

from keras_spiking.backends.loading import active
from keras_spiking.backends.products import geometry as geometries
from keras_spiking.backends.products import library
from keras_spiking.backends.products.geometry import LANES
from keras_spiking.backends.products.geometry import Geometry
from keras_spiking.keras_version import KERAS_VERSION


class Product(NamedTuple):
    """A product of inputs of one shape with weights of one shape.

    Attributes:
        geometry: `Geometry`.
        input_shape: Shape of an input, the batch left out.
        kernel_shape: Shape of the weights, as Keras has them.
        channels_first: Boolean, whether the channels of inputs and outputs come
            first.
        dtype: Dtype that the kernels compute in.
    """

    geometry: Geometry
    input_shape: tuple
    kernel_shape: tuple
    channels_first: bool
    dtype: str

    @property
    def library(self):
        return library.get(self.dtype)

    @property
    def vectors(self):
        """Vectors that hold the filters of a group."""
        filters = self.geometry.filters // self.geometry.groups
        return -(-filters // LANES[self.dtype])

    @property
    def width(self):
        return self.vectors * LANES[self.dtype]

    def forward(self, x, kernel, which="forward", limit=0.0):
        """The product.

        Args:
            x, kernel: Tensors.
            which: The kernel, by default that which walks over the non-zeros of `x`.
            limit: Share of non-zeros up to which one that chooses does that.
        """
        g = self.geometry
        arrays = [self.images(x), self.packed(kernel)]
        shape = (g.out_rows, g.out_columns, g.filters)
        y = active().run_product(self, which, arrays, shape, limit=limit)
        return self.as_output(active().cast(y, x.dtype), x)

    def weights(self, x, upstream, dtype, which="weights", limit=0.0):
        """The gradient of the weights. See `forward`."""
        g = self.geometry
        arrays = [self.images(x), self.gradients(upstream)]
        taps = (g.kernel_rows, g.kernel_columns, g.channels // g.groups)
        shape = (g.groups, *taps, self.width)
        gradient = active().run_product(
            self, which, arrays, shape, whole=True, limit=limit
        )
        return active().cast(self.unpacked(gradient), dtype)

    def inputs(self, x, kernel, upstream):
        """The gradient of the input `x`, by a dense product."""
        g, turned = self.geometry, self._replace(geometry=self.geometry.turned)
        if self.channels_first:
            upstream = ops.moveaxis(upstream, 1, -1)
        shape = (-1, g.out_rows, g.out_columns, g.filters)
        upstream = active().reshape(active().cast(upstream, self.dtype), shape)
        shape = (g.in_rows, g.in_columns, g.channels)
        arrays = [upstream, self.packed(kernel)]
        y = active().run_product(turned, "dense_inputs", arrays, shape)
        y = active().cast(y, x.dtype)
        if not self.channels_first:
            return active().reshape(y, ops.shape(x))
        y = active().reshape(y, (-1, *x.shape[2:], g.channels))
        return active().channels_first(y)

    def nonzeros(self, x):
        """The number of non-zeros of `x`, as a tensor."""
        return ops.sum(self.counts(active().reshape(x, self.images_shape)))

    def counts(self, images):
        """The numbers of non-zeros that parts of the input have."""
        images, shape = active().cast(images, self.dtype), (library.COUNTS,)
        return active().run_product(self, "count", [images], shape, whole=True)

    def sizes(self, images, limit):
        """What kernels are told, for a number of images."""
        return (images, *self.geometry, int(limit * 65536))

    @property
    def images_shape(self):
        g = self.geometry
        return (-1, g.in_rows, g.in_columns, g.channels)

    def images(self, x):
        """Inputs as `(images, in_rows, in_columns, channels)`."""
        if self.channels_first:
            x = ops.moveaxis(x, 1, -1)
        return active().reshape(active().cast(x, self.dtype), self.images_shape)

    def as_output(self, y, x):
        """Outputs as the layer returns them for the input `x`."""
        g = self.geometry
        rank = len(self.kernel_shape) - 2
        leading = ops.shape(x)[:-1] if rank == 0 else (-1,)
        y = active().reshape(
            y, (*leading, *(g.out_rows, g.out_columns)[2 - rank :], g.filters)
        )
        return active().channels_first(y) if self.channels_first else y

    def gradients(self, upstream):
        """Gradients of outputs as `(images, out_rows, out_columns, groups width)`."""
        g = self.geometry
        if self.channels_first:
            upstream = ops.moveaxis(upstream, 1, -1)
        upstream = active().cast(upstream, self.dtype)
        missing = self.width - g.filters // g.groups
        shape = (-1, g.out_rows, g.out_columns)
        if not missing:
            return active().reshape(upstream, (*shape, g.filters))
        upstream = active().reshape(upstream, (*shape, g.groups, g.filters // g.groups))
        upstream = ops.pad(upstream, [(0, 0)] * 4 + [(0, missing)])
        return active().reshape(upstream, (*shape, g.groups * self.width))

    def packed(self, kernel):
        """Weights as `(groups, kernel_rows, kernel_columns, channels, width)`."""
        g = self.geometry
        kernel = self.ordered(kernel)
        if missing := self.width - g.filters // g.groups:
            kernel = ops.pad(kernel, [(0, 0)] * 4 + [(0, missing)])
        if g.groups == 1:
            return active().reshape(kernel, (1, *kernel.shape[:3], self.width))
        return ops.transpose(kernel, (3, 0, 1, 2, 4))

    def ordered(self, kernel):
        """Weights as `(kernel_rows, kernel_columns, channels, groups, filters)`."""
        g = self.geometry
        kernel = active().cast(kernel, self.dtype)
        if g.transposed:  # Keras has the filters before the channels
            kernel = ops.swapaxes(kernel, -1, -2)
        taps = (g.kernel_rows, g.kernel_columns, g.channels // g.groups)
        return active().reshape(kernel, (*taps, g.groups, g.filters // g.groups))

    def unpacked(self, gradient):
        """The gradient of packed weights as that of the weights."""
        g = self.geometry
        gradient = gradient[..., : g.filters // g.groups]
        if g.groups > 1:
            gradient = ops.transpose(gradient, (1, 2, 3, 0, 4))
        if g.transposed:
            gradient = ops.swapaxes(gradient, -1, -2)
        return active().reshape(gradient, self.kernel_shape)

    def images_of(self, x):
        """The number of images, or `None` if only a running graph knows it."""
        leading = x.shape[:-1] if len(self.kernel_shape) == 2 else x.shape[:1]
        return None if None in leading else math.prod(leading)


def of_dense(x, kernel):
    """The product of `Backend.dense`, or `None` if there are no kernels for it."""
    if len(x.shape) < 2:
        return None
    return _make(geometries.of_dense, (x.shape[-1],), kernel, x, "channels_last")


def of_conv(x, kernel, **options):
    """The product of `Backend.conv`, or `None` if there are no kernels for it."""
    return _of(geometries.of_conv, x, kernel, options)


def of_depthwise_conv(x, kernel, **options):
    """The product of `Backend.depthwise_conv`, or `None`."""
    return _of(geometries.of_conv, x, kernel, {**options, "depthwise": True})


def of_conv_transpose(x, kernel, **options):
    """The product of `Backend.conv_transpose`, or `None`."""
    if options["padding"] == "same" and KERAS_VERSION < (3, 15):
        if active().name == "torch":  # Keras padded at other sides there
            return None
    return _of(geometries.of_conv_transpose, x, kernel, options)


def _of(geometry, x, kernel, options):
    items = tuple(
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in options.items()
    )
    shape, data_format = tuple(x.shape[1:]), options["data_format"]
    return _make(geometry, shape, kernel, x, data_format, items)


def _make(geometry, input_shape, kernel, x, data_format, options=()):
    dtype = "float64" if "float64" in str(x.dtype) else "float32"
    shape = tuple(kernel.shape)
    return _cached(geometry, input_shape, shape, dtype, data_format, options)


@functools.lru_cache(maxsize=4096)
def _cached(geometry, input_shape, kernel_shape, dtype, data_format, options):
    g = geometry(input_shape, kernel_shape, **dict(options))
    if g is None:
        return None
    channels_first = data_format == "channels_first"
    return Product(g, input_shape, kernel_shape, channels_first, dtype)
