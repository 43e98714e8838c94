"""What all networks are made of: inputs, neurons, convolutions, readouts.

Every part is called with a tensor and a name. Names are the paths of the same part in
SpikingJelly's network of the family with `_` for `.`, so that weights find their place
by name.

An image stays an image up to the first neurons, where its time axis begins: what comes
before is computed once and not at every time step.
"""

import inspect

import keras

from keras_spiking import layers
from keras_spiking import surrogates
from keras_spiking.inspection.selection import SPIKING
from keras_spiking.models.weights import load_weights
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_timesteps

SYNONYMS = {"plif": "parametriclif", "clif": "complementarylif", "glif": "gatedlif"}


def network_input(input_shape, minimum=1):
    """The input of a network: images `(height, width, channels)`, or sequences of
    frames with time put before.

    Args:
        input_shape: Tuple of three or four integers, without the batch.
        minimum: Integer, the least height and width that the strides leave something
            of.
    """
    shape = tuple(input_shape)
    if len(shape) not in (3, 4):
        raise ValueError(
            "`input_shape` must have three axes for images, such as (32, 32, 3), or "
            "four for sequences of frames, such as (16, 128, 128, 2). "
            f"Received: input_shape={input_shape!r}"
        )
    first = keras.config.image_data_format() == "channels_first"
    *_, height, width = shape if first else shape[:-1]
    for size in (height, width):
        if size is None or size < minimum:
            raise ValueError(
                f"The strides of this network need images of at least {minimum} x "
                f"{minimum}. Received: input_shape={input_shape!r}"
                + ("" if first else " (with channels last)")
            )
    return keras.Input(shape)


def is_sequence(x):
    """Whether a tensor of images or features has a time axis."""
    return len(x.shape) in (5, 3)


def apply(x, stack, name):
    """Applies Keras layers to images, or to every step of a sequence of them."""
    if is_sequence(x):
        return layers.SeqToBatch(stack, name=f"{name}_steps")(x)
    for layer in stack:
        x = layer(x)
    return x


def presented(x, timesteps, name):
    """A sequence: of an image the same at every step."""
    if is_sequence(x):
        return x
    return layers.DirectEncoder(timesteps, name=f"{name}_encoder")(x)


def neurons(neuron, surrogate, timesteps, **settings):
    """A function that puts neurons behind a tensor: `fire(x, name)`.

    Args:
        neuron: Name such as `"lif"`, class, function without arguments that returns a
            layer, or a layer that all are made like.
        surrogate: Surrogate gradient of neurons that are given by name or class.
        timesteps: Integer, for how many steps images are presented.
        **settings: Constants of the paper, for neurons that are given by name or class
            and know them.
    """
    timesteps = check_timesteps(timesteps)
    surrogate = surrogates.get(surrogate)
    settings = {"surrogate": surrogate, "detach_reset": True, **settings}
    make = _maker(neuron, settings)

    def fire(x, name):
        return make(name)(presented(x, timesteps, name))

    return fire


def neuron_names():
    """The names of neurons, and their classes."""
    found = {}
    for name, cls in vars(layers).items():
        if inspect.isclass(cls) and issubclass(cls, SPIKING):
            found[name.removesuffix("Layer").lower()] = cls
    del found["spiking"]  # the base class
    return found | {short: found[long] for short, long in SYNONYMS.items()}


def spikes_per_step(neuron):
    """How many spikes such a neuron has in a time step at most."""
    return getattr(_maker(neuron, {})("neuron"), "D", 1)


def _maker(neuron, settings):
    if isinstance(neuron, str):
        named = neuron_names()
        key = neuron.lower().removesuffix("layer")
        neuron = named[check_choice("neuron", key, sorted(named))]
    if inspect.isclass(neuron):
        cls = neuron
        own = cls().get_config()
        known = {k: v for k, v in settings.items() if k in own}
        return lambda name: cls(**known, name=name)
    if isinstance(neuron, keras.layers.Layer):
        return lambda name: _like(neuron, name)
    if callable(neuron):
        return lambda name: _like(neuron(), name)
    raise TypeError(
        "`neuron` must be a name such as 'lif', a class of neurons, a function without "
        "arguments that returns a layer of neurons, or such a layer. "
        f"Received: neuron={neuron!r}"
    )


def _like(layer, name):
    return type(layer).from_config({**layer.get_config(), "name": name})


