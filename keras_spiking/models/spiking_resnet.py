"""Spiking ResNet: a ResNet with neurons for activation functions."""

from typing import Any
from typing import Literal
from typing import Unpack

import keras

from keras_spiking.models import parts
from keras_spiking.models import residual
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import ResNetOptions
from keras_spiking.models.options import network


def SpikingResNet(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    depths: tuple[int, int, int, int],
    bottleneck: bool = False,
    groups: int = 1,
    widening: int = 1,
    filters: int = 64,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    classes: int = 1000,
    timesteps: int = 4,
    neuron: Neuron = "if",
    surrogate: Any = "atan",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Spiking ResNet of any depth.

        block(x) = neurons(path(x) + shortcut(x))

    A ResNet whose activation functions are spiking neurons, the last of a block
    behind its sum.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least 32, or 8 with the stem for CIFAR.
        depths: Tuple of four integers >= 1, the number of blocks of each stage.
        bottleneck: Boolean, whether blocks are 1 x 1, 3 x 3 and 1 x 1 convolutions
            in place of two of 3 x 3.
        groups: Integer >= 1, groups of the 3 x 3 convolutions of bottlenecks.
        widening: Integer >= 1, by how much 3 x 3 convolutions of bottlenecks are
            wider than usual.
        filters: Integer >= 1, filters of the first stage. Defaults to `64`.
        stem: `"imagenet"`, a convolution of 7 x 7 and a pooling that take height and
            width to a quarter, or `"cifar"`, one of 3 x 3 that leaves them.
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
            images are too small for the strides, or the weights do not fit.

    Example:

    >>> model = keras_spiking.models.SpikingResNet(
    ...     (8, 8, 1), depths=(1, 1, 1, 1), filters=4, stem="cifar", classes=10
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [He et al., 2016](https://arxiv.org/abs/1512.03385)
        - [Fang et al., 2021](https://arxiv.org/abs/2102.04159)
    """
    plan = residual.Plan(depths, bottleneck, groups, widening)
    fire = parts.neurons(neuron, surrogate, timesteps)

    def block(x, filters, strides, name):
        y, last = residual.path(x, fire, plan, filters, strides, name)
        if x.shape != y.shape:
            x = residual.projection(x, y, strides, name)
        return fire(keras.layers.add([x, y], name=f"{name}_add"), last)

    inputs = parts.network_input(input_shape, residual.minimum_size(stem))
    x = residual.stem(inputs, fire, filters, stem)
    x = residual.stages(x, plan, filters, block)
    if include_top:
        x = parts.classifier(x, classes, "fc", return_sequences)
    return parts.model(inputs, x, weights, name)


@network(SpikingResNet)
def SpikingResNet18(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking ResNet-18, 11.7 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingResNet18((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.RESNET18, **options)


@network(SpikingResNet)
def SpikingResNet34(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking ResNet-34, 21.8 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingResNet34((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.RESNET34, **options)


@network(SpikingResNet)
def SpikingResNet50(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking ResNet-50, 25.6 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingResNet50((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.RESNET50, **options)


@network(SpikingResNet)
def SpikingResNet101(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking ResNet-101, 44.5 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingResNet101((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.RESNET101, **options)


@network(SpikingResNet)
def SpikingResNet152(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking ResNet-152, 60.2 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingResNet152((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.RESNET152, **options)


@network(SpikingResNet)
def SpikingResNeXt50_32x4d(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking ResNeXt-50 (32 x 4d), 25.0 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingResNeXt50_32x4d((32, 32, 3), filters=16)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.RESNEXT50_32X4D, **options)


@network(SpikingResNet)
def SpikingResNeXt101_32x8d(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking ResNeXt-101 (32 x 8d), 88.8 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingResNeXt101_32x8d((32, 32, 3), filters=16)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.RESNEXT101_32X8D, **options)


@network(SpikingResNet)
def SpikingWideResNet50_2(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking Wide ResNet-50-2, 68.9 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingWideResNet50_2((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.WIDE_RESNET50_2, **options)


@network(SpikingResNet)
def SpikingWideResNet101_2(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """Spiking Wide ResNet-101-2, 126.9 million weights for 1000 classes.

    Takes the arguments of `SpikingResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SpikingWideResNet101_2((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SpikingResNet(input_shape, **residual.WIDE_RESNET101_2, **options)
