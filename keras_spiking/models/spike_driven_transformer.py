"""Spike-driven transformer: attention of masks and additions, shortcuts of currents."""

import functools
from typing import Any
from typing import Unpack

import keras

from keras_spiking.models import attention
from keras_spiking.models import parts
from keras_spiking.models.options import ModelOptions
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import network
from keras_spiking.validation import check_integer


def SpikeDrivenTransformer(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    width: int,
    depth: int,
    heads: int = 8,
    mlp_ratio: float = 4.0,
    pooling: tuple[bool, bool, bool, bool] = (True, True, True, True),
    classes: int = 1000,
    timesteps: int = 4,
    neuron: Neuron = "lif",
    surrogate: Any = "sigmoid",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Spike-driven transformer of any size.

        x = x + norm((neurons(sum_tokens K * V) * Q) W)
        x = x + mlp(x)

    The attention only masks and adds: a channel of the queries passes where keys and
    values agree on enough tokens. Shortcuts carry currents from one normalisation to
    the next, and every convolution behind the first takes spikes.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least two to the number of poolings.
        width: Integer >= 8, the channels of a patch. `heads` divides it.
        depth: Integer >= 1, the number of blocks.
        heads: Integer >= 1, heads of the attention. It works on each channel by
            itself, and gives the same for any number. Defaults to `8`.
        mlp_ratio: Float > 0, channels between the two layers of a block's MLP, as a
            multiple of `width`. Defaults to `4.0`.
        pooling: Tuple of four booleans, whether each of the four convolutions that
            make patches is followed by a pooling. Defaults to all: patches of 16 x 16.
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
            heads, there are no such neurons, the images are smaller than a patch, or
            the weights do not fit.

    Example:

    >>> model = keras_spiking.models.SpikeDrivenTransformer(
    ...     (8, 8, 1),
    ...     width=16,
    ...     depth=2,
    ...     pooling=(False, False, True, True),
    ...     classes=10,
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Yao et al., 2023](https://arxiv.org/abs/2307.01694)
    """
    check_integer("width", width, minimum=8)
    check_integer("depth", depth, minimum=1)
    attention.check_heads(width, heads)
    if len(pooling) != 4:
        raise ValueError(
            "There are four convolutions to pool behind: `pooling` must be four "
            f"booleans. Received: pooling={pooling!r}"
        )
    fire, gate = attention.neurons(neuron, surrogate, timesteps)

    convolution = functools.partial(
        parts.convolution, use_bias=True, initializer=parts.fan_in_uniform
    )

    def patches(x):
        for number, divisor in enumerate((8, 4, 2)):
            stage = f"patch_embed_stages_{number}"
            x = convolution(x, width // divisor, 3, f"{stage}_0", f"{stage}_1")
            x = fire(x, f"{stage}_2")
            if pooling[number]:
                x = parts.max_pooling(x, 3, 2, f"{stage}_3")
        stage = "patch_embed_final_stage"
        x = convolution(x, width, 3, f"{stage}_0", f"{stage}_1")
        if pooling[3]:
            x = parts.max_pooling(x, 3, 2, f"{stage}_2")
        y = fire(x, "patch_embed_final_lif")
        y = convolution(
            y, width, 3, "patch_embed_rpe_conv", "patch_embed_rpe_bn", use_bias=False
        )
        return keras.layers.add([x, y], name="patch_embed_add")

    def self_attention(x, name):
        y = fire(x, f"{name}_shortcut_lif")
        q, k, v = (
            fire(
                convolution(
                    y, width, 1, f"{name}_{i}_conv", f"{name}_{i}_bn", use_bias=False
                ),
                f"{name}_{i}_lif",
            )
            for i in "qkv"
        )
        agreement = keras.layers.multiply([k, v], name=f"{name}_kv")
        passed = gate(attention.sum_of_tokens(agreement), f"{name}_attn_lif")
        y = keras.layers.multiply([q, passed], name=f"{name}_mask")
        y = convolution(y, width, 1, f"{name}_proj_conv", f"{name}_proj_bn")
        return keras.layers.add([x, y], name=f"{name}_add")

    inputs = parts.network_input(input_shape, 2 ** sum(map(bool, pooling)))
    x = patches(inputs)
    for number in range(depth):
        x = self_attention(x, f"blocks_{number}_attn")
        x = attention.membrane_mlp(x, fire, mlp_ratio, f"blocks_{number}_mlp")
    if include_top:
        x = parts.classifier(x, classes, "head", return_sequences, fire=fire)
    return parts.model(inputs, x, weights, name)


@network(SpikeDrivenTransformer)
def SpikeDrivenTransformer8_384(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Spike-driven transformer of 8 blocks, 384 wide: 16.8 million weights.

    Takes the arguments of `SpikeDrivenTransformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.SpikeDrivenTransformer8_384((32, 32, 3))
    >>> model.output_shape
    (None, 1000)
    """
    return SpikeDrivenTransformer(input_shape, width=384, depth=8, **options)


@network(SpikeDrivenTransformer)
def SpikeDrivenTransformer8_512(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Spike-driven transformer of 8 blocks, 512 wide: 29.7 million weights.

    Takes the arguments of `SpikeDrivenTransformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.SpikeDrivenTransformer8_512((32, 32, 3))
    >>> model.output_shape
    (None, 1000)
    """
    return SpikeDrivenTransformer(input_shape, width=512, depth=8, **options)


@network(SpikeDrivenTransformer)
def SpikeDrivenTransformer8_768(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Spike-driven transformer of 8 blocks, 768 wide: 66.3 million weights.

    Takes the arguments of `SpikeDrivenTransformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.SpikeDrivenTransformer8_768((32, 32, 3))
    >>> model.output_shape
    (None, 1000)
    """
    return SpikeDrivenTransformer(input_shape, width=768, depth=8, **options)


@network(SpikeDrivenTransformer, classes=10)
def SpikeDrivenTransformer2_512(
    input_shape: tuple[int, ...] = (32, 32, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Spike-driven transformer for images of 32 x 32: 2 blocks, 512 wide.

    Takes the arguments of `SpikeDrivenTransformer` from `classes` on; `classes`
    defaults to 10.

    Example:

    >>> model = keras_spiking.models.SpikeDrivenTransformer2_512(timesteps=2)
    >>> model.output_shape
    (None, 10)
    """
    pooling = (False, False, True, True)
    return SpikeDrivenTransformer(
        input_shape, width=512, depth=2, pooling=pooling, **options
    )
