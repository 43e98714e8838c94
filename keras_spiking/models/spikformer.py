"""Spikformer: a transformer of spikes, with self-attention without a softmax."""

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
from keras_spiking.validation import check_integer


def Spikformer(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    width: int,
    depth: int,
    heads: int,
    mlp_ratio: float = 4.0,
    patch_size: Literal[4, 16] = 16,
    classes: int = 1000,
    timesteps: int = 4,
    neuron: Neuron = "lif",
    surrogate: Any = "sigmoid",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Spikformer of any size.

        x = x + attention(x)
        x = x + mlp(x)

    Four convolutions with neurons make patches of an image. In a block, queries, keys
    and values of the attention are spikes, so that their products only add; both
    branches end with neurons, and the sums are counts.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least `patch_size`.
        width: Integer >= 8, the channels of a patch. `heads` divides it.
        depth: Integer >= 1, the number of blocks.
        heads: Integer >= 1, heads of the attention.
        mlp_ratio: Float > 0, channels between the two layers of a block's MLP, as a
            multiple of `width`. Defaults to `4.0`.
        patch_size: `16` or `4`, height and width of a patch. Defaults to `16`.
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
        ValueError: if an argument is out of its range, the width does not divide into
            heads, there are no such neurons, the images are smaller than a patch, or
            the weights do not fit.

    Example:

    >>> model = keras_spiking.models.Spikformer(
    ...     (8, 8, 1), width=16, depth=2, heads=2, patch_size=4, classes=10
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Zhou et al., 2023](https://arxiv.org/abs/2209.15425)
    """
    check_integer("width", width, minimum=8)
    check_integer("depth", depth, minimum=1)
    attention.check_heads(width, heads)
    check_choice("patch_size", patch_size, (4, 16))
    fire, gate = attention.neurons(neuron, surrogate, timesteps)
    convolution = functools.partial(
        parts.convolution, use_bias=False, initializer=parts.normal
    )

    def stage(x, filters, pools, name):
        block = f"{name}_conv_bn_block"
        x = convolution(x, filters, 3, f"{block}_0", f"{block}_1")
        if pools:
            x = parts.max_pooling(x, 3, 2, f"{block}_2")
        return fire(x, f"{name}_neuron")

    def mlp(x, name):
        for number, filters in enumerate((int(width * mlp_ratio), width), 1):
            layer = f"{name}_fc{number}"
            x = convolution(x, filters, 1, f"{layer}_0", f"{layer}_1")
            x = fire(x, f"{name}_neuron{number}")
        return x

    inputs = x = parts.network_input(input_shape, patch_size)
    for number, divisor in enumerate((8, 4, 2, 1)):
        pools = patch_size == 16 or number >= 2
        x = stage(x, width // divisor, pools, f"patch_embed_stages_{number}")
    y = stage(x, width, False, "patch_embed_positional_encoding")
    x = keras.layers.add([x, y], name="patch_embed_add")
    for number in range(depth):
        block = f"blocks_{number}"
        y = attention.self_attention(
            x, fire, gate, heads, parts.normal, f"{block}_attn"
        )
        x = keras.layers.add([x, y], name=f"{block}_attn_add")
        x = keras.layers.add([x, mlp(x, f"{block}_mlp")], name=f"{block}_mlp_add")
    if include_top:
        x = parts.classifier(
            x, classes, "head", return_sequences, initializer=parts.normal
        )
    return parts.model(inputs, x, weights, name)


@network(Spikformer)
def SpikformerTi(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Spikformer-Ti, 256 wide with 4 blocks: 4.4 million weights for 1000 classes.

    Takes the arguments of `Spikformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.SpikformerTi((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return Spikformer(input_shape, width=256, depth=4, heads=8, **options)


@network(Spikformer)
def SpikformerS(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Spikformer-S, 384 wide with 6 blocks: 13.2 million weights for 1000 classes.

    Takes the arguments of `Spikformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.SpikformerS((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return Spikformer(input_shape, width=384, depth=6, heads=12, **options)


@network(Spikformer, classes=10)
def SpikformerCIFAR10(
    input_shape: tuple[int, ...] = (32, 32, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Spikformer for images of 32 x 32, 384 wide with 4 blocks: 9.3 million weights.

    Takes the arguments of `Spikformer` from `classes` on; `classes` defaults to 10.

    Example:

    >>> model = keras_spiking.models.SpikformerCIFAR10(timesteps=2)
    >>> model.output_shape
    (None, 10)
    """
    return Spikformer(
        input_shape, width=384, depth=4, heads=12, patch_size=4, **options
    )
