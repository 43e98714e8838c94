"""How many neurons each input of a layer of weights reaches.

A spike in the middle of an image meets the whole kernel of a convolution, one at its
border only a part of it, and strides skip some. Axis by axis, an input at `i` meets an
output through a tap of the kernel or it does not: the numbers of targets are sums over
the taps of products of these.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from keras_spiking.backends.products import geometry
from keras_spiking.layers.recurrent.cells import _SpikingCell

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
CELLS = (layers.SimpleRNNCell, layers.LSTMCell, layers.GRUCell, _SpikingCell)
COUNTED = (
    *(layers.Dense, layers.EinsumDense),
    *(*CONVOLUTIONS, *TRANSPOSED, *DEPTHWISE, *SEPARABLE, *CELLS),
)


def is_counted(layer: keras.layers.Layer) -> bool:
    """Whether a layer has weights, and its synapses are known."""
    if isinstance(layer, layers.EinsumDense):
        # With "ab...,bc->ac..." the axes behind are none of a product's.
        return "..." not in layer.equation.split(",")[0].lstrip(".")
    return isinstance(layer, COUNTED)


def fan_out(
    layer: keras.layers.Layer,
    input_shape: tuple,
    *,
    part: str = "kernel",
    pruned: bool = True,
) -> np.ndarray:
    """The number of synapses behind each input of a layer of weights.

    Biases are no synapses. The sum over all inputs is the number of operations of a
    dense product, without those with the zeros of a padding.

    Args:
        layer: Keras layer: dense, convolutional (separable, depthwise, transposed and
            grouped ones, too), or a cell of a recurrent layer. One that is not built
            counts as if it had no weight of 0.
        input_shape: Tuple of integers, the shape of an input without batch and time.
        part: `"kernel"`, or `"recurrent_kernel"` of a cell, or `"pointwise_kernel"` of
            a separable convolution, which have inputs of their own.
            Defaults to `"kernel"`.
        pruned: Boolean, whether weights that are 0 are left out. Defaults to `True`.

    Returns:
        A float64 array of shape `input_shape`.

    Raises:
        TypeError: if the layer's synapses are not known.
        ValueError: if the shape does not fit the layer, or Keras has quantised it in a
            way whose zeros are not known.

    Example:

    >>> layer = keras.layers.Conv1D(filters=10, kernel_size=3)
    >>> keras_spiking.energy.fan_out(layer, (6, 1))[:, 0].tolist()
    [10.0, 20.0, 30.0, 30.0, 20.0, 10.0]
    """
    if not is_counted(layer):
        raise TypeError(
            "`layer` must be a layer of weights such as Dense or Conv2D. Received: "
            f"layer={layer!r} (of type {type(layer).__name__})"
        )
    shape = tuple(input_shape)
    if len(shape) != (rank := feature_rank(layer, part)):
        raise ValueError(
            f"Without batch and time, inputs of layer '{layer.name}' have {rank} axes. "
            f"Received: input_shape={shape}"
        )
    if not layer.built:
        layer = type(layer).from_config(layer.get_config())
        layer.build((None, *shape))
        pruned = False
    nonzero = _kernel(layer, part, pruned)
    if part != "kernel" or isinstance(layer, (layers.Dense, *CELLS)):
        targets = nonzero.reshape(-1, *nonzero.shape[-2:]).sum(axis=(0, 2))
    elif isinstance(layer, layers.EinsumDense):
        targets = _of_einsum(layer, nonzero)
    else:
        targets = _of_convolution(layer, shape, nonzero)
    try:
        return np.array(np.broadcast_to(targets, shape))
    except ValueError:
        raise ValueError(
            f"`input_shape` must fit layer '{layer.name}', whose inputs have the shape "
            f"{targets.shape}. Received: input_shape={shape}"
        ) from None


def feature_rank(layer, part="kernel"):
    """The number of axes of an input that is multiplied at once."""
    if isinstance(layer, layers.EinsumDense):
        return len(_einsum_labels(layer)[0])
    if part == "kernel" and hasattr(layer, "kernel_size"):
        return len(layer.kernel_size) + 1
    return 1


def kernels(layer):
    """The weights of the synapses of a layer, by the names of their parts."""
    names = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel")
    found = {n: getattr(layer, n) for n in names if hasattr(layer, n)}
    if isinstance(layer, SEPARABLE):
        found["kernel"] = found.pop("depthwise_kernel")
    return found


def _kernel(layer, part, pruned):
    """1 where there is a weight, else 0."""
    found = kernels(layer)
    if part not in found:
        raise ValueError(
            f"`part` must be one of {', '.join(map(repr, found))} for layer "
            f"'{layer.name}'. Received: part={part!r}"
        )
    if not pruned:
        return np.ones(found[part].shape)
    kernel = ops.convert_to_numpy(found[part])
    return (kernel != _zero(layer, kernel.shape)).astype("float64")


def _zero(layer, shape):
    """What stands for a weight of 0 in the kernel of a layer that may be quantised."""
    if layer.quantization_mode in ("gptq", "awq"):
        raise ValueError(
            f"The synapses of layer '{layer.name}' cannot be counted, since Keras has "
            f"quantised it in the mode {layer.quantization_mode!r}. Count them before "
            '`model.quantize`, or quantise by "int8" or "int4".'
        )
    if not hasattr(layer, "kernel_zero"):
        return 0
    zero, group = map(ops.convert_to_numpy, (layer.kernel_zero, layer.g_idx))
    return zero[group.astype(int)].reshape(shape)


def _of_einsum(layer, nonzero):
    features, kernel = _einsum_labels(layer)
    shared = [label for label in features if label in kernel]
    targets = np.einsum(f"{kernel}->{''.join(shared)}", nonzero)
    shape = [nonzero.shape[kernel.index(x)] if x in kernel else 1 for x in features]
    return targets.reshape(shape)


def _einsum_labels(layer):
    """The labels of an input's features, without the batch, and of the kernel."""
    inputs, kernel = layer.equation.replace(" ", "").split("->")[0].split(",")
    # Before an ellipsis or in its place are only axes that the kernel does not have.
    return (inputs.split("...")[1] if "..." in inputs else inputs[1:]), kernel


