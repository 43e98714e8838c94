"""Pooling layers as NIR nodes."""

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.export import network
from keras_spiking.export import to_nir_neurons as neurons
from keras_spiking.export import to_nir_synapses as synapses
from keras_spiking.export.nir_package import nir

_AVERAGE = (keras.layers.AveragePooling1D, keras.layers.AveragePooling2D)
_GLOBAL_AVERAGE = (
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
)
_GLOBAL_MAXIMUM = (keras.layers.GlobalMaxPooling1D, keras.layers.GlobalMaxPooling2D)
MAXIMUM = (
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    layers.CenteredMaxPooling2D,
    *_GLOBAL_MAXIMUM,
)
POOLINGS = (*_AVERAGE, *_GLOBAL_AVERAGE, *MAXIMUM)
PADDED = (*_AVERAGE, *MAXIMUM)  # those that zeros may stand around
# They pass on zeros and ones.
_KEEP_SPIKES = (
    *MAXIMUM,
    *synapses.PADDINGS,
    keras.layers.Flatten,
    keras.layers.Permute,
    layers.Delay,
    layers.LearnableDelay,
)


def pool(stage, padding, summed):
    """The average, or the sum if it is `summed` up again, or counts of spikes."""
    layer = stage.layer
    size, strides, more = _window(stage)
    rank = len(stage.input_shape) - 1
    pads = [p + m for p, m in zip(padding, more)]
    if network.is_a(layer, MAXIMUM):
        _check_spikes(stage)
        summed = True
    if rank == 1:
        channels = stage.input_shape[-1]
        value = 1.0 if summed else 1.0 / size[0]
        weight = np.einsum("oi,k->oik", np.eye(channels), np.full(size[0], value))
        return nir().Conv1d(
            input_shape=int(stage.input_shape[0] - 2 * padding[0]),
            weight=weight.astype("float32"),
            stride=strides[0],
            padding=pads[0],
            dilation=1,
            groups=1,
            bias=np.zeros(channels, "float32"),
        )
    node = nir().SumPool2d if summed else nir().AvgPool2d
    return node(
        kernel_size=np.array(size), stride=np.array(strides), padding=np.array(pads)
    )


def any_spike(stage):
    """Whether there is a spike among those counted, which is the maximum."""
    return nir().Threshold(synapses.per_neuron(0.5, pooled_shape(stage)))


def flattens(layer):
    """Whether a pooling drops the axes that are left with a size of 1."""
    kinds = (*_GLOBAL_AVERAGE, *_GLOBAL_MAXIMUM)
    return isinstance(layer, kinds) and not layer.keepdims


def pooled_shape(stage):
    """The output's shape, before a global pooling drops axes."""
    shape, rank = stage.output_shape, len(stage.input_shape) - 1
    return (*(1,) * rank, *shape) if flattens(stage.layer) else shape


def is_sum(layer, rescaling):
    """Whether `rescaling` turns the averages of the pooling `layer` into sums."""
    return (
        isinstance(layer, _AVERAGE)
        and isinstance(rescaling, keras.layers.Rescaling)
        and not np.any(rescaling.offset)
        and np.all(np.equal(rescaling.scale, np.prod(layer.pool_size)))
    )


def _window(stage):
    """Size, strides and the layer's own padding, by axis."""
    layer, shape = stage.layer, stage.input_shape[:-1]
    if isinstance(layer, (*_GLOBAL_AVERAGE, *_GLOBAL_MAXIMUM)):
        return shape, shape, (0,) * len(shape)
    size, strides = tuple(layer.pool_size), tuple(layer.strides)
    if isinstance(layer, layers.CenteredMaxPooling2D):
        return size, strides, (layer.margin,) * len(shape)
    if layer.padding == "valid":
        return size, strides, (0,) * len(shape)
    if isinstance(layer, _AVERAGE):
        raise ValueError(
            f"{stage}: only `padding='valid'` can be exported. Keras leaves padding "
            "out of averages, NIR does not."
        )
    return size, strides, tuple(synapses.same_padding(stage, shape, size, strides))


def _check_spikes(stage):
    before = stage.inputs[0]
    while network.is_a(before.layer, _KEEP_SPIKES):
        before = before.inputs[0]
    if before.sums or not neurons.spikes(before):
        raise ValueError(
            f"{stage}: NIR has no maximum. That of spikes is written as their number "
            f"and a Threshold, but {before} gives other numbers than 0 and 1. Place "
            "neurons before it, or use average pooling."
        )