def he_normal():
    """The initialisation of residual networks, He et al.'s over the outputs."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def fan_in_uniform():
    """The initialisation of PyTorch's layers."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def normal():
    """The initialisation of transformers: a normal distribution of 0.02.

    In PyTorch they call it truncated, at 2, which is a hundred times as much.
    """
    return keras.initializers.RandomNormal(stddev=0.02)


def _bias(initializer, fan_in):
    return _uniform(fan_in) if initializer is fan_in_uniform else "zeros"


def _uniform(fan_in):
    """`fan_in_uniform` where Keras does not know the number of inputs."""
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound)


def channels_axis(x):
    """The axis of the channels of images, or of a sequence of them."""
    first = keras.config.image_data_format() == "channels_first"
    return len(x.shape) - 3 if first else len(x.shape) - 1


def channels(x):
    """How many channels there are."""
    return x.shape[channels_axis(x)]


def batch_normalization(name, **kwargs):
    """Batch normalisation with the constants of PyTorch."""
    first = keras.config.image_data_format() == "channels_first"
    return keras.layers.BatchNormalization(
        axis=1 if first else -1, momentum=0.9, epsilon=1e-5, name=name, **kwargs
    )


def convolution(
    x,
    filters,
    size,
    name,
    norm=None,
    strides=1,
    *,
    gamma=1.0,
    groups=1,
    use_bias=None,
    initializer=he_normal,
):
    """A convolution that is centred on its input, and batch normalisation.

    It has a bias if it is told so, or if nothing is normalised.

    Keras pads an even image at its lower right only when strides skip pixels: the
    padding of the published networks, equal on both sides, is a layer of its own.
    """
    stack = []
    fan_in = channels(x) // groups * size**2
    if strides > 1 and size > 1:
        stack.append(keras.layers.ZeroPadding2D(size // 2, name=f"{name}_padding"))
    stack.append(
        keras.layers.Conv2D(
            filters,
            size,
            strides,
            padding="valid" if stack else "same",
            groups=groups,
            use_bias=norm is None if use_bias is None else use_bias,
            kernel_initializer=initializer(),
            bias_initializer=_bias(initializer, fan_in),
            name=name,
        )
    )
    if norm is not None:
        gamma = keras.initializers.Constant(gamma)
        stack.append(batch_normalization(norm, gamma_initializer=gamma))
    return apply(x, stack, name)


def depthwise_convolution(x, size, *, name, norm=None, padding="same", use_bias=False):
    """A convolution of each channel by itself, and batch normalisation."""
    stack = [
        keras.layers.DepthwiseConv2D(
            size,
            padding=padding,
            use_bias=use_bias,
            depthwise_initializer=_uniform(size**2),
            bias_initializer=_uniform(size**2),
            name=name,
        )
    ]
    if norm is not None:
        stack.append(batch_normalization(norm))
    return apply(x, stack, name)


def max_pooling(x, size, strides, name):
    """Maximum pooling, centred on its input."""
    if size % 2:
        pool = layers.CenteredMaxPooling2D(size, strides=strides, name=name)
    else:
        pool = keras.layers.MaxPooling2D(size, strides, name=name)
    return apply(x, [pool], name)


def flatten(x, name):
    """The features of an image, or of each frame of a sequence, in a row."""
    return apply(x, [keras.layers.Flatten(name=name)], name)


def dense(x, units, name, initializer=fan_in_uniform):
    """A dense layer, initialised as PyTorch does."""
    layer = keras.layers.Dense(
        units,
        kernel_initializer=initializer(),
        bias_initializer=_bias(initializer, x.shape[-1]),
        name=name,
    )
    return apply(x, [layer], name)


def classifier(
    x, classes, name, return_sequences, *, fire=None, initializer=fan_in_uniform
):
    """Scores of classes from maps of features: their mean over space, neurons if
    there are any, a dense layer, and the mean over time."""
    x = apply(x, [keras.layers.GlobalAveragePooling2D(name="pool")], "pool")
    if fire is not None:
        x = fire(x, f"{name}_lif")
    x = dense(x, check_integer("classes", classes, minimum=1), name, initializer)
    return readout(x, return_sequences)


def readout(x, return_sequences):
    """The mean of scores over time, or all of them."""
    if check_bool("return_sequences", return_sequences):
        return x
    return layers.FiringRate(name="mean_over_time")(x)


def model(inputs, outputs, weights, name):
    """The network, with weights from a file if there is one."""
    network = keras.Model(inputs, outputs, name=name)
    if weights is not None:
        load_weights(network, weights)
    return network
