"""The networks of the paper on neurons that learn their time constant."""

import itertools
from typing import Any
from typing import Unpack

import keras

from keras_spiking import layers
from keras_spiking.models import parts
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import PlainOptions
from keras_spiking.models.options import network
from keras_spiking.validation import check_integer

VOTES = 10  # neurons of each class


def PLIFNet(
    input_shape: tuple[int, ...],
    *,
    convolutions: int,
    poolings: int,
    filters: int = 128,
    units: int = 512,
    dropout: float = 0.5,
    classes: int = 10,
    timesteps: int = 8,
    neuron: Neuron = "plif",
    surrogate: Any = "atan",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """A plain network of convolutions with pooling and two dense layers.

        poolings x (convolutions x (convolution, norm, neurons), pooling),
        2 x (dropout, dense, neurons), voting

    Ten neurons of the last layer vote for each class by their spikes.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least `2^poolings`.
        convolutions: Integer >= 1, how many convolutions are before each pooling.
        poolings: Integer >= 1, how often height and width are halved.
        filters: Integer >= 1, filters of all convolutions. Defaults to `128`.
        units: Integer >= 1, neurons of the first dense layer. Defaults to `512`.
        dropout: Float in [0, 1), the fraction of spikes to drop before dense layers,
            the same at all steps. Defaults to `0.5`.
        classes: Integer >= 1, number of classes. Defaults to `10`.
        timesteps: Integer >= 1, for how many steps images are presented. Sequences
            have their own number. Defaults to `8`.
        neuron: Name of neurons such as `"if"`, `"lif"`, `"plif"`; their class; a
            function without arguments that returns a layer of neurons; or a layer
            that all are made like. Neurons by name or class detach their reset.
        surrogate: Surrogate gradient of neurons by name or class, see
            `keras_spiking.surrogates.get`. Defaults to `"atan"`.
        include_top: Boolean, whether the model ends with the votes, or with the
            spikes of the last pooling. Defaults to `True`.
        return_sequences: Boolean, whether votes are returned for every step, or
            their mean over time, firing rates. Defaults to `False`.
        weights: Path of weights to load, see `keras_spiking.models.load_weights`.
            Defaults to `None`: random weights.
        name: Name of the model.

    Returns:
        A functional Keras model from images, or sequences of frames, to firing rates
        of classes, 0 to 1. The paper's loss is the mean squared error to one-hot
        classes.

    Raises:
        ValueError: if an argument is out of its range, there are no such neurons, the
            images are too small for the poolings, or the weights do not fit.

    Example:

    >>> model = keras_spiking.models.PLIFNet(
    ...     (8, 8, 2), convolutions=1, poolings=2, filters=4, units=16
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Fang et al., 2021](https://arxiv.org/abs/2007.05785)
    """
    check_integer("convolutions", convolutions, minimum=1)
    check_integer("poolings", poolings, minimum=1)
    fire = parts.neurons(neuron, surrogate, timesteps)
    index = itertools.count()

    def following():
        return f"conv_fc_{next(index)}"

    inputs = x = parts.network_input(input_shape, 2**poolings)
    for _ in range(poolings):
        for _ in range(convolutions):
            names, initializer = (following(), following()), parts.fan_in_uniform
            x = parts.convolution(x, filters, 3, *names, initializer=initializer)
            x = fire(x, following())
        x = parts.max_pooling(x, 2, 2, following())
    if include_top:
        x = parts.flatten(x, following())
        outputs = VOTES * check_integer("classes", classes, minimum=1)
        for count in (units, outputs):
            x = layers.Dropout(dropout, name=following())(x)
            x = fire(parts.dense(x, count, following()), following())
        x = layers.Voting(VOTES, name=following())(x)
        x = parts.readout(x, return_sequences)
    return parts.model(inputs, x, weights, name)


@network(PLIFNet, units=2048)
def MNISTNet(
    input_shape: tuple[int, ...] = (28, 28, 1), **options: Unpack[PlainOptions]
) -> keras.Model:
    """The network of the paper for MNIST, 13.2 million weights.

    Takes the arguments of `PLIFNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.MNISTNet(filters=2, units=8)
    >>> model.output_shape
    (None, 10)
    """
    return PLIFNet(input_shape, convolutions=1, poolings=2, **options)


@network(PLIFNet, units=2048)
def FashionMNISTNet(
    input_shape: tuple[int, ...] = (28, 28, 1), **options: Unpack[PlainOptions]
) -> keras.Model:
    """The network of the paper for Fashion-MNIST, 13.2 million weights.

    Takes the arguments of `PLIFNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.FashionMNISTNet(filters=2, units=8)
    >>> model.output_shape
    (None, 10)
    """
    return PLIFNet(input_shape, convolutions=1, poolings=2, **options)


@network(PLIFNet, units=2048)
def NMNISTNet(
    input_shape: tuple[int, ...] = (10, 34, 34, 2), **options: Unpack[PlainOptions]
) -> keras.Model:
    """The network of the paper for N-MNIST, 17.1 million weights.

    Takes the arguments of `PLIFNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.NMNISTNet(filters=2, units=8)
    >>> model.output_shape
    (None, 10)
    """
    return PLIFNet(input_shape, convolutions=1, poolings=2, **options)


@network(PLIFNet, filters=256, units=2048)
def CIFAR10Net(
    input_shape: tuple[int, ...] = (32, 32, 3), **options: Unpack[PlainOptions]
) -> keras.Model:
    """The network of the paper for CIFAR-10, 36.7 million weights.

    Takes the arguments of `PLIFNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.CIFAR10Net(filters=2, units=8)
    >>> model.output_shape
    (None, 10)
    """
    return PLIFNet(input_shape, convolutions=3, poolings=2, **options)


@network(PLIFNet)
def CIFAR10DVSNet(
    input_shape: tuple[int, ...] = (20, 128, 128, 2), **options: Unpack[PlainOptions]
) -> keras.Model:
    """The network of the paper for CIFAR10-DVS, 4.7 million weights.

    Takes the arguments of `PLIFNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.CIFAR10DVSNet(filters=2, units=8)
    >>> model.output_shape
    (None, 10)
    """
    return PLIFNet(input_shape, convolutions=1, poolings=4, **options)


@network(PLIFNet, classes=11)
def DVSGestureNet(
    input_shape: tuple[int, ...] = (20, 128, 128, 2), **options: Unpack[PlainOptions]
) -> keras.Model:
    """The network of the paper for DVS Gesture, 1.7 million weights.

    Takes the arguments of `PLIFNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.DVSGestureNet(filters=2, units=8)
    >>> model.output_shape
    (None, 11)
    """
    return PLIFNet(input_shape, convolutions=1, poolings=5, **options)
