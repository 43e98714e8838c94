"""Layers with weights: Dense, convolutions, depthwise convolutions."""

import keras
import numpy as np
from keras import layers

from keras_spiking.dequantized import dequantized_kernel
from keras_spiking.dequantized import quantizes_inputs
from keras_spiking.inference import elementwise
from keras_spiking.inference.graph import Product
from keras_spiking.inference.refusal import Refusal
from keras_spiking.layers import CenteredMaxPooling2D
from keras_spiking.layers import Quantized
from keras_spiking.layers import WeightStandardizedConv2D
from keras_spiking.layers import WeightStandardizedDense

_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_STANDARDIZED = (WeightStandardizedConv2D, WeightStandardizedDense)


def inner(layer):
    """The layer that a `Quantized` trains, or the layer itself."""
    return layer.layer if isinstance(layer, Quantized) else layer


def _weights(layer, value):
    """Kernel and bias, as the layer computes with them, in float64."""
    if _is_quantised_by_keras(layer):
        pair = _dequantized(layer, value), layer.bias
    elif isinstance(layer, Quantized):
        pair = layer.quantized_weights()
    elif isinstance(layer, _STANDARDIZED):
        pair = layer.standardized_kernel, layer.bias
    else:
        pair = layer.kernel, layer.bias
    arrays = [
        None if w is None else keras.ops.convert_to_numpy(w).astype("float64")
        for w in pair
    ]
    if any(w is not None and not np.all(np.isfinite(w)) for w in arrays):
        raise Refusal("it has weights that are NaN or infinite. Train it anew")
    return arrays


def _is_quantised_by_keras(layer):
    return getattr(inner(layer), "quantization_mode", None) is not None


def _dequantized(layer, value):
    if quantizes_inputs(layer) and not value.memory.binary:
        raise Refusal(
            "Keras has quantised it, and rounds its inputs, which are not all 0 and 1. "
            "Quantise its weights only (`model.quantize(config=keras.quantizers."
            "Int8QuantizationConfig(activation_quantizer=None))`), or compile the "
            'model before `model.quantize`, with `weights="int8"`'
        )
    kernel = dequantized_kernel(layer)
    if kernel is None:
        raise Refusal(
            f"Keras has quantised it in the mode {layer.quantization_mode!r}, or it "
            "has a LoRA. Compile the model before `model.quantize`, with "
            '`weights="int8"`, or quantise by "int8" or "int4"'
        )
    return kernel


def _dense(builder, layer, values, over_time):
    (value,) = values
    kernel, bias = _weights(layer, value)
    units = kernel.shape[1]
    bias = np.zeros(units) if bias is None else bias
    lead = value.shape[:-1]
    if lead:
        value = builder.in_order(layer.name, value)
    else:  # the rows of weights take the order of the memory
        arranged = np.zeros((value.memory.size, units))
        np.add.at(arranged, value.positions, kernel)
        kernel = arranged
    count = int(np.prod(lead))
    memory = builder.add(
        Product,
        layer.name,
        [value],
        count * units,
        kernel[None, None, None],
        bias[None],
        *(1, count, 1, count),
        quantized=isinstance(layer, Quantized) or _is_quantised_by_keras(layer),
    )
    positions = np.arange(count * units).reshape(*lead, units)
    return elementwise.activation(builder, layer, value.view(positions), memory)


def _convolution(builder, layer, values, over_time):
    (value,) = values
    _check_folded(over_time)
    kernel, bias = _weights(layer, value)
    convolution = inner(layer)
    depthwise = isinstance(convolution, _DEPTHWISE)
    first = convolution.data_format == "channels_first"
    positions = np.moveaxis(value.positions, 0, -1) if first else value.positions
    if positions.ndim == 2:
        positions, kernel = positions[None], kernel[None]
    rows, columns, channels = positions.shape
    groups = 1 if depthwise else convolution.groups
    filters = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[3]
    bias = np.zeros(filters) if bias is None else bias

    (strides, dilation, padding), (out_rows, out_columns) = geometry(
        convolution, (rows, columns), kernel.shape[:2]
    )
    # In memory each group is an image of its own.
    split = positions.reshape(rows, columns, groups, channels // groups)
    flat = np.arange(split.size).reshape(split.shape).transpose(2, 0, 1, 3).ravel()
    value = builder.in_order(layer.name, value.view(split), flat)
    split_kernel = kernel[None]
    if groups > 1:
        per_group = kernel.reshape(*kernel.shape[:3], groups, filters // groups)
        split_kernel = per_group.transpose(3, 0, 1, 2, 4)
    memory = builder.add(
        Product,
        layer.name,
        [value],
        out_rows * out_columns * filters,
        split_kernel,
        bias.reshape(groups, -1),
        *(rows, columns, out_rows, out_columns, strides, dilation, padding, depthwise),
        quantized=isinstance(layer, Quantized),
    )
    shape = (groups, out_rows, out_columns, filters // groups)
    positions = np.arange(memory.size).reshape(shape).transpose(1, 2, 0, 3)
    positions = positions.reshape(out_rows, out_columns, filters)
    if isinstance(convolution, (layers.Conv1D, layers.DepthwiseConv1D)):
        positions = positions[0]
    if first:
        positions = np.moveaxis(positions, -1, 0)
    return elementwise.activation(builder, layer, value.view(positions), memory)


def _separable(builder, layer, values, over_time):
    raise Refusal("use a DepthwiseConv and a Conv of kernel size 1 in its place")


def geometry(layer, sizes, kernel):
    """Strides, dilation and padding as pairs, and the sizes of the output."""
    strides = _pair(layer.strides)
    dilation = _pair(getattr(layer, "dilation_rate", (1, 1)))
    padding, out, uneven = [], [], False
    for i, (size, taps) in enumerate(zip(sizes, kernel)):
        reach = dilation[i] * (taps - 1) + 1
        total = 0
        if layer.padding == "same":
            steps = -(-size // strides[i])
            total = max((steps - 1) * strides[i] + reach - size, 0)
        before = total // 2
        uneven |= total % 2 == 1
        if layer.padding == "causal" and i == 1:
            before = total = reach - 1
        if isinstance(layer, CenteredMaxPooling2D):
            before, total = layer.margin, 2 * layer.margin
        padding.append(before)
        out.append((size + total - reach) // strides[i] + 1)
    averages = isinstance(layer, (layers.AveragePooling1D, layers.AveragePooling2D))
    if averages and uneven and keras.config.backend() == "torch":
        raise Refusal(
            "with this padding Keras counts values at the border twice on PyTorch, and "
            "on PyTorch only. Choose a `pool_size` that fits the input, or "
            '`padding="valid"`'
        )
    return (strides, dilation, tuple(padding)), out


def _pair(value):
    value = tuple(int(v) for v in np.atleast_1d(value))
    return (1, *value) if len(value) == 1 else value


def _check_folded(over_time):
    if over_time:
        raise Refusal(
            "it works on time as if it were a feature. Put it into a "
            "keras_spiking.layers.SeqToBatch"
        )


RULES = [
    ((layers.Dense, WeightStandardizedDense), _dense),
    (
        (layers.Conv1D, layers.Conv2D, WeightStandardizedConv2D, *_DEPTHWISE),
        _convolution,
    ),
    ((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
]
