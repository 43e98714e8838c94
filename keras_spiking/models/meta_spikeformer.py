"""Meta-Spikeformer and E-SpikeFormer: convolutions, then attention."""

import functools
from typing import Any
from typing import Unpack

import keras

from keras_spiking import layers
from keras_spiking.models import attention
from keras_spiking.models import parts
from keras_spiking.models.options import ModelOptions
from keras_spiking.models.options import Neuron
from keras_spiking.models.options import network


def MetaSpikeformer(
    input_shape: tuple[int, ...] = (224, 224, 3),
    *,
    filters: tuple[int, int, int, int],
    depths: tuple[int, int] = (6, 2),
    heads: int = 8,
    mlp_ratio: float = 4.0,
    efficient: bool = False,
    classes: int = 1000,
    timesteps: int = 1,
    neuron: Neuron = "ilif",
    surrogate: Any = "sigmoid",
    include_top: bool = True,
    return_sequences: bool = False,
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Meta-Spikeformer (spike-driven transformer V2) or E-SpikeFormer (V3) of any size.

        x = x + separable_convolution(x)        x = x + attention(x)
        x = x + convolutions(x)                 x = x + mlp(x)

    Two stages of convolutional blocks (on the left) are followed by two of transformer
    blocks. Shortcuts carry currents; every convolution behind the first takes spikes,
    but for those that are merged with the one before them when training is done.

    By default neurons are integer-valued, as E-SpikeFormer's: a step of training is
    worth `D` steps of binary spikes. Products of the attention are scaled as if counts
    of spikes were rates, divided by `D`.

    This is the architecture of the papers and of the code published with them, with
    three differences: the borders of reparameterised convolutions count in the
    statistics of a training step (inference is equal); the classifier takes spikes, as
    the papers say, where V2's code gives it the currents; and no path is dropped in
    training.

    Args:
        input_shape: Tuple of integers, without the batch: the shape of images, which
            are presented at every step (direct coding), or of sequences of frames,
            with time first. Channels are where `keras.config.image_data_format()`
            says. Height and width are at least 16.
        filters: Tuple of four integers, the channels of the stages. `heads` divides
            the last two; the first is even.
        depths: Tuple of two integers >= 0, blocks of the transformer stages. Defaults
            to `(6, 2)`.
        heads: Integer >= 1, heads of the attention. Defaults to `8`.
        mlp_ratio: Float > 0, channels between the two layers of a branch, as a
            multiple of those around it. Defaults to `4.0`.
        efficient: Boolean. `False`: Meta-Spikeformer, whose attention projects by
            reparameterised convolutions. `True`: E-SpikeFormer, which projects pixel
            by pixel, has four times as many values, a separable convolution in
            transformer blocks, and neurons before each part of it.
        classes: Integer >= 1, number of classes. Defaults to `1000`.
        timesteps: Integer >= 1, for how many steps images are presented. Sequences
            have their own number. Defaults to `1`.
        neuron: Name of neurons such as `"ilif"`, `"lif"`, `"plif"`; their class; a
            function without arguments that returns a layer of neurons; or a layer
            that all are made like. Neurons by name or class detach their reset. With
            `"lif"`, those of the attention have the threshold 0.5. Defaults to
            `"ilif"` (`D = 4`).
        surrogate: Surrogate gradient of neurons by name or class that have one, see
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
        ValueError: if an argument is out of its range, channels do not divide into
            heads, there are no such neurons, the images are too small for the strides,
            or the weights do not fit.

    Example:

    >>> model = keras_spiking.models.MetaSpikeformer(
    ...     (16, 16, 1), filters=(8, 16, 16, 24), depths=(1, 1), classes=10
    ... )
    >>> model.output_shape
    (None, 10)

    References:
        - [Yao et al., 2024](https://arxiv.org/abs/2404.03663)
        - [Yao et al., 2025](https://arxiv.org/abs/2411.16061)
        - [Luo et al., 2024](https://arxiv.org/abs/2407.20708)
    """
    for given, what, count in ((filters, "filters", 4), (depths, "depths", 2)):
        if len(given) != count:
            raise ValueError(
                f"`{what}` must be {count} integers, one for each stage that it is "
                f"about. Received: {what}={given!r}"
            )
    for width in filters[2:]:
        attention.check_heads(width, heads, "filters of a transformer stage")
    fire, gate = attention.neurons(neuron, surrogate, timesteps)
    levels = parts.spikes_per_step(neuron)

    convolution = functools.partial(
        parts.convolution, use_bias=False, initializer=parts.fan_in_uniform
    )

    def downsample(x, filters, name, size=3, strides=2):
        names = f"{name}_encode_conv", f"{name}_encode_bn"
        return convolution(x, filters, size, *names, strides, use_bias=True)

    def separable(x, size, name):
        width = parts.channels(x)
        # E-SpikeFormer normalises each part, so that it has names with numbers.
        norms = (
            [f"{name}_{part}_1" for part in ("pwconv1", "dwconv", "pwconv2")]
            if efficient
            else [f"{name}_bn1", None, f"{name}_bn2"]
        )
        end = "_0" if efficient else ""
        y = fire(x, f"{name}_lif1")
        y = convolution(y, 2 * width, 1, f"{name}_pwconv1{end}", norms[0])
        y = fire(y, f"{name}_lif2")
        y = parts.depthwise_convolution(
            y, size, name=f"{name}_dwconv{end}", norm=norms[1]
        )
        if efficient:
            y = fire(y, f"{name}_lif3")
        y = convolution(y, width, 1, f"{name}_pwconv2{end}", norms[2])
        return keras.layers.add([x, y], name=f"{name}_add")

    def convolutional_block(x, name):
        width = parts.channels(x)
        x = y = separable(x, 7, f"{name}_Conv")
        for number, units in enumerate((int(width * mlp_ratio), width), 1):
            y = fire(y, f"{name}_lif{number}")
            y = convolution(y, units, 3, f"{name}_conv{number}", f"{name}_bn{number}")
        return keras.layers.add([x, y], name=f"{name}_add")

    def project(x, width, name):
        if efficient:
            return convolution(x, width, 1, f"{name}_0", f"{name}_1")
        body = f"{name}_0_body"
        padding = keras.layers.ZeroPadding2D(1, name=f"{body}_padding")
        x = parts.apply(x, [padding], f"{body}_padding")
        x = convolution(x, width, 1, f"{body}_0", f"{body}_1_bn")
        x = parts.depthwise_convolution(x, 3, name=f"{body}_2_0", padding="valid")
        x = convolution(x, width, 1, f"{body}_2_1", f"{body}_2_2")
        return parts.apply(x, [parts.batch_normalization(f"{name}_1")], f"{name}_1")

    def self_attention(x, name):
        width = parts.channels(x)
        y = fire(x, f"{name}_head_lif")
        values = 4 * width if efficient else width
        q, k, v = (
            fire(project(y, channels, f"{name}_{i}_conv"), f"{name}_{i}_lif")
            for i, channels in (("q", width), ("k", width), ("v", values))
        )
        scale = 2.0 * (width // heads) ** -0.5 if efficient else 0.125
        y = layers.LinearAttention(heads, scale=scale / levels**3, name=name)([q, k, v])
        y = project(gate(y, f"{name}_attn_lif"), width, f"{name}_proj_conv")
        return keras.layers.add([x, y], name=f"{name}_add")

    def mlp(x, name):
        width, y = parts.channels(x), x
        for number, units in enumerate((int(width * mlp_ratio), width), 1):
            names = f"{name}_fc{number}_conv", f"{name}_fc{number}_bn"
            y = fire(y, f"{name}_fc{number}_lif")
            y = convolution(y, units, 1, *names, use_bias=True)
        return keras.layers.add([x, y], name=f"{name}_add")

    def transformer_block(x, name):
        if efficient:
            x = separable(x, 3, f"{name}_conv")
        return mlp(self_attention(x, f"{name}_attn"), f"{name}_mlp")

    inputs = parts.network_input(input_shape, 16)
    x = downsample(inputs, filters[0] // 2, "downsample1_1", 7)
    x = convolutional_block(x, "ConvBlock1_1_0")
    for width, stage, blocks in (
        (filters[0], "1_2", ("1_2",)),
        (filters[1], "2", ("2_1", "2_2")),
    ):
        x = downsample(
            fire(x, f"downsample{stage}_encode_lif"), width, f"downsample{stage}"
        )
        for block in blocks:
            x = convolutional_block(x, f"ConvBlock{block}_0")
    for stage, width, depth, strides in (
        (3, filters[2], depths[0], 2),
        (4, filters[3], depths[1], 1),
    ):
        x = fire(x, f"downsample{stage}_encode_lif")
        x = downsample(x, width, f"downsample{stage}", strides=strides)
        for number in range(depth):
            x = transformer_block(x, f"block{stage}_{number}")
    if include_top:
        x = parts.classifier(
            x, classes, "head", return_sequences, fire=fire, initializer=parts.normal
        )
    return parts.model(inputs, x, weights, name)


@network(MetaSpikeformer)
def MetaSpikeformer15M(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Meta-Spikeformer of 15.1 million weights for 1000 classes.

    Takes the arguments of `MetaSpikeformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.MetaSpikeformer15M((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return MetaSpikeformer(input_shape, filters=(64, 128, 256, 360), **options)


@network(MetaSpikeformer)
def MetaSpikeformer31M(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Meta-Spikeformer of 31.3 million weights for 1000 classes.

    Takes the arguments of `MetaSpikeformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.MetaSpikeformer31M((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return MetaSpikeformer(input_shape, filters=(96, 192, 384, 480), **options)


@network(MetaSpikeformer)
def MetaSpikeformer55M(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """Meta-Spikeformer of 55.4 million weights for 1000 classes.

    Takes the arguments of `MetaSpikeformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.MetaSpikeformer55M((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return MetaSpikeformer(input_shape, filters=(128, 256, 512, 640), **options)


@network(MetaSpikeformer)
def ESpikeFormer5M(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """E-SpikeFormer of 5.1 million weights for 1000 classes.

    Takes the arguments of `MetaSpikeformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.ESpikeFormer5M((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return MetaSpikeformer(
        input_shape, filters=(32, 64, 128, 192), efficient=True, **options
    )


@network(MetaSpikeformer)
def ESpikeFormer10M(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """E-SpikeFormer of 10.0 million weights for 1000 classes.

    Takes the arguments of `MetaSpikeformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.ESpikeFormer10M((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return MetaSpikeformer(
        input_shape, filters=(48, 96, 192, 240), efficient=True, **options
    )


@network(MetaSpikeformer)
def ESpikeFormer19M(
    input_shape: tuple[int, ...] = (224, 224, 3), **options: Unpack[ModelOptions]
) -> keras.Model:
    """E-SpikeFormer of 19.0 million weights for 1000 classes.

    Takes the arguments of `MetaSpikeformer` from `classes` on.

    Example:

    >>> model = keras_spiking.models.ESpikeFormer19M((32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)
    """
    return MetaSpikeformer(
        input_shape, filters=(64, 128, 256, 360), efficient=True, **options
    )
