"""MaxFormer: a transformer of spikes that keeps high frequencies."""

import functools
from typing import Any
from typing import Literal
from typing import Unpack

import keras

from keras_spiking import layers
from keras_spiking.models import attention
from keras_spiking.models import parts
from keras_spiking.models.options import ModelOptions
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import network
from keras_spiking.validation import check_choice


def MaxFormer(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    width: int,
    depths: tuple[int, int, int],
    heads: int,
    mlp_ratio: float = 4.0,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    classes: int = 1000,
    timesteps: int = 4,
    neuron: Neuron = "lif",
    surrogate: Any = "sigmoid",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """MaxFormer of any size.

        x = x + norm(depthwise(neurons(x)))     x = x + attention(x)
        x = x + mlp(x)                          x = x + mlp(x)

    Spiking neurons pass low frequencies better than high ones. MaxFormer has what
    restores the high ones: maxima of neighbours between its three stages, and
    depthwise convolutions (on the left) in place of the attention of the first two.
    The last stage has self-attention. Shortcuts carry currents.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least 16, or 4 with the stem for CIFAR.
        width: Integer >= 8, divisible by 4, the channels of the last stage. `heads`
            divides it.
        depths: Tuple of three integers >= 0, the number of blocks of each stage.
        heads: Integer >= 1, heads of the attention.
        mlp_ratio: Float > 0, channels between the two layers of a block's MLP, as a
            multiple of those around it. Defaults to `4.0`.
        stem: `"imagenet"`, which takes height and width to a quarter, or `"cifar"`,
            which leaves them; blocks of its first stage have no convolution, those of
            the second a smaller one, and the attention takes spikes.
        classes: Integer >= 1, number of classes. Defaults to `1000`.
        timesteps: Integer >= 1, for how many steps images are presented. Sequences
            have their own number. Defaults to `4`.
        neuron: Name of neurons such as `"if"`, `"lif"`, `"plif"`; their class; a
            function without arguments that returns a layer of neurons; or a layer
            that all are made like. Neurons by name or class detach their reset. With
            `"lif"`, the default, those of the attention have the threshold 0.5.
        surrogate: Surrogate gradient of neurons by name or class, see
            `keras_spiking.surrogates.get`. Defaults to `"sigmoid"`.
        include_top: Boolean, whether the model ends with scores of classes, or with
            the currents of the last block. Defaults to `True`.
        return_sequences: Boolean, whether scores are returned for every step, or
            their mean over time. Defaults to `False`.
        weights: Path of weights to load, see `keras_spiking.models.load_weights`.
            Defaults to `None`: random weights.
        name: Name of the model.

    Returns:
        A functional Keras model from images, or sequences of frames, to scores of
        classes (logits).

    Raises:
        ValueError: if an argument is out of its range, the width does not divide into
            heads, there are no such neurons, the images are too small for the strides,
            or the weights do not fit.

    Example:

    >>> model = keras_spiking.models.MaxFormer(
    ...     (8, 8, 1), width=32, depths=(1, 1, 1), heads=2, stem="cifar", classes=10
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Fang et al., 2025](https://arxiv.org/abs/2505.18608)
    """
    check_choice("stem", stem, ("imagenet", "cifar"))
    attention.check_stages(width, depths=depths)
    attention.check_heads(width, heads)
    cifar = stem == "cifar"
    fire, gate = attention.neurons(neuron, surrogate, timesteps)

    convolution = functools.partial(
        parts.convolution, use_bias=not cifar, initializer=parts.fan_in_uniform
    )

    def imagenet_stem(x, filters, name):
        x = convolution(x, filters // 2, 3, f"{name}_conv1", f"{name}_bn1", 2)
        x = fire(x, f"{name}_lif1")
        y = convolution(x, filters, 3, f"{name}_conv2", f"{name}_bn2", 2)
        y = fire(y, f"{name}_lif2")
        y = convolution(y, filters, 3, f"{name}_conv3", f"{name}_bn3")
        x = convolution(x, filters, 1, f"{name}_shortcut_0", f"{name}_shortcut_1", 2)
        return keras.layers.add([y, x], name=f"{name}_add")

    def cifar_stem(x, filters, name):
        x = convolution(x, filters // 2, 3, f"{name}_conv", f"{name}_bn")
        branches = []
        for size, branch in ((3, f"{name}_branch"), (1, f"{name}_shortcut")):
            y = fire(x, f"{branch}_0")
            y = convolution(y, filters, size, f"{branch}_1", f"{branch}_2")
            branches.append(y)
        return keras.layers.add(branches, name=f"{name}_add")

    def downsample(x, filters, name):
        x = fire(x, f"{name}_lif1")
        y = convolution(x, filters, 3, f"{name}_conv1", f"{name}_bn1")
        y = fire(parts.max_pooling(y, 3, 2, f"{name}_pool"), f"{name}_lif2")
        y = convolution(y, filters, 3, f"{name}_conv2", f"{name}_bn2")
        x = convolution(x, filters, 1, f"{name}_shortcut_0", f"{name}_shortcut_1")
        x = parts.max_pooling(x, 3, 2, f"{name}_shortcut_2")
        return keras.layers.add([y, x], name=f"{name}_add")

    def depthwise(x, size, name):
        y = fire(x, f"{name}_lif")
        y = parts.depthwise_convolution(
            y, size, name=f"{name}_dwconv", norm=f"{name}_bn", use_bias=True
        )
        return keras.layers.add([x, y], name=f"{name}_add")

    def cifar_attention(x, name):
        x = fire(x, f"{name}_input_lif")
        x = convolution(x, 3 * width, 1, f"{name}_qkv_0", f"{name}_qkv_1")
        x = layers.LinearAttention(heads, name=name)(fire(x, f"{name}_qkv_lif"))
        x = gate(x, f"{name}_attn_lif")
        return convolution(
            x, width, 1, f"{name}_proj_0", f"{name}_proj_1", use_bias=True
        )

    def block(x, stage, name):
        mlp = f"{name}_mlp"
        if stage == 3:
            attn = f"{name}_attn"
            if cifar:
                y = cifar_attention(x, attn)
            else:
                initial = parts.fan_in_uniform
                y = attention.self_attention(x, fire, gate, heads, initial, attn)
            x = keras.layers.add([x, y], name=f"{attn}_add")
        elif stage == 2 or not cifar:
            size = 3 if cifar else 9 - 2 * stage
            x = depthwise(x, size, name)
        else:
            mlp = name
        return attention.membrane_mlp(x, fire, mlp_ratio, mlp)

    inputs = x = parts.network_input(input_shape, 4 if cifar else 16)
    for stage, divisor in enumerate((4, 2, 1), 1):
        embed = (cifar_stem if cifar else imagenet_stem) if stage == 1 else downsample
        x = embed(x, width // divisor, f"patch_embed{stage}")
        for number in range(depths[stage - 1]):
            x = block(x, stage, f"stage{stage}_{number}")
    if include_top:
        initial = parts.normal if cifar else parts.fan_in_uniform
        x = parts.classifier(
            x, classes, "head", return_sequences, fire=fire, initializer=initial
        )
    return parts.model(inputs, x, weights, name)


@network(MaxFormer)
def MaxFormer10_384(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """MaxFormer of 10 blocks, 384 wide: 16.2 million weights for 1000 classes.

    Takes the arguments of `MaxFormer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.MaxFormer10_384((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return MaxFormer(input_shape, width=384, depths=(1, 2, 7), heads=6, **options)


@network(MaxFormer, classes=100)
def MaxFormerCIFAR(
    input_shape: tuple[int, ...] = (32, 32, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """MaxFormer for images of 32 x 32, 384 wide with 4 blocks: 6.6 million weights.

    Takes the arguments of `MaxFormer` from `classes` on; `classes` defaults to 100.

    Example:

    >>> model = keras_spiking.models.MaxFormerCIFAR(timesteps=2)
    >>> model.output_shape
    (None, 100)
    """
    return MaxFormer(
        input_shape, width=384, depths=(1, 1, 2), heads=8, stem="cifar", **options
    )
