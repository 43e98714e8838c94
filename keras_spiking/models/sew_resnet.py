"""SEW-ResNet: residual networks whose shortcuts carry spikes."""

from typing import Any
from typing import Literal
from typing import Unpack

import keras

from keras_spiking import layers
from keras_spiking.models import parts
from keras_spiking.models import residual
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import SEWResNetOptions
from keras_spiking.models.options import network
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice


def _add(x, y, name):
    return keras.layers.add([x, y], name=f"{name}_add")


def _and(x, y, name):
    return keras.layers.multiply([x, y], name=f"{name}_and")


def _iand(x, y, name):
    return keras.layers.subtract([x, _and(x, y, name)], name=f"{name}_iand")


CONNECTIONS = {"ADD": _add, "AND": _and, "IAND": _iand}


def SEWResNet(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    depths: tuple[int, int, int, int],
    bottleneck: bool = False,
    groups: int = 1,
    widening: int = 1,
    connect: Literal["ADD", "AND", "IAND"] = "ADD",
    feedback: bool = False,
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
    """SEW-ResNet of any depth.

        block(x) = connect(shortcut(x), neurons(path(x)))

    In "spike-element-wise" residual networks, spikes of a block are connected with
    those of its input, so that a block can be the identity and gradients neither
    vanish nor explode. `"ADD"` sums them, to counts; `"AND"` is `x y`, and `"IAND"` is
    `x (1 - y)` for a shortcut `x` and spikes `y` (in bottlenecks, as published, for
    spikes `x` and a shortcut `y`).

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
        connect: `"ADD"`, `"AND"` or `"IAND"`, as above. Defaults to `"ADD"`.
        feedback: Boolean, whether the last block of each stage hears the spikes that
            its path fired a step before: `path(x[t] + path[t-1])`. Each stage then has
            two blocks or more. Defaults to `False`.
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

    >>> model = keras_spiking.models.SEWResNet(
    ...     (8, 8, 1), depths=(1, 1, 1, 1), filters=4, stem="cifar", classes=10
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Fang et al., 2021](https://arxiv.org/abs/2102.04159)
    """
    check_choice("connect", connect, CONNECTIONS)
    plan = residual.Plan(depths, bottleneck, groups, widening)
    fire = parts.neurons(neuron, surrogate, timesteps)
    last = [f"layer{i}_{depth - 1}" for i, depth in enumerate(depths, 1)]
    recurrent = last if check_bool("feedback", feedback) else []

    def path(x, filters, strides, name):
        return fire(*residual.path(x, fire, plan, filters, strides, name))

    def block(x, filters, strides, name):
        if name in recurrent:
            inputs = keras.Input(x.shape[1:])
            outputs = path(inputs, filters, strides, name)
            inner = keras.Model(inputs, outputs, name=f"{name}_path")
            y = layers.ElementwiseRecurrent(inner, name=f"{name}_feedback")(x)
        else:
            y = path(x, filters, strides, name)
        if x.shape != y.shape:
            x = residual.projection(x, y, strides, name)
            x = fire(x, f"{name}_downsample_sn")
        # In the published weights, bottlenecks are connected the other way round.
        return CONNECTIONS[connect](*((y, x) if bottleneck else (x, y)), name)

    inputs = parts.network_input(input_shape, residual.minimum_size(stem))
    x = residual.stem(inputs, fire, filters, stem)
    x = residual.stages(x, plan, filters, block)
    if include_top:
        x = parts.classifier(x, classes, "fc", return_sequences)
    return parts.model(inputs, x, weights, name)


@network(SEWResNet)
def SEWResNet18(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-ResNet-18, 11.7 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWResNet18((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.RESNET18, **options)


@network(SEWResNet)
def SEWResNet34(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-ResNet-34, 21.8 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWResNet34((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.RESNET34, **options)


@network(SEWResNet)
def SEWResNet50(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-ResNet-50, 25.6 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWResNet50((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.RESNET50, **options)


@network(SEWResNet)
def SEWResNet101(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-ResNet-101, 44.5 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWResNet101((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.RESNET101, **options)


@network(SEWResNet)
def SEWResNet152(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-ResNet-152, 60.2 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWResNet152((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.RESNET152, **options)


@network(SEWResNet)
def SEWResNeXt50_32x4d(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-ResNeXt-50 (32 x 4d), 25.0 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWResNeXt50_32x4d((32, 32, 3), filters=16)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.RESNEXT50_32X4D, **options)


@network(SEWResNet)
def SEWResNeXt101_32x8d(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-ResNeXt-101 (32 x 8d), 88.8 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWResNeXt101_32x8d((32, 32, 3), filters=16)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.RESNEXT101_32X8D, **options)


@network(SEWResNet)
def SEWWideResNet50_2(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-Wide ResNet-50-2, 68.9 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWWideResNet50_2((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.WIDE_RESNET50_2, **options)


@network(SEWResNet)
def SEWWideResNet101_2(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-Wide ResNet-101-2, 126.9 million weights for 1000 classes.

    Takes the arguments of `SEWResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.SEWWideResNet101_2((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return SEWResNet(input_shape, **residual.WIDE_RESNET101_2, **options)


@network(SEWResNet)
def RecurrentSEWResNet18(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[SEWResNetOptions]
) -> keras.Model:
    """SEW-ResNet-18 with feedback in all four stages.

    Takes the arguments of `SEWResNet` from `filters` on, and weights of `SEWResNet18`.

    Example:

    >>> model = keras_spiking.models.RecurrentSEWResNet18((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)

    References:
        - [Fang et al., 2023](https://arxiv.org/abs/2310.16620)
    """
    return SEWResNet(input_shape, **residual.RESNET18, feedback=True, **options)
