"""Layers without state as NIR nodes, arrays with channels first."""

import keras
import numpy as np

from keras_spiking.export import network
from keras_spiking.export.nir_package import nir

PADDINGS = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D)
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, *DEPTHWISE)


def per_neuron(value, shape):
    """One value for every neuron, channels first."""
    value = np.asarray(keras.ops.convert_to_numpy(value), "float64")
    value = np.broadcast_to(value, shape)
    return np.ascontiguousarray(np.moveaxis(value, -1, 0))


def weights(stage, normalization=None):
    """Kernel and bias, or `None`, of a layer and a normalisation after it.

    The kernel of a depthwise convolution is given as that of a convolution with a
    group for each channel.
    """
    kernel, bias = network.weights(stage)
    if isinstance(stage.layer, DEPTHWISE):
        kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
    if normalization is not None:
        kernel, bias = network.fold_scale_and_shift(
            kernel, bias, *network.scale_and_shift(normalization)
        )
        kernel, bias = kernel.astype("float32"), bias.astype("float32")
    return kernel, bias


def dense(stage, kernel, bias, pixels=None):
    """A Dense layer after a Flatten of `pixels`, a shape with channels last."""
    if pixels is not None:
        kernel = kernel.reshape(*pixels, -1)
        kernel = np.moveaxis(kernel, -2, 0).reshape(-1, kernel.shape[-1])
    return _matrix(stage, kernel, bias)


def _matrix(stage, kernel, bias=None):
    """A matrix that multiplies the channels: of pixels, a convolution of 1."""
    *pixels, _ = stage.input_shape
    if len(pixels) > 2:
        raise ValueError(
            f"{stage} acts on the last axis of features {stage.input_shape}. Place "
            "a Flatten before it."
        )
    weight = np.ascontiguousarray(kernel.T)
    if not pixels:
        return nir().Linear(weight) if bias is None else nir().Affine(weight, bias)
    return pointwise(weight, bias, pixels)


def pointwise(weight, bias, pixels):
    """A matrix `(outputs, channels)` at every one of `pixels`, a shape."""
    rank = len(pixels)
    node = nir().Conv1d if rank == 1 else nir().Conv2d

    def value(number):
        return number if rank == 1 else (number,) * rank

    return node(
        input_shape=int(pixels[0]) if rank == 1 else tuple(map(int, pixels)),
        weight=weight.reshape(*weight.shape, *(1,) * rank),
        stride=value(1),
        padding=value(0),
        dilation=value(1),
        groups=1,
        bias=np.zeros(len(weight), weight.dtype) if bias is None else bias,
    )


def voting(stage):
    """The mean of every group of `voting_size` features."""
    classes, size = stage.output_shape[-1], stage.layer.voting_size
    kernel = np.repeat(np.eye(classes, dtype="float32"), size, axis=0) / size
    return _matrix(stage, kernel.astype("float32"))


def normalization(stage):
    """A normalisation that no layer with weights stands before."""
    return _affine(stage, *network.scale_and_shift(stage))


def _affine(stage, scale, shift):
    channels = stage.input_shape[-1]
    kernel = np.diag(np.broadcast_to(scale, channels)).astype("float32")
    bias = np.broadcast_to(shift, channels).astype("float32")
    return _matrix(stage, kernel, bias if np.any(bias) else None)


def identity(shape):
    return nir().Scale(per_neuron(1.0, shape))


def flatten(shape):
    """All features in a row, channels first."""
    return nir().Flatten(
        input_type={"input": np.array(network.channels_first(shape))},
        start_dim=0,
        end_dim=-1,
    )


def convolution(stage, kernel, bias, padding):
    """A convolution of an input that `padding` zeros on both sides were added to."""
    layer = network.inner(stage.layer)
    rank = kernel.ndim - 2
    pads = list(padding[:rank])
    size = [n - 2 * p for n, p in zip(stage.input_shape, pads)]
    # An even kernel is padded more on one side, which NIR's "same" means as well.
    same = layer.padding == "same" and max(layer.strides) == 1 and not any(pads)
    same = same and any(
        d * (k - 1) % 2 for k, d in zip(layer.kernel_size, layer.dilation_rate)
    )
    if layer.padding == "same" and not same:
        shape, sizes = stage.input_shape, layer.kernel_size
        more = same_padding(stage, shape, sizes, layer.strides, layer.dilation_rate)
        pads = [p + q for p, q in zip(pads, more)]
    elif layer.padding not in ("valid", "same"):
        raise ValueError(f"{stage}: NIR has no `padding={layer.padding!r}`.")
    weight = np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))
    # The package `nir` (1.0.8) infers wrong shapes for groups and for kernels that
    # are not square, and then refuses to read the graph. Zeros say the same.
    weight = _without_groups(weight, stage.input_shape[-1] // weight.shape[1])
    if not same:
        weight, pads = _square(stage, weight, pads, layer.dilation_rate)

    def value(numbers):
        numbers = tuple(int(n) for n in numbers)
        return numbers[0] if rank == 1 else numbers

    node = nir().Conv1d if rank == 1 else nir().Conv2d
    return node(
        input_shape=value(size),
        weight=weight,
        stride=value(layer.strides),
        padding="same" if same else value(pads),
        dilation=value(layer.dilation_rate),
        groups=1,
        bias=np.zeros(weight.shape[0], weight.dtype) if bias is None else bias,
    )


def same_padding(stage, shape, sizes, strides, dilations=(1, 1)):
    """What `padding="same"` adds on both sides, by axis."""
    for size, kernel, stride, dilation in zip(shape, sizes, strides, dilations):
        extent = (kernel - 1) * dilation + 1
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        if total % 2:
            raise ValueError(
                f"{stage}: `padding='same'` pads one side more than the other "
                "here, which NIR cannot express. Use zero padding layers and "
                "`padding='valid'`."
            )
        yield total // 2


def _without_groups(weight, groups):
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    full = np.zeros((weight.shape[0], inputs * groups, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        full[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return full


def _square(stage, weight, pads, dilation):
    """Zeros around a kernel, and as much padding more."""
    sizes = weight.shape[2:]
    missing = [max(sizes) - size for size in sizes]
    if any(n % 2 for n in missing):
        raise ValueError(
            f"{stage}: NIR graphs with kernels of an even times an odd size cannot "
            f"be read back. Received: kernel_size={sizes}"
        )
    zeros = [n // 2 for n in missing]
    pads = [p + n * d for p, n, d in zip(pads, zeros, dilation)]
    return np.pad(weight, [(0, 0), (0, 0), *((n, n) for n in zeros)]), pads


def scale(stage):
    layer = stage.layer
    if np.any(layer.offset):
        return _affine(stage, layer.scale, layer.offset)
    return nir().Scale(per_neuron(layer.scale, stage.output_shape))


def symmetric_padding(stage):
    pads = np.reshape(stage.layer.padding, (-1, 2))
    if np.any(pads[:, 0] != pads[:, 1]):
        raise ValueError(f"{stage}: NIR pads both sides by the same number.")
    return tuple(int(p) for p in pads[:, 0])
