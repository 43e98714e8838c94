"""NIR's nodes without state as Keras layers, with channels last."""

import math

import keras
import numpy as np

from keras_spiking.export import from_nir_neurons
from keras_spiking.export.files import check_bytes
from keras_spiking.export.nir_graph import shape_of


def _affine(node, options):
    if np.ndim(node.weight) != 2:
        raise ValueError(
            f"the weight of {type(node).__name__} must be a matrix. Its shape is "
            f"{np.shape(node.weight)}."
        )
    bias = getattr(node, "bias", None)
    layer = keras.layers.Dense(node.weight.shape[0], use_bias=bias is not None)
    layer.build((None, node.weight.shape[1]))
    layer.set_weights([node.weight.T] + ([] if bias is None else [bias]))
    return [layer]


def _convolution(rank):
    convolution = keras.layers.Conv1D if rank == 1 else keras.layers.Conv2D
    padding_layer = (
        keras.layers.ZeroPadding1D if rank == 1 else (keras.layers.ZeroPadding2D)
    )

    def convert(node, options):
        strides, dilation = _tuple(node.stride, rank), _tuple(node.dilation, rank)
        padding, before = "valid", []
        if isinstance(node.padding, str):
            padding = node.padding
            if padding == "same" and any(s != 1 for s in strides):
                raise ValueError("padding 'same' needs a stride of 1.")
        elif any(pads := _tuple(node.padding, rank)):
            before = [_pad(padding_layer, pads)]
        weight = node.weight
        if max(strides) > 1 and max(dilation) > 1:  # not both at once in Keras
            weight = _dilated(weight, dilation, options.max_bytes)
            dilation = 1
        bias = np.any(node.bias)
        layer = convolution(
            weight.shape[0],
            weight.shape[2:],
            strides=strides,
            padding=padding,
            dilation_rate=dilation,
            groups=int(node.groups),
            use_bias=bool(bias),
            data_format="channels_last",
        )
        kernel = np.moveaxis(weight, (0, 1), (-1, -2))
        layer.build((*(None,) * (rank + 1), kernel.shape[-2] * int(node.groups)))
        layer.set_weights([kernel] + ([node.bias] if bias else []))
        return [*before, layer]

    return convert


def _dilated(weight, dilation, max_bytes):
    """The kernel with zeros between its values."""
    sizes = [(n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilation)]
    size = weight.itemsize * math.prod((*weight.shape[:2], *sizes))
    check_bytes("the kernel with its dilation", size, max_bytes)
    dilated = np.zeros((*weight.shape[:2], *sizes), weight.dtype)
    dilated[(..., *(slice(None, None, d) for d in dilation))] = weight
    return dilated


def _pool(node, options):
    size, strides = _tuple(node.kernel_size, 2), _tuple(node.stride, 2)
    pads = _tuple(node.padding, 2)
    found = [_pad(keras.layers.ZeroPadding2D, pads)] if any(pads) else []
    found.append(
        keras.layers.AveragePooling2D(size, strides, data_format="channels_last")
    )
    if type(node).__name__ == "SumPool2d":
        found.append(keras.layers.Rescaling(float(np.prod(size))))
    return found


def _pad(layer, pads):
    if len(pads) == 1:
        return layer(pads[0])
    return layer(pads, data_format="channels_last")


def _flatten(node, options):
    shape = shape_of(node.input_type)
    first = 0
    if len(shape) == 4 and shape[0] == 1:  # written with the batch by snnTorch
        shape, first = shape[1:], 1
    starts = (first, -len(shape))
    if node.start_dim not in starts or node.end_dim not in (-1, first + len(shape) - 1):
        raise ValueError(
            "only a Flatten of all features can be read. Received: start_dim="
            f"{node.start_dim}, end_dim={node.end_dim}"
        )
    order = {1: [], 2: [(2, 1)], 3: [(3, 1, 2)]}[len(shape)]
    return [
        *(keras.layers.Permute(dims) for dims in order),
        keras.layers.Flatten(data_format="channels_last"),
    ]


def _scale(node, options):
    return [from_nir_neurons.rescaling(from_nir_neurons.array(node.scale))]


NODES = {
    "Affine": _affine,
    "Linear": _affine,
    "Conv1d": _convolution(1),
    "Conv2d": _convolution(2),
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
    "Scale": _scale,
}


def _tuple(value, rank):
    value = np.asarray(value)
    if np.any(value != np.floor(value)) or np.any(value < 0):
        raise ValueError(
            "sizes, strides, padding and dilation must be integers of at least 0. "
            f"Received: {value}"
        )
    return tuple(int(n) for n in np.broadcast_to(value, rank))


def channels_last(shape):
    return shape if len(shape) == 1 else (*shape[1:], shape[0])
