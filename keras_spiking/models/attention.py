"""What spiking transformers share: attention of spikes, and their neurons.

Tokens stay pixels of a map, `(batch, time, height, width, channels)`: a projection of
tokens is a convolution of 1 x 1, and nothing has to be reshaped for it.
"""

import keras
from keras import ops

from keras_spiking import layers
from keras_spiking.models import parts
from keras_spiking.validation import check_integer


def neurons(neuron, surrogate, timesteps):
    """Neurons, and those of the attention itself.

    The papers halve the threshold of the latter, for the neurons that they use.
    """
    lower = {"v_threshold": 0.5} if neuron == "lif" else {}
    return (
        parts.neurons(neuron, surrogate, timesteps),
        parts.neurons(neuron, surrogate, timesteps, **lower),
    )


def check_heads(width, heads, name="width"):
    """Checks that channels divide into heads."""
    check_integer(name, width, minimum=1)
    if width % check_integer("heads", heads, minimum=1):
        raise ValueError(
            "Every head of an attention takes the same number of channels. "
            f"Received: heads={heads}, {name}={width}"
        )


def check_stages(width, **given):
    """Checks the width of a network of three stages, and what has an integer each."""
    if check_integer("width", width, minimum=8) % 4:
        raise ValueError(
            "The first stage has a quarter of the channels: `width` must be divisible "
            f"by 4. Received: width={width}"
        )
    for name, values in given.items():
        if len(values) != 3:
            raise ValueError(
                f"There are three stages: `{name}` must be three integers. "
                f"Received: {name}={values!r}"
            )


def self_attention(x, fire, gate, heads, initializer, name):
    """That of Spikformer: `fire(norm(gate(Q K^T V) W))`, of spikes Q, K and V."""
    width = parts.channels(x)
    x = _projection(x, 3 * width, fire, initializer, f"{name}_qkv")
    x = layers.LinearAttention(heads, name=name)(x)
    x = gate(x, f"{name}_attn_lif")
    return _projection(x, width, fire, initializer, f"{name}_proj")


def query_key_attention(x, fire, gate, heads, over, name):
    """That of QKFormer: `fire(norm((gate(sum Q) * K) W))`, of spikes Q and K, the sum
    over the channels of a head or over tokens."""
    width, initializer = parts.channels(x), parts.fan_in_uniform
    x = _projection(x, 2 * width, fire, initializer, f"{name}_qk")
    axis = parts.channels_axis(x)
    q, k = ops.split(x, 2, axis=axis)
    if over == "tokens":
        size = width // heads
        q = layers.ChannelPooling(size, mode="sum", name=f"{name}_sum")(q)
        passed = ops.repeat(gate(q, f"{name}_attn_lif"), size, axis=axis)
    else:
        passed = gate(sum_of_tokens(q), f"{name}_attn_lif")
    x = keras.layers.multiply([passed, k], name=f"{name}_mask")
    return _projection(x, width, fire, initializer, f"{name}_proj")


def _projection(x, filters, fire, initializer, name):
    """Of each pixel by itself, with neurons."""
    x = parts.convolution(
        x,
        filters,
        1,
        f"{name}_conv_bn_0",
        f"{name}_conv_bn_1",
        use_bias=False,
        initializer=initializer,
    )
    return fire(x, f"{name}_lif")


def sum_of_tokens(x):
    """The sum over all pixels, of each channel and step."""
    rows = 3 if keras.config.image_data_format() == "channels_first" else 2
    return ops.sum(x, axis=(rows, rows + 1), keepdims=True)


def membrane_mlp(x, fire, ratio, name):
    """Two layers with neurons before each, beside a shortcut of currents."""
    width, y = parts.channels(x), x
    hidden = int(width * ratio)
    for number, filters in enumerate((hidden, width), 1):
        y = parts.convolution(
            fire(y, f"{name}_lif{number}"),
            filters,
            1,
            f"{name}_fc{number}",
            f"{name}_bn{number}",
            use_bias=True,
            initializer=parts.fan_in_uniform,
        )
        # The published networks have a shortcut around each layer where it fits.
        if number == 2 or hidden == width:
            x = y = keras.layers.add([x, y], name=f"{name}_add{number}")
    return x
