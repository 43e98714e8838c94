"""Warnings of networks that run, but are not what is meant.

They look at where a symbolic tensor comes from, so they cost nothing when a model runs.
"""

import warnings

import keras

from keras_spiking.layers.containers import contained

# What leaves an image an image.
_OF_IMAGES = (
    *(keras.layers.InputLayer, keras.layers.Conv2D, keras.layers.DepthwiseConv2D),
    *(keras.layers.SeparableConv2D, keras.layers.MaxPooling2D),
    *(keras.layers.AveragePooling2D, keras.layers.ZeroPadding2D),
    *(keras.layers.BatchNormalization, keras.layers.Dropout, keras.layers.Activation),
    *(keras.layers.ReLU, keras.layers.Rescaling, keras.layers.Normalization),
)
_SMALLEST_IMAGE = 8  # pixels; toys are smaller


def warn_of_mistakes(layer, inputs):
    """Warns of what leads to a layer over `(batch, time, ...)`."""
    before = list(operations_before(inputs, contained.has_time_axis))
    shape = _image(before)
    if shape is not None:
        warnings.warn(
            f"{type(layer).__name__} '{layer.name}' takes the rows of images of shape "
            f"{shape} for time steps. An encoder in front, such as "
            "keras_spiking.layers.DirectEncoder(timesteps=8), adds the time axis.",
            stacklevel=5,
        )
    if any(map(contained.has_time_axis, before)):
        warn_of_dropout((y for y in before if not _shares_steps(y)), stacklevel=6)


def warn_of_dropout(layers, stacklevel):
    """Warns of Keras's dropout among layers that draw anew for every time step."""
    for layer in layers:
        if isinstance(layer, keras.layers.Dropout) and layer.rate:
            warnings.warn(
                f"{type(layer).__name__} '{layer.name}' of Keras drops other units at "
                "every time step, which neurons average out. "
                f"keras_spiking.layers.Dropout({layer.rate:g}), outside of SeqToBatch, "
                "drops the same units at all steps.",
                stacklevel=stacklevel,
            )


def operations_before(x, is_last):
    """The layers and operations that a symbolic tensor comes from.

    Args:
        x: Symbolic tensor.
        is_last: Predicate of operations; none before these is followed.
    """
    tensors, seen = [x], set()
    while tensors:
        node = node_before(tensors.pop())
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node.operation
        if not is_last(node.operation):
            tensors += node.input_tensors


def node_before(x):
    """The node of the graph that a symbolic tensor comes from, or `None`."""
    history = getattr(x, "_keras_history", None)
    operation, node_index, _ = history or (None, None, None)
    return None if operation is None else operation._inbound_nodes[node_index]


def _image(operations):
    """The shape of the images that a model takes, if it treats them as such."""
    if not all(isinstance(operation, _OF_IMAGES) for operation in operations):
        return None
    for operation in operations:
        if isinstance(operation, keras.layers.InputLayer):
            _, *shape = operation.batch_shape
            if len(shape) == 3 and shape[2] in (1, 3) and shape[0] == shape[1]:
                if shape[0] is not None and shape[0] >= _SMALLEST_IMAGE:
                    return tuple(shape)
    return None


def _shares_steps(layer):
    """Whether a dropout over `(batch, time, ...)` drops the same units at all steps,
    as the spatial ones of Keras do, which take time for a part of space."""
    if type(layer) is not keras.layers.Dropout:
        return True
    shape = layer.noise_shape
    return shape is not None and len(shape) > 2 and shape[1] == 1
