"""Keras layers by operations that the package has a faster form of.

Containers call a layer here instead of by `layer(x)`, if its class is one of Keras's
own that are listed below, and nobody has changed or watches how it is called.
"""

import contextlib
import functools
import math
import weakref

import keras
from keras import ops

from keras_spiking.backends.loading import active
from keras_spiking.backends.products.product import of_conv
from keras_spiking.backends.products.product import of_conv_transpose
from keras_spiking.backends.products.product import of_dense
from keras_spiking.backends.products.product import of_depthwise_conv
from keras_spiking.inspection.hooks import around
from keras_spiking.layers import batch_statistics
from keras_spiking.ops import products

called = weakref.WeakSet()
"""The layers that have been called here."""


def serving(layer, x, mask):
    """The function `f(layer, x, training)` that serves a call, or `None`."""
    function = _FUNCTIONS.get(type(layer))
    if function is None or mask is not None or not _is_plain(layer, x):
        return None
    if not active().is_compiling():
        called.add(layer)
    return function


def is_chain(layer, x):
    """Whether `layer(x)` would call the layers of a model one after the other."""
    return type(layer) is keras.Sequential and _is_plain(layer, x)


@contextlib.contextmanager
def within(model):
    """Within it, products of layers that a model calls by itself are served here."""
    layers = [] if active().is_compiling() else _products_in(model)
    with around((x, "call", functools.partial(_serve, x)) for x in layers):
        yield


def _products_in(model):
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.Model):
            yield from _products_in(layer)
        elif type(layer) in _PRODUCTS and "call" not in vars(layer):
            yield layer


def _serve(layer, call, x, *args, **kwargs):
    """In place of `layer.call`."""
    if args or kwargs.get("mask") is not None or not _is_plain(layer, x, False):
        return call(x, *args, **kwargs)
    called.add(layer)
    return _FUNCTIONS[type(layer)](layer, x, kwargs.get("training"))


def folds(layer, normalization, x, mask, training):
    """Whether a batch normalisation is to become part of the product before it.

    That is a pass over the weights instead of one over the outputs: in inference, if
    the weights are fewer.
    """
    if training or type(normalization) is not keras.layers.BatchNormalization:
        return False
    if type(layer) not in (
        keras.layers.Dense,
        keras.layers.Conv1D,
        keras.layers.Conv2D,
    ):
        return False
    if serving(layer, x, mask) is None or not _is_plain(normalization, x):
        return False
    axis = -1 if getattr(layer, "data_format", None) != "channels_first" else 1
    output = layer.compute_output_shape(tuple(x.shape))
    if layer.activation is not keras.activations.linear or (
        normalization.axis % len(output) != axis % len(output)
    ):
        return False
    return None not in output and math.prod(layer.kernel.shape) < math.prod(output)


def folded(layer, normalization, x):
    """A product and the batch normalisation behind it, in inference."""
    n, dtype = normalization, normalization.moving_variance.dtype
    scale = ops.rsqrt(n.moving_variance + n.epsilon)
    if n.scale:
        scale = scale * n.gamma
    shift = -n.moving_mean * scale
    if layer.use_bias:
        shift = shift + ops.cast(layer.bias, dtype) * scale
    if n.center:
        shift = shift + n.beta
    weights = ops.cast(layer.kernel, dtype) * scale
    return _FUNCTIONS[type(layer)](layer, x, False, weights, shift)


def product_of(layer):
    """The `Product` of a layer that containers call here, or `None`."""
    make = _PRODUCTS.get(type(layer))
    shape = layer.get_build_config().get("input_shape") if layer.built else None
    if make is None or shape is None:
        return None
    x = keras.KerasTensor((None, *shape[1:]), dtype=layer.compute_dtype)
    if isinstance(layer, keras.layers.Dense):
        return make(x, layer.kernel)
    padding = layer.padding
    if padding == "causal":
        x, padding = _padded(layer, x)
    options = _options(layer, padding)
    if make is of_conv_transpose:
        options["output_padding"] = layer.output_padding
    return make(x, layer.kernel, **options)


def _is_plain(layer, x, unwatched=True):
    """Whether `layer(x)` would do nothing besides `layer.call`, which is Keras's."""
    return (
        layer.built
        and not isinstance(x, keras.KerasTensor)
        and not (unwatched and "call" in vars(layer))  # a monitor is around it
        and layer.activity_regularizer is None
        and layer.dtype_policy.quantization_mode is None
        and not getattr(layer, "lora_enabled", False)
        and not getattr(layer, "_forward_hooks", None)  # it is a module of PyTorch
        and not getattr(layer, "_forward_pre_hooks", None)
    )


def _cast(layer, *tensors):
    return (active().cast(tensor, layer.compute_dtype) for tensor in tensors)


def _dense(layer, x, training, kernel=None, bias=None):
    x, kernel = _cast(layer, x, layer.kernel if kernel is None else kernel)
    return _finish(layer, products.dense(x, kernel), -1, bias)


def _conv(layer, x, training, kernel=None, bias=None):
    x, kernel = _cast(layer, x, layer.kernel if kernel is None else kernel)
    padding = layer.padding
    if padding == "causal":
        x, padding = _padded(layer, x)
    return _convolved(layer, products.conv, x, kernel, padding, bias)


def _padded(layer, x):
    """The input of a causal convolution, and the padding that is left."""
    widths = [(0, 0)] * len(x.shape)
    axis = 1 if layer.data_format == "channels_last" else 2
    widths[axis] = (layer.dilation_rate[0] * (layer.kernel_size[0] - 1), 0)
    return ops.pad(x, widths), "valid"


def _depthwise_conv(layer, x, training):
    x, kernel = _cast(layer, x, layer.kernel)
    return _convolved(layer, products.depthwise_conv, x, kernel, layer.padding)


def _conv_transpose(layer, x, training):
    x, kernel = _cast(layer, x, layer.kernel)
    options = {"output_padding": layer.output_padding}
    return _convolved(
        layer, products.conv_transpose, x, kernel, layer.padding, **options
    )


def _convolved(layer, product, x, kernel, padding, bias=None, **options):
    y = product(x, kernel, **_options(layer, padding), **options)
    return _finish(layer, y, -1 if layer.data_format == "channels_last" else 1, bias)


def _options(layer, padding):
    return {
        "strides": layer.strides,
        "padding": padding,
        "dilation_rate": layer.dilation_rate,
        "data_format": layer.data_format,
    }


def _finish(layer, y, axis, bias=None):
    """Bias and activation."""
    if bias is None and layer.use_bias:
        bias = layer.bias
    if bias is not None:
        shape = [1] * len(y.shape)
        shape[axis] = -1
        y = y + ops.reshape(ops.cast(bias, y.dtype), shape)
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

_PRODUCTS = {
    keras.layers.Dense: of_dense,
    keras.layers.Conv1D: of_conv,
    keras.layers.Conv2D: of_conv,
    keras.layers.DepthwiseConv1D: of_depthwise_conv,
    keras.layers.DepthwiseConv2D: of_depthwise_conv,
    keras.layers.Conv1DTranspose: of_conv_transpose,
    keras.layers.Conv2DTranspose: of_conv_transpose,
}

if active().has_native_layers:
    _FUNCTIONS |= {
        keras.layers.BatchNormalization: _batch_normalization,
        keras.layers.MaxPooling1D: _max_pool,
        keras.layers.MaxPooling2D: _max_pool,
        keras.layers.AveragePooling1D: _average_pool,
        keras.layers.AveragePooling2D: _average_pool,
    }
