"""OTTT-VGG: networks for training online, with standardised weights."""

from typing import Any
from typing import Unpack

import keras

from keras_spiking import layers
from keras_spiking.models import parts
from keras_spiking.models import vgg
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import PlainOptions
from keras_spiking.models.options import network
from keras_spiking.validation import check_bool

SCALE = 2.74  # of spikes, which keeps the variance of currents near 1
LIGHT = (1, 2, "mean", 4, 4, "mean", 8, 8, "mean", 8, 8)


def OTTTSpikingVGG(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    depths: tuple[int, int, int, int, int] | None = None,
    standardize: bool = True,
    filters: int = 64,
    units: int = 4096,
    dropout: float = 0.5,
    classes: int = 1000,
    timesteps: int = 6,
    neuron: Neuron = "lif",
    surrogate: Any = "sigmoid",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """VGG for online training through time.

        depth x (convolution, neurons, scale), pooling, ...

    Statistics of a batch are not at hand where a network learns at every time step.
    Weights are standardised in their place: convolutions and hidden dense layers take
    `gain (W - mean) / sqrt(fan_in variance)`, and spikes are scaled by 2.74.

    Trained by `fit` the network learns by backpropagation through time. For online
    training give sequences, as in the example, to `keras_spiking.online.OTTT`.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least 32, or 8 of the light network.
        depths: Tuple of five integers >= 1, the number of convolutions of each stage,
            each with maximum pooling. Or `None` for the light network of the paper:
            eight convolutions, three average poolings, and no hidden dense layers.
        standardize: Boolean, whether weights are standardised and spikes scaled.
            Defaults to `True`.
        filters: Integer >= 1, filters of the first stage. Defaults to `64`.
        units: Integer >= 1, neurons of the two hidden dense layers, if there are any.
            Defaults to `4096`.
        dropout: Float in [0, 1), the fraction of spikes to drop behind them, the same
            at all steps. Defaults to `0.5`.
        classes: Integer >= 1, number of classes. Defaults to `1000`.
        timesteps: Integer >= 1, for how many steps images are presented. Sequences
            have their own number. Defaults to `6`.
        neuron: Name of neurons such as `"if"`, `"lif"`, `"plif"`; their class; a
            function without arguments that returns a layer of neurons; or a layer
            that all are made like. Neurons by name or class detach their reset, and
            their reset is soft and their input undivided, where they know that.
        surrogate: Surrogate gradient of neurons by name or class, see
            `keras_spiking.surrogates.get`. Defaults to `"sigmoid"`.
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

    >>> network = keras_spiking.models.OTTTSpikingVGG(
    ...     (None, 8, 8, 1), filters=2, classes=10, return_sequences=True
    ... )
    >>> model = keras_spiking.online.OTTT(network, timesteps=6)
    >>> tuple(model(keras.ops.ones((3, 8, 8, 1))).shape)
    (3, 10)

    References:
        - [Xiao et al., 2022](https://arxiv.org/abs/2210.04195)
        - [Qiao et al., 2019](https://arxiv.org/abs/1903.10520)
    """
    fire = parts.neurons(neuron, surrogate, timesteps, v_reset=None, decay_input=False)
    kinds = {}
    if check_bool("standardize", standardize):
        kinds["convolution"] = layers.WeightStandardizedConv2D
        kinds["dense"] = layers.WeightStandardizedDense
        kinds["scale"] = SCALE
    inputs = parts.network_input(input_shape, 8 if depths is None else 32)
    features = vgg.Chain(inputs, fire, "features", **kinds)
    features.features(LIGHT if depths is None else vgg.plan(*depths), filters)
    x = features.x
    if include_top:
        # Behind pooling and flattening.
        kinds.setdefault("scale", 1.0)
        top = vgg.Chain(x, fire, "classifier", number=2, **kinds)
        if depths is None:
            top.average(classes)
        else:
            top.classify(units, classes, dropout)
        x = parts.readout(top.x, return_sequences)
    return parts.model(inputs, x, weights, name)


@network(OTTTSpikingVGG)
def OTTTSpikingVGGWS(
    input_shape: tuple[int, ...] = (32, 32, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """The light OTTT-VGG of the paper, 9.7 million weights for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on. Without hidden dense
    layers, `units` and `dropout` do nothing.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGGWS((32, 32, 3), filters=2)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(input_shape, **options)


@network(OTTTSpikingVGG)
def OTTTSpikingVGG11(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """OTTT-VGG-11 without standardised weights, 132.9 million for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGG11((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(
        input_shape, depths=vgg.DEPTHS[11], standardize=False, **options
    )


@network(OTTTSpikingVGG)
def OTTTSpikingVGG11WS(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """OTTT-VGG-11 with standardised weights, 132.9 million for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGG11WS((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(input_shape, depths=vgg.DEPTHS[11], **options)


@network(OTTTSpikingVGG)
def OTTTSpikingVGG13(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """OTTT-VGG-13 without standardised weights, 133.0 million for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGG13((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(
        input_shape, depths=vgg.DEPTHS[13], standardize=False, **options
    )


@network(OTTTSpikingVGG)
def OTTTSpikingVGG13WS(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """OTTT-VGG-13 with standardised weights, 133.1 million for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGG13WS((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(input_shape, depths=vgg.DEPTHS[13], **options)


@network(OTTTSpikingVGG)
def OTTTSpikingVGG16(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """OTTT-VGG-16 without standardised weights, 138.4 million for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGG16((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(
        input_shape, depths=vgg.DEPTHS[16], standardize=False, **options
    )


@network(OTTTSpikingVGG)
def OTTTSpikingVGG16WS(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """OTTT-VGG-16 with standardised weights, 138.4 million for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGG16WS((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(input_shape, depths=vgg.DEPTHS[16], **options)


@network(OTTTSpikingVGG)
def OTTTSpikingVGG19(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """OTTT-VGG-19 without standardised weights, 143.7 million for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGG19((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(
        input_shape, depths=vgg.DEPTHS[19], standardize=False, **options
    )


@network(OTTTSpikingVGG)
def OTTTSpikingVGG19WS(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """OTTT-VGG-19 with standardised weights, 143.7 million for 1000 classes.

    Takes the arguments of `OTTTSpikingVGG` from `filters` on.

    Example:

    >>> model = keras_spiking.models.OTTTSpikingVGG19WS((32, 32, 3), filters=2, units=8)
    >>> model.output_shape
    (None, 1000)
    """
    return OTTTSpikingVGG(input_shape, depths=vgg.DEPTHS[19], **options)
