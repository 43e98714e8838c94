"""What to write instead, where layers, losses and `fit` of Keras are given sequences.

Keras refuses such programs with an error about shapes, or trains on what is not meant.
No code of this package is called on the way there, so methods of Keras's classes are
wrapped. What they do and return stays as it is.
"""

import functools
import warnings

import keras
import numpy as np

from keras_spiking.layers import DirectEncoder
from keras_spiking.layers.mistakes import node_before

_OVER_IMAGES = (
    *(keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.DepthwiseConv2D),
    *(keras.layers.SeparableConv2D, keras.layers.MaxPooling2D),
    *(keras.layers.AveragePooling2D, keras.layers.GlobalMaxPooling2D),
    *(keras.layers.GlobalAveragePooling2D, keras.layers.UpSampling2D),
    *(keras.layers.ZeroPadding2D, keras.layers.Cropping2D),
)
_OF_NUMBERS = (
    *(keras.losses.MeanSquaredError, keras.losses.mean_squared_error),
    *(keras.losses.MeanAbsoluteError, keras.losses.mean_absolute_error),
    *(keras.losses.Huber, keras.losses.huber),
)
_OF_LABELS = (
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.sparse_categorical_crossentropy,
)
_OF_ONE_HOT_LABELS = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.categorical_crossentropy,
)
_READOUT = (
    "A readout at the end takes the time axis away: "
    'keras_spiking.layers.LILayer(reduce="mean") or FiringRate()'
)


def install():
    """Wraps the methods. Called once, when the package is imported."""
    for layer in _OVER_IMAGES:
        _wrap(layer, "__call__", _call_over_images)
    _wrap(keras.layers.Flatten, "__call__", _call_of_flatten)
    _wrap(keras.Model, "compute_loss", _compute_loss)
    _wrap(keras.Model, "fit", _fit)


def _wrap(cls, name, around):
    method = getattr(cls, name)

    @functools.wraps(method)
    def wrapped(self, *args, **kwargs):
        return around(functools.partial(method, self), self, *args, **kwargs)

    setattr(cls, name, wrapped)


def _call_over_images(call, layer, *args, **kwargs):
    shape = _shape(*args[:1])
    if len(shape) != 5:
        return call(*args, **kwargs)
    try:
        return call(*args, **kwargs)
    except Exception as error:
        name = type(layer).__name__
        raise ValueError(
            f"{name} '{layer.name}' takes images, and is given sequences of images, "
            f"{shape}. Write keras_spiking.layers.SeqToBatch({name}(...)), which "
            "applies it to every time step."
        ) from error


def _call_of_flatten(call, layer, *args, **kwargs):
    if args and isinstance(args[0], keras.KerasTensor) and len(args[0].shape) > 3:
        if _is_sequence(args[0]):
            warnings.warn(
                f"Flatten '{layer.name}' makes one axis of time and features of "
                f"{args[0].shape}. keras_spiking.layers.SeqToBatch(Flatten()) keeps "
                "the time axis, a readout such as FiringRate() takes it away. If all "
                "steps are to be features, write keras.layers.Reshape((-1,)).",
                stacklevel=3,
            )
    return call(*args, **kwargs)


def _is_sequence(tensor):
    """Whether a symbolic tensor is what a layer of ours has returned over time."""
    node = node_before(tensor)
    if not getattr(getattr(node, "operation", None), "has_time_axis", False):
        return False
    return all(len(tensor.shape) >= len(x.shape) for x in node.input_tensors)


def _compute_loss(compute, model, x=None, y=None, y_pred=None, *args, **kwargs):
    if any(getattr(layer, "has_time_axis", False) for layer in model.layers):
        _check_labels(keras.losses.get(_loss(model)), y, y_pred)
    return compute(x, y, y_pred, *args, **kwargs)


def _loss(model):
    """The loss of a model that has one."""
    loss = getattr(model, "loss", None)
    return None if isinstance(loss, (list, tuple, dict)) else loss


def _check_labels(loss, y, y_pred):
    labels, outputs = _shape(y), _shape(y_pred)
    if not labels or len(outputs) < 2:
        return
    takes = functools.partial(_is_one_of, loss)
    if labels[1:] in ((), (1,)):
        if takes(_OF_LABELS) and len(outputs) == 3 and outputs[1] != 1:
            raise ValueError(
                f"There is one label for each sequence, {labels}, and an output for "
                f"each time step, {outputs}. {_READOUT}."
            )
        is_integer = "int" in keras.backend.standardize_dtype(y.dtype)
        if takes(_OF_NUMBERS) and is_integer and len(outputs) == 2 and outputs[1] > 1:
            raise ValueError(
                f"The loss compares numbers, and is given integer labels, {labels}, "
                f"for outputs of shape {outputs}. Make them one-hot by "
                f"keras.utils.to_categorical(y, {outputs[1]}), or take the loss "
                '"sparse_categorical_crossentropy".'
            )
    if takes(_OF_NUMBERS + _OF_ONE_HOT_LABELS) and len(outputs) == len(labels) + 1:
        if len(labels) > 1 and labels[1:] == outputs[2:] != (1,):
            raise ValueError(
                f"There is one target for each sequence, {labels}, and an output for "
                f"each time step, {outputs}. {_READOUT}."
            )


def _is_one_of(loss, losses):
    return loss in losses or type(loss) in losses


def _fit(fit, model, x=None, *args, **kwargs):
    if isinstance(x, np.ndarray):
        for layer in model.layers:
            if isinstance(layer, DirectEncoder) and _is_first(layer):
                layer.look(x)
    return fit(x, *args, **kwargs)


def _is_first(layer):
    """Whether a layer takes what a model is given."""
    nodes = [node_before(x) for y in layer._inbound_nodes for x in y.input_tensors]
    return all(isinstance(node.operation, keras.layers.InputLayer) for node in nodes)


def _shape(tensor=None):
    shape = getattr(tensor, "shape", None)
    return () if shape is None else tuple(shape)
