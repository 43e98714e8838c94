"""Spiking VGG: a VGG with neurons for activation functions."""

from typing import Any
from typing import Unpack

import keras

from keras_spiking.models import parts
from keras_spiking.models import vgg
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import PlainOptions
from keras_spiking.models.options import network
from keras_spiking.validation import check_bool


def SpikingVGG(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    depths: tuple[int, int, int, int, int],
    normalize: bool = False,
    filters: int = 64,
    units: int = 4096,
    dropout: float = 0.5,
    classes: int = 1000,
    timesteps: int = 4,
    neuron: Neuron = "if",
    surrogate: Any = "atan",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Spiking VGG of any depth.

        5 x (depth x (convolution, norm, neurons), pooling),
        2 x (dense, neurons, dropout), dense

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least 32.
        depths: Tuple of five integers >= 1, the number of convolutions of each stage.
        normalize: Boolean, whether batch normalisation follows convolutions. Defaults
            to `False`.
        filters: Integer >= 1, filters of the first stage. Defaults to `64`.
        units: Integer >= 1, neurons of the two hidden dense layers. Defaults to `4096`.
        dropout: Float in [0, 1), the fraction of spikes to drop behind them, the same
            at all steps. Defaults to `0.5`.
        classes: Integer >= 1, number of classes. Defaults to `1000`.
        timesteps: Integer >= 1, for how many steps images are presented. Sequences
            have their own number. Defaults to `4`.
        neuron: Name of neurons such as `"if"`, `"lif"`, `"plif"`; their class; a
            function without arguments that returns a layer of neurons; or a layer
            that all are made like. Neurons by name or class detach their reset.
        surrogate: Surrogate gradient of neurons by name or class, see
            `keras_spiking.surrogates.get`. Defaults to `"atan"`.
        include_top: Boolean, whether the model ends with scores of classes, or with
            the spikes of the last stage. Defaults to `True`.
        return_sequences: Boolean, whether scores are returned for every step, or
            their mean over time. Defaults to `False`.
        weights: Path of weights to load, see `keras_spiking.models.load_weights`.
            Defaults to `None`: random weights.
        name: Name of the model.

    Returns:
        A functional Keras model from images, or sequences of frames, to scores of
        classes (logits).

    Raises:
        ValueError: if an argument is out of its range, there are no such neurons, the
            images are too small for the poolings, or the weights do not fit.

    Example:

    >>> model = keras_spiking.models.SpikingVGG(
    ...     (32, 32, 1), depths=(1, 1, 1, 1, 1), filters=2, units=8, classes=10
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Simonyan and Zisserman, 2015](https://arxiv.org/abs/1409.1556)
        - [Sengupta et al., 2019](https://arxiv.org/abs/1802.02627)
    """
    check_bool("normalize", normalize)
    fire = parts.neurons(neuron, surrogate, timesteps)
    inputs = parts.network_input(input_shape, 32)
    features = vgg.Chain(inputs, fire, "features")
    features.features(vgg.plan(*depths), filters, normalize)
    x = features.x
    if include_top:
        top = vgg.Chain(x, fire, "classifier")
        top.classify(units, classes, dropout)
        x = parts.readout(top.x, return_sequences)
    return parts.model(inputs, x, weights, name)


@network(SpikingVGG)
def SpikingVGG11(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """Spiking VGG-11, 132.9 million weights for 1000 classes.

    Takes the arguments of `SpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingVGG11((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingVGG(input_shape, depths=vgg.DEPTHS[11], **options)


@network(SpikingVGG)
def SpikingVGG11BN(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """Spiking VGG-11 with batch normalisation, 132.9 million weights for 1000 classes.

    Takes the arguments of `SpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingVGG11BN((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingVGG(input_shape, depths=vgg.DEPTHS[11], normalize=True, **options)


@network(SpikingVGG)
def SpikingVGG13(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """Spiking VGG-13, 133.0 million weights for 1000 classes.

    Takes the arguments of `SpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingVGG13((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingVGG(input_shape, depths=vgg.DEPTHS[13], **options)


@network(SpikingVGG)
def SpikingVGG13BN(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """Spiking VGG-13 with batch normalisation, 133.1 million weights for 1000 classes.

    Takes the arguments of `SpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingVGG13BN((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingVGG(input_shape, depths=vgg.DEPTHS[13], normalize=True, **options)


@network(SpikingVGG)
def SpikingVGG16(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """Spiking VGG-16, 138.4 million weights for 1000 classes.

    Takes the arguments of `SpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingVGG16((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingVGG(input_shape, depths=vgg.DEPTHS[16], **options)


@network(SpikingVGG)
def SpikingVGG16BN(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """Spiking VGG-16 with batch normalisation, 138.4 million weights for 1000 classes.

    Takes the arguments of `SpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingVGG16BN((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingVGG(input_shape, depths=vgg.DEPTHS[16], normalize=True, **options)


@network(SpikingVGG)
def SpikingVGG19(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """Spiking VGG-19, 143.7 million weights for 1000 classes.

    Takes the arguments of `SpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingVGG19((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingVGG(input_shape, depths=vgg.DEPTHS[19], **options)


@network(SpikingVGG)
def SpikingVGG19BN(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """Spiking VGG-19 with batch normalisation, 143.7 million weights for 1000 classes.

    Takes the arguments of `SpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingVGG19BN((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingVGG(input_shape, depths=vgg.DEPTHS[19], normalize=True, **options)
