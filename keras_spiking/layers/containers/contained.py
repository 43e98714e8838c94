"""What containers ask of the layers that they hold."""

import inspect

import keras
from keras import ops

from keras_spiking.layers.containers import native

_KERAS_LAYERS_OVER_TIME = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.TimeDistributed,
)


# Their masks are about an axis inside a sample, not about samples.
_MASK_OF_FEATURES = (keras.layers.GlobalAveragePooling1D, keras.layers.Softmax)
_MASK_OF_ALL_BUT_CHANNELS = (keras.layers.BatchNormalization, keras.Model)


def as_list(layer, container):
    """Returns the layers given to a container as a list, checked."""
    layers = keras.tree.flatten(layer)
    if not layers:
        raise ValueError(f"{container} needs at least one layer. Received: []")
    for item in layers:
        if not isinstance(item, keras.layers.Layer):
            raise TypeError(
                f"{container} takes a Keras layer, a model, or a list of layers. "
                f"Received: {item!r} (of type {type(item).__name__})"
            )
    return layers


def inner_layers(layer):
    """The layers inside a model, container or wrapper."""
    inner = list(getattr(layer, "layers", ()))
    wrapped = getattr(layer, "layer", None)
    return inner + ([wrapped] if isinstance(wrapped, keras.layers.Layer) else [])


def find(layer, condition):
    """The first of `layer` and all layers inside it that meets a condition."""
    if condition(layer):
        return layer
    for inner in inner_layers(layer):
        if (found := find(inner, condition)) is not None:
            return found
    return None


def has_time_axis(layer):
    """Whether a layer is one over `(batch, time, ...)`, or holds such a layer."""
    marked = getattr(layer, "has_time_axis", None)
    if marked is not None:
        return marked
    if isinstance(layer, _KERAS_LAYERS_OVER_TIME):
        return True
    return any(has_time_axis(inner) for inner in inner_layers(layer))


def call(layer, x, mask=None, training=None):
    """Calls a layer, with a mask if it takes one.

    Args:
        layer: Keras layer.
        x: Its input, a nested structure of tensors.
        mask: Boolean tensor `(batch,)`, or `(batch, time)` for a layer over time, or
            `None`.
        training: Boolean or `None`. Given explicitly, since what is computed again
            on the way back is outside the call that knows.
    """
    function = native.serving(layer, x, mask)
    if function is not None:
        return function(layer, x, training)
    if mask is None and native.is_chain(layer, x):
        return call_all(layer.layers, x, None, training)
    kwargs = {} if training is None else {"training": training}
    if mask is not None and _takes_mask(layer):

        def mask_of(x):
            if len(mask.shape) == 1 and isinstance(layer, _MASK_OF_ALL_BUT_CHANNELS):
                return ops.reshape(mask, (-1, *(1,) * (len(x.shape) - 2)))
            return mask

        kwargs["mask"] = keras.tree.map_structure(mask_of, x)
    if isinstance(layer, keras.Model):
        with native.within(layer):
            return layer(x, **kwargs)
    return layer(x, **kwargs)


def call_all(layers, x, mask=None, training=None):
    """Calls layers one after the other. See `call`."""
    left = list(layers)
    while left:
        layer = left.pop(0)
        if left and native.folds(layer, left[0], x, mask, training):
            x = native.folded(layer, left.pop(0), x)
        else:
            x = call(layer, x, mask, training)
    return x


def _takes_mask(layer):
    if isinstance(layer, _MASK_OF_FEATURES):
        return False
    return "mask" in inspect.signature(layer.call).parameters


def serialize(layers):
    return [keras.saving.serialize_keras_object(layer) for layer in layers]
