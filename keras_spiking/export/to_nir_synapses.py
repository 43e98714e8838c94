"""Layers without state as NIR nodes, arrays with channels first."""

import keras
import numpy as np

from keras_spiking.export import chain
from keras_spiking.export.nir_package import nir

PADDINGS = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D)
POOLING = keras.layers.AveragePooling2D
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
    kernel, bias = chain.weights(stage)
    if isinstance(stage.layer, DEPTHWISE):
        kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
    if normalization is not None:
        kernel, bias = chain.fold_scale_and_shift(
            kernel, bias, *chain.scale_and_shift(normalization)
        )
        kernel, bias = kernel.astype("float32"), bias.astype("float32")
    return kernel, bias


def dense(stage, kernel, bias, pixels=None):
    """A Dense layer after a Flatten of `pixels`, a shape with channels last."""
    if len(stage.input_shape) > 1:
        raise ValueError(
            f"{stage} acts on the last axis of features {stage.input_shape}. Place "
            "a Flatten before it, or use a convolution with a kernel of 1."
        )
    if pixels is not None:
        kernel = kernel.reshape(*pixels, -1)
        kernel = np.moveaxis(kernel, -2, 0).reshape(-1, kernel.shape[-1])
    weight = np.ascontiguousarray(kernel.T)
    return nir().Linear(weight) if bias is None else nir().Affine(weight, bias)


def convolution(stage, kernel, bias, padding):
    """A convolution of an input that `padding` zeros on both sides were added to."""
    layer = chain.inner(stage.layer)
    rank = kernel.ndim - 2
    pads = list(padding[:rank])
    size = [n - 2 * p for n, p in zip(stage.input_shape, pads)]
    if layer.padding == "same":
        pads = [p + q for p, q in zip(pads, _same_padding(stage, layer))]
    elif layer.padding != "valid":
        raise ValueError(f"{stage}: NIR has no `padding={layer.padding!r}`.")
    weight = np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))
    # The package `nir` (1.0.8) infers wrong shapes for groups and for kernels that
    # are not square, and then refuses to read the graph. Zeros say the same.
    weight = _without_groups(weight, stage.input_shape[-1] // weight.shape[1])
    weight, pads = _square(stage, weight, pads, layer.dilation_rate)

    def value(numbers):
        numbers = tuple(int(n) for n in numbers)
        return numbers[0] if rank == 1 else numbers

    node = nir().Conv1d if rank == 1 else nir().Conv2d
    return node(
        input_shape=value(size),
        weight=weight,
        stride=value(layer.strides),
        padding=value(pads),
        dilation=value(layer.dilation_rate),
        groups=1,
        bias=np.zeros(weight.shape[0], weight.dtype) if bias is None else bias,
    )


def _same_padding(stage, layer):
    for size, kernel, stride, dilation in zip(
        stage.input_shape, layer.kernel_size, layer.strides, layer.dilation_rate
    ):
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


def pool(stage, padding, summed):
    """Average pooling, or the sum if the average is `summed` up again."""
    layer = stage.layer
    if layer.padding != "valid" or layer.data_format == "channels_first":
        raise ValueError(
            f"{stage}: only `padding='valid'` and `data_format='channels_last'` can "
            "be exported."
        )
    node = nir().SumPool2d if summed else nir().AvgPool2d
    return node(
        kernel_size=np.array(layer.pool_size),
        stride=np.array(layer.strides),
        padding=np.array(padding),
    )


def is_sum(layer, rescaling):
    """Whether `rescaling` turns the averages of the pooling `layer` into sums."""
    return (
        isinstance(rescaling, keras.layers.Rescaling)
        and not np.any(rescaling.offset)
        and np.all(np.equal(rescaling.scale, np.prod(layer.pool_size)))
    )


def scale(stage):
    layer = stage.layer
    if np.any(layer.offset):
        raise ValueError(f"{stage}: NIR's Scale has no offset.")
    return nir().Scale(per_neuron(layer.scale, stage.output_shape))


def symmetric_padding(stage):
    pads = np.reshape(stage.layer.padding, (-1, 2))
    if np.any(pads[:, 0] != pads[:, 1]):
        raise ValueError(f"{stage}: NIR pads both sides by the same number.")
    return tuple(int(p) for p in pads[:, 0])
