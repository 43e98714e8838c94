"""MS-ResNet: residual networks whose shortcuts carry membrane potentials."""

import functools
from typing import Any
from typing import Literal
from typing import Unpack

import keras

from keras_spiking import surrogates
from keras_spiking.models import parts
from keras_spiking.models import residual
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import ResNetOptions
from keras_spiking.models.options import network
from keras_spiking.validation import check_choice

SURROGATE = surrogates.Rect(alpha=2.0)


def MSResNet(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    depths: tuple[int, int, int, int],
    filters: int = 64,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    classes: int = 1000,
    timesteps: int = 6,
    neuron: Neuron = "lif",
    surrogate: Any = SURROGATE,
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """MS-ResNet of any depth.

        block(x) = path(x) + shortcut(x),    path: twice neurons, convolution, norm

    In "membrane shortcut" residual networks, neurons stand before the convolutions:
    what blocks add up are the currents into membranes, and products are of spikes.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least 32, or 16 with the stem for CIFAR.
        depths: Tuple of four integers >= 1, the number of blocks of each stage.
        filters: Integer >= 1, filters of the first stage. Defaults to `64`.
        stem: `"imagenet"`, a convolution of 7 x 7 that halves height and width, or
            `"cifar"`, one of 3 x 3 that leaves them.
        classes: Integer >= 1, number of classes. Defaults to `1000`.
        timesteps: Integer >= 1, for how many steps images are presented. Sequences
            have their own number. Defaults to `6`.
        neuron: Name of neurons such as `"if"`, `"lif"`, `"plif"`; their class; a
            function without arguments that returns a layer of neurons; or a layer
            that all are made like. Neurons by name or class detach their reset, and
            have a threshold of 0.5, a time constant of 4 / 3 and undivided inputs,
            where they know these.
        surrogate: Surrogate gradient of neurons by name or class, see
            `keras_spiking.surrogates.get`. Defaults to `Rect(alpha=2.0)`.
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

    >>> model = keras_spiking.models.MSResNet(
    ...     (16, 16, 1), depths=(1, 1, 1, 1), filters=4, stem="cifar", classes=10
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Hu et al., 2024](https://arxiv.org/abs/2112.08954)
    """
    small = check_choice("stem", stem, ("imagenet", "cifar")) == "cifar"
    size, strides, minimum = (3, 1, 16) if small else (7, 2, 32)
    fire = parts.neurons(
        neuron, surrogate, timesteps, tau=4 / 3, v_threshold=0.5, decay_input=False
    )

    convolution = functools.partial(
        parts.convolution, gamma=0.5, initializer=parts.fan_in_uniform
    )

    def block(x, filters, strides, name):
        y = fire(x, f"{name}_spike1")
        y = convolution(y, filters, 3, f"{name}_conv1", f"{name}_bn1", strides)
        y = fire(y, f"{name}_spike2")
        # Blocks start as the identity.
        y = convolution(y, filters, 3, f"{name}_conv2", f"{name}_bn2", gamma=0.0)
        if strides > 1:
            down = f"{name}_downsample"
            x = convolution(x, filters, 1, f"{down}_0", f"{down}_1", strides)
        x = parts.presented(x, timesteps, name)
        return keras.layers.add([x, y], name=f"{name}_add")

    inputs = parts.network_input(input_shape, minimum)
    x = convolution(inputs, filters, size, "stem_0", "stem_1", strides)
    x = residual.stages(x, residual.Plan(depths), filters, block, first_strides=2)
    x = fire(x, "head_lif")
    if include_top:
        x = parts.classifier(x, classes, "head", return_sequences)
    return parts.model(inputs, x, weights, name)


@network(MSResNet)
def MSResNet18(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """MS-ResNet-18, 11.7 million weights for 1000 classes.

    Takes the arguments of `MSResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.MSResNet18((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return MSResNet(input_shape, **residual.RESNET18, **options)


@network(MSResNet)
def MSResNet34(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """MS-ResNet-34, 21.8 million weights for 1000 classes.

    Takes the arguments of `MSResNet` from `filters` on.

    Example:

    >>> model = keras_spiking.models.MSResNet34((32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    return MSResNet(input_shape, **residual.RESNET34, **options)


@network(MSResNet)
def MSResNet104(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ResNetOptions]
) -> keras.Model:
    """MS-ResNet-104, 77.3 million weights for 1000 classes.

    Takes the arguments of `MSResNet` from `filters` on. Its stem and shortcuts are
    those of the shallower networks.

    Example:

    >>> model = keras_spiking.models.MSResNet104((32, 32, 3), filters=1)
    >>> model.output_shape
    (None, 1000)
    """
    return MSResNet(input_shape, depths=(3, 8, 32, 8), **options)