def _of_convolution(layer, shape, nonzero):
    first = layer.data_format == "channels_first"
    size = shape[1:] if first else shape[:-1]
    if isinstance(layer, TRANSPOSED):
        targets = nonzero.sum(axis=-2)
    elif isinstance(layer, (*DEPTHWISE, *SEPARABLE)):
        targets = nonzero.sum(axis=-1)
    else:
        # A group of channels reaches the filters of the same group.
        *taps, depth, filters = nonzero.shape
        targets = nonzero.reshape(*taps, depth, layer.groups, filters // layer.groups)
        targets = targets.sum(axis=-1).swapaxes(-1, -2).reshape(*taps, -1)
    for axis, n in enumerate(size):
        # The first axis is that of taps, at the end comes the axis of positions.
        targets = np.tensordot(targets, _meets(layer, axis, n), axes=(0, 0))
    return targets if first else np.moveaxis(targets, 0, -1)


def _meets(layer, axis, size):
    """Whether an input meets an output through a tap: `(taps, positions)`."""
    taps, stride = layer.kernel_size[axis], layer.strides[axis]
    dilation = layer.dilation_rate[axis]
    inputs, tap = np.arange(size), np.arange(taps)[:, None]
    if isinstance(layer, TRANSPOSED):
        extra = layer.output_padding
        extra = extra[axis] if isinstance(extra, (list, tuple)) else extra
        outputs, pad, *_ = geometry.transposed_axis(
            size, taps, stride, dilation, extra, layer.padding
        )
        place, step = inputs * stride + tap * dilation - pad, 1
    elif layer.padding == "causal":
        outputs, pad = -(-size // stride), (taps - 1) * dilation
        place, step = inputs + pad - tap * dilation, stride
    else:
        outputs, pad, *_ = geometry.conv_axis(
            size, taps, stride, dilation, layer.padding
        )
        place, step = inputs + pad - tap * dilation, stride
    return (place % step == 0) & (place >= 0) & (place < outputs * step)
