"""What containers ask of the layers that they hold."""

import keras

_KERAS_LAYERS_OVER_TIME = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.TimeDistributed,
)


def as_list(layer, container):
    """Returns the layers given to a container as a list, checked."""
    layers = list(layer) if isinstance(layer, (list, tuple)) else [layer]
    if not layers:
        raise ValueError(f"{container} needs at least one layer. Received: []")
    for item in layers:
        if not isinstance(item, keras.layers.Layer):
            raise TypeError(
                f"{container} takes a Keras layer, a model or a list of layers. "
                f"Received: {item!r} (of type {type(item).__name__})"
            )
    return layers


def inner_layers(layer):
    """The layers inside of a model, container or wrapper."""
    inner = list(getattr(layer, "layers", ()))
    wrapped = getattr(layer, "layer", None)
    return inner + ([wrapped] if isinstance(wrapped, keras.layers.Layer) else [])


def find(layer, condition):
    """The first of `layer` and all layers inside of it that meets a condition."""
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


def serialize(layers):
    return [keras.saving.serialize_keras_object(layer) for layer in layers]


def deserialize(layers):
    return [
        layer
        if isinstance(layer, keras.layers.Layer)
        else keras.saving.deserialize_keras_object(layer)
        for layer in layers
    ]
