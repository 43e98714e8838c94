import keras

from keras_spiking.conversion.folding import FOLDABLE
from keras_spiking.conversion.folding import WEIGHTED
from keras_spiking.conversion.folding import copy_layer
from keras_spiking.conversion.folding import scale_and_shift
from keras_spiking.conversion.folding import scale_outputs
from keras_spiking.layers.containers.seq_to_batch import SeqToBatch


def fold_normalizations(model: keras.Sequential) -> keras.Sequential:
    """A copy of a trained spiking network with its normalisations folded.

    At inference, a `BatchNormalization` or `ThresholdDependentBatchNormalization`
    after a dense or convolutional layer is part of that layer's kernel and bias.
    Outputs stay the same but for rounding. A normalisation that comes after
    anything else, or scales each time step in its own way, stays.

    Args:
        model: A built `keras.Sequential`. Layers inside of `SeqToBatch` are folded,
            too.

    Returns:
        A `keras.Sequential`.

    Raises:
        TypeError: if the model is not a `keras.Sequential`.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((5, 3)),
    ...         keras.layers.Dense(4),
    ...         keras_spiking.layers.ThresholdDependentBatchNormalization(),
    ...         keras_spiking.layers.LIFLayer(),
    ...     ]
    ... )
    >>> len(keras_spiking.conversion.fold_normalizations(model).layers)
    2
    """
    if not isinstance(model, keras.Sequential):
        raise TypeError(
            "`fold_normalizations` takes a `keras.Sequential`. Received: "
            f"{model!r} (of type {type(model).__name__})"
        )
    layers = _fold(model.layers)
    folded = keras.Sequential(layers, name=model.name)
    folded.build(model.input_shape)
    return folded


def _fold(layers):
    folded = []
    for layer in layers:
        if type(layer) not in FOLDABLE or not _absorb(folded, layer):
            folded.append(_copy(layer))
    return folded


def _copy(layer):
    if isinstance(layer, SeqToBatch):
        return SeqToBatch(_fold(layer.layers), name=layer.name)
    return copy_layer(layer)


def _absorb(folded, normalization):
    """Folds a normalisation into the last of the layers, if it can."""
    if not folded:
        return False
    layer = folded[-1]
    if isinstance(layer, SeqToBatch):
        inner = list(layer.layers)
        if not _absorb(inner, normalization):
            return False
        folded[-1] = SeqToBatch(inner, name=layer.name)
        return True
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    if (
        not isinstance(layer, WEIGHTED)
        or layer.activation is not keras.activations.linear
        or (normalization.axis == -1) == channels_first
    ):
        return False
    folded[-1] = scale_outputs(layer, *scale_and_shift(normalization))
    return True
