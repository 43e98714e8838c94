"""QKFormer: a hierarchical transformer with attention of queries and keys."""

import functools
from typing import Any
from typing import Literal
from typing import Unpack

import keras

from keras_spiking.models import attention
from keras_spiking.models import parts
from keras_spiking.models.options import ModelOptions
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import network
from keras_spiking.validation import check_choice


def QKFormer(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    width: int,
    depths: tuple[int, int, int],
    heads: tuple[int, int, int],
    mlp_ratio: float = 4.0,
    attention_over: Literal["tokens", "channels"] = "tokens",
    classes: int = 1000,
    timesteps: int = 4,
    neuron: Neuron = "lif",
    surrogate: Any = "sigmoid",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """QKFormer of any size.

        x = x + attention(x)
        x = x + mlp(x)

    Three stages, each with half as many pixels a side and twice as many channels as
    the one before. In the first two, the attention of queries and keys masks tokens
    (or channels) of the keys by sums of the queries, linear in the number of both; the
    last has the self-attention of Spikformer.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least 16.
        width: Integer >= 8, divisible by 4, the channels of the last stage.
        depths: Tuple of three integers >= 0, the number of blocks of each stage.
        heads: Tuple of three integers >= 1, heads of the attention in each stage, that
            divide `width / 4`, `width / 2` and `width`.
        mlp_ratio: Float > 0, channels between the two layers of a block's MLP, as a
            multiple of those around it. Defaults to `4.0`.
        attention_over: `"tokens"` or `"channels"`, what the attention of queries and
            keys masks. Defaults to `"tokens"`.
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
            the map of the last block. Defaults to `True`.
        return_sequences: Boolean, whether scores are returned for every step, or
            their mean over time. Defaults to `False`.
        weights: Path of weights to load, see `keras_spiking.models.load_weights`.
            Defaults to `None`: random weights.
        name: Name of the model.

    Returns:
        A functional Keras model from images, or sequences of frames, to scores of
        classes (logits).

    Raises:
        ValueError: if an argument is out of its range, channels do not divide into
            heads, there are no such neurons, the images are too small for the strides,
            or the weights do not fit.

    Example:

    >>> model = keras_spiking.models.QKFormer(
    ...     (16, 16, 1), width=32, depths=(1, 1, 1), heads=(1, 2, 4), classes=10
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Zhou et al., 2024](https://arxiv.org/abs/2403.16552)
    """
    check_choice("attention_over", attention_over, ("tokens", "channels"))
    attention.check_stages(width, depths=depths, heads=heads)
    fire, gate = attention.neurons(neuron, surrogate, timesteps)

    convolution = functools.partial(
        parts.convolution, use_bias=True, initializer=parts.fan_in_uniform
    )

    def shortcut(x, filters, name):
        x = convolution(x, filters, 1, f"{name}_shortcut_0", f"{name}_shortcut_1", 2)
        return fire(x, f"{name}_shortcut_2")

    def patches(x, filters, name, first):
        """Convolutions beside a shortcut; the image goes through one before."""
        count = 0

        def layer(x, filters, pool=None):
            nonlocal count
            count += 1
            x = convolution(x, filters, 3, f"{name}_conv{count}", f"{name}_bn{count}")
            if pool is not None:
                x = parts.max_pooling(x, 3, 2, f"{name}_{pool}")
            return fire(x, f"{name}_lif{count}")

        if first:
            x = layer(x, filters // 2, "pool1")
        y = layer(x, filters, "pool2" if first else "pool")
        y = layer(y, filters)
        return keras.layers.add([y, shortcut(x, filters, name)], name=f"{name}_add")

    def mlp(x, name):
        filters = parts.channels(x)
        for number, units in enumerate((int(filters * mlp_ratio), filters), 1):
            names = f"{name}_fc{number}", f"{name}_bn{number}"
            x = fire(convolution(x, units, 1, *names), f"{name}_lif{number}")
        return x

    inputs = x = parts.network_input(input_shape, 16)
    for stage, divisor in enumerate((4, 2, 1), 1):
        filters = width // divisor
        attention.check_heads(filters, heads[stage - 1], f"channels of stage {stage}")
        x = patches(x, filters, f"patch_embed{stage}", stage == 1)
        for number in range(depths[stage - 1]):
            block = f"stage{stage}_{number}"
            common = x, fire, gate, heads[stage - 1]
            attn = f"{block}_attn"
            if stage < 3:
                y = attention.query_key_attention(*common, attention_over, attn)
            else:
                y = attention.self_attention(*common, parts.fan_in_uniform, attn)
            x = keras.layers.add([x, y], name=f"{attn}_add")
            x = keras.layers.add([x, mlp(x, f"{block}_mlp")], name=f"{block}_mlp_add")
    if include_top:
        x = parts.classifier(x, classes, "head", return_sequences)
    return parts.model(inputs, x, weights, name)


@network(QKFormer)
def QKFormer10_384(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """QKFormer of 10 blocks, 384 wide: 16.5 million weights for 1000 classes.

    Takes the arguments of `QKFormer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.QKFormer10_384((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return QKFormer(
        input_shape, width=384, depths=(1, 2, 7), heads=(6, 6, 6), **options
    )


@network(QKFormer)
def QKFormer10_512(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """QKFormer of 10 blocks, 512 wide: 29.1 million weights for 1000 classes.

    Takes the arguments of `QKFormer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.QKFormer10_512((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return QKFormer(
        input_shape, width=512, depths=(1, 2, 7), heads=(8, 8, 8), **options
    )


@network(QKFormer)
def QKFormer10_768(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """QKFormer of 10 blocks, 768 wide: 65.0 million weights for 1000 classes.

    Takes the arguments of `QKFormer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.QKFormer10_768((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return QKFormer(
        input_shape, width=768, depths=(1, 2, 7), heads=(12, 12, 12), **options
    )
