"""Keras layers by operations that the package has a faster form of.

Containers call a layer here instead of by `layer(x)`, if its class is one of Keras's
own that are listed below, and nobody has changed or watches how it is called.
"""

import keras
from keras import ops

from keras_spiking.backends.loading import active
from keras_spiking.layers import batch_statistics
from keras_spiking.ops import products


def serving(layer, x, mask):
    """The function `f(layer, x, training)` that serves a call, or `None`."""
    function = _FUNCTIONS.get(type(layer))
    if function is None or mask is not None or not _is_plain(layer, x):
        return None
    return function


def _is_plain(layer, x):
    """Whether `layer(x)` would do nothing besides `layer.call`."""
    return (
        layer.built
        and not isinstance(x, keras.KerasTensor)
        and "call" not in vars(layer)  # a monitor is around it
        and layer.activity_regularizer is None
        and layer.dtype_policy.quantization_mode is None
        and not getattr(layer, "lora_enabled", False)
        and not getattr(layer, "_forward_hooks", None)  # it is a module of PyTorch
        and not getattr(layer, "_forward_pre_hooks", None)
    )


def _cast(layer, *tensors):
    return (ops.cast(tensor, layer.compute_dtype) for tensor in tensors)


def _dense(layer, x, training):
    x, kernel = _cast(layer, x, layer.kernel)
    return _finish(layer, products.dense(x, kernel), -1)


def _conv(layer, x, training):
    x, kernel = _cast(layer, x, layer.kernel)
    padding = layer.padding
    if padding == "causal":
        widths = [(0, 0)] * len(x.shape)
        axis = 1 if layer.data_format == "channels_last" else 2
        widths[axis] = (layer.dilation_rate[0] * (layer.kernel_size[0] - 1), 0)
        x, padding = ops.pad(x, widths), "valid"
    return _convolved(layer, products.conv, x, kernel, padding)


def _depthwise_conv(layer, x, training):
    x, kernel = _cast(layer, x, layer.kernel)
    return _convolved(layer, products.depthwise_conv, x, kernel, layer.padding)


def _conv_transpose(layer, x, training):
    x, kernel = _cast(layer, x, layer.kernel)
    options = {"output_padding": layer.output_padding}
    return _convolved(
        layer, products.conv_transpose, x, kernel, layer.padding, **options
    )


def _convolved(layer, product, x, kernel, padding, **options):
    y = product(
        x,
        kernel,
        strides=layer.strides,
        padding=padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
        **options,
    )
    return _finish(layer, y, -1 if layer.data_format == "channels_last" else 1)


def _finish(layer, y, axis):
    """Bias and activation."""
    if layer.use_bias:
        shape = [1] * len(y.shape)
        shape[axis] = -1
        y = y + ops.reshape(ops.cast(layer.bias, y.dtype), shape)
    return y if layer.activation is None else layer.activation(y)


def _batch_normalization(layer, x, training):
    (x,) = _cast(layer, x)
    if not batch_statistics.serves(layer, x):
        return layer(x, training=training)
    return batch_statistics.batch_normalization(layer, x, training)


def _max_pool(layer, x, training):
    return _pooled(layer, x, active().max_pool)


def _average_pool(layer, x, training):
    return _pooled(layer, x, active().average_pool)


def _pooled(layer, x, pool):
    (x,) = _cast(layer, x)
    return pool(
        x,
        pool_size=layer.pool_size,
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
    )


_FUNCTIONS = {
    keras.layers.Dense: _dense,
    keras.layers.Conv1D: _conv,
    keras.layers.Conv2D: _conv,
    keras.layers.DepthwiseConv1D: _depthwise_conv,
    keras.layers.DepthwiseConv2D: _depthwise_conv,
    keras.layers.Conv1DTranspose: _conv_transpose,
    keras.layers.Conv2DTranspose: _conv_transpose,
}

if active().has_native_layers:
    _FUNCTIONS |= {
        keras.layers.BatchNormalization: _batch_normalization,
        keras.layers.MaxPooling1D: _max_pool,
        keras.layers.MaxPooling2D: _max_pool,
        keras.layers.AveragePooling1D: _average_pool,
        keras.layers.AveragePooling2D: _average_pool,
    }
