"""How the weights of spiking transformers lie on several devices."""

import keras

from keras_spiking.validation import check_choice

# The first of two layers is split by what it sends, the second by what it takes:
# between them nothing is exchanged, after them one sum. Queries, keys and values are
# split by heads. Where one convolution makes all of them, its outputs are no heads in a
# row, and attention stays whole.
_FIRST = (
    r"\w*_fc1(_0|_conv)?",
    r"ConvBlock\w+_conv1",
    r"\w*_[Cc]onv_pwconv1(_0)?",
    r"\w*_attn_[qkv]_conv(_0|_0_body_2_1)?",
)
_NORMALIZATION = (
    r"\w*_fc1_(1|bn)",
    r"(ConvBlock|stage|blocks_)\w*_bn1",
    r"\w*_pwconv1_1",
    r"\w*_dwconv_1",
    r"\w*_attn_[qkv]_(bn|conv_1|conv_0_body_2_2)",
)
_BETWEEN = (r"\w*_[Cc]onv_dwconv(_0)?",)
_SECOND = (
    r"\w*_fc2(_0|_conv)?",
    r"ConvBlock\w+_conv2",
    r"\w*_[Cc]onv_pwconv2(_0)?",
    r"\w*_attn_proj_conv(_0|_0_body_0)?",
)


def layout_map(
    device_mesh: keras.distribution.DeviceMesh, *, axis: str = "model"
) -> keras.distribution.LayoutMap:
    """The layout of the transformers of `keras_spiking.models` for `ModelParallel`.

    In an MLP, and in a block of convolutions, the first layer is split over devices by
    its outputs and the second by its inputs,

        y = sum_p fire(norm(x W1[:, p])) W2[p, :]

    so that devices exchange one sum of `y` and nothing of what is between: neurons and
    batch normalisation are of one channel each. Attention is split by heads where
    queries, keys and values have weights of their own (`SpikeDrivenTransformer`,
    `MetaSpikeformer`). The others have them side by side in one weight (`Spikformer`,
    `QKFormer`, `MaxFormer`): that stays whole, on every device, as do all other layers.

    JAX alone has it. Event-driven products do not run on split weights; fused neurons
    do.

    Args:
        device_mesh: `keras.distribution.DeviceMesh`, such as one of the shape `(2, 4)`
            with the axes `("batch", "model")`.
        axis: Name of the axis of the mesh that weights are split over. Its size divides
            the number of heads. Defaults to `"model"`.

    Returns:
        A `keras.distribution.LayoutMap`, to which further layouts may be added.

    Raises:
        ValueError: if the mesh has no such axis.

    Example:

    >>> if keras.config.backend() == "jax":
    ...     mesh = keras.distribution.DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"])
    ...     layouts = keras_spiking.distribution.layout_map(mesh)
    ...     parallel = keras.distribution.ModelParallel(layout_map=layouts)
    ...     with parallel.scope():
    ...         model = keras_spiking.models.Spikformer(
    ...             (8, 8, 1), width=16, depth=1, heads=2, patch_size=4, classes=10
    ...         )

    References:
        - [Shoeybi et al., 2019](https://arxiv.org/abs/1909.08053)
    """
    check_choice("axis", axis, tuple(device_mesh.axis_names))
    layouts = keras.distribution.LayoutMap(device_mesh)

    def lay(names, weights, *axes):
        layouts[rf"(.*/)?({'|'.join(names)})/({weights})"] = axes

    lay(_FIRST, "kernel", None, None, None, axis)
    lay(_FIRST, "bias", axis)
    lay(_NORMALIZATION, "gamma|beta|moving_mean|moving_variance", axis)
    lay(_BETWEEN, "kernel", None, None, axis, None)
    lay(_BETWEEN, "bias", axis)
    lay(_SECOND, "kernel", None, None, axis, None)
    return layouts
