"""A small network of every family: whoever adds a family adds one here."""

import functools

import keras
import numpy as np

from keras_spiking import models

_RESIDUAL = {"depths": (1, 1, 1, 1), "filters": 2, "stem": "cifar"}
_PLAIN = {"filters": 2, "units": 8}
_BLOCKS = {"width": 8, "depth": 1, "heads": 2}
_STAGES = {"width": 16, "depths": (1, 1, 1)}
_META = {"filters": (4, 4, 8, 8), "depths": (1, 0), "heads": 2}

# Functions, their arguments, and the least height and width that they take.
FAMILIES = {
    "spiking_resnet": (models.SpikingResNet, _RESIDUAL, 8),
    "spiking_resnext": (
        models.SpikingResNet,
        {**_RESIDUAL, "filters": 4, "bottleneck": True, "groups": 2},
        8,
    ),
    "sew_resnet": (models.SEWResNet, {**_RESIDUAL, "connect": "IAND"}, 8),
    "recurrent_sew_resnet": (
        models.SEWResNet,
        {**_RESIDUAL, "depths": (1, 2, 2, 2), "feedback": True},
        8,
    ),
    "ms_resnet": (models.MSResNet, _RESIDUAL, 16),
    "spiking_vgg": (models.SpikingVGG, {**_PLAIN, "depths": (1, 1, 1, 1, 1)}, 32),
    "spiking_vgg_bn": (
        models.SpikingVGG,
        {**_PLAIN, "depths": (1, 1, 1, 1, 2), "normalize": True},
        32,
    ),
    "ottt_vgg": (models.OTTTSpikingVGG, {**_PLAIN, "depths": (1, 1, 1, 1, 2)}, 32),
    "light_ottt_vgg": (models.OTTTSpikingVGG, _PLAIN, 8),
    "plif_net": (models.PLIFNet, {**_PLAIN, "convolutions": 2, "poolings": 2}, 4),
    "spikformer": (models.Spikformer, {**_BLOCKS, "patch_size": 4}, 4),
    "spike_driven_transformer": (
        models.SpikeDrivenTransformer,
        {**_BLOCKS, "pooling": (False, True, False, True)},
        4,
    ),
    "qkformer": (models.QKFormer, {**_STAGES, "heads": (1, 2, 2)}, 16),
    "maxformer": (models.MaxFormer, {**_STAGES, "heads": 2, "stem": "cifar"}, 4),
    "meta_spikeformer": (models.MetaSpikeformer, _META, 16),
}
# Their last features are currents, not spikes.
CURRENTS = {"spike_driven_transformer", "maxformer", "meta_spikeformer"}
# One of each kind, for backends whose compilers make it slow.
FEW = (
    "spiking_resnet",
    "recurrent_sew_resnet",
    "ms_resnet",
    "spiking_vgg_bn",
    "light_ottt_vgg",
    "plif_net",
    "spikformer",
    "qkformer",
    "meta_spikeformer",
)
CHANNELS, CLASSES, TIMESTEPS = 2, 3, 3


def make(family, *lead, **options):
    """The network, for images or, with `lead` for the time, for sequences of them."""
    function, arguments, size = FAMILIES[family]
    shape = image_shape(size)
    given = {"classes": CLASSES, "timesteps": TIMESTEPS, **arguments, **options}
    return function((*lead, *shape), **given)


@functools.cache
def shared(family, *lead):
    """A network that tests may not change, whose neurons fire."""
    keras.utils.set_random_seed(1)
    return enliven(make(family, *lead))


def enliven(network):
    """Gives weights values with which all neurons have something to do."""
    random = np.random.default_rng(0)
    for weight in network.weights:
        shape = tuple(weight.shape)
        if weight.name in ("gamma", "gain", "moving_variance"):
            value = random.uniform(0.8, 2.0, shape)
        elif len(shape) > 1:
            value = random.normal(0.2, 1.0, shape) * 2.0 / np.prod(shape[:-1]) ** 0.5
        elif weight.dtype == "float32" and weight.name != "tau":
            value = random.normal(0.2, 0.2, shape)
        else:
            continue
        weight.assign(value)
    return network


def image_shape(size):
    first = keras.config.image_data_format() == "channels_first"
    return (CHANNELS, size, size) if first else (size, size, CHANNELS)


def data(network, batch=2):
    """Inputs of a network."""
    shape = (batch, *(n or TIMESTEPS for n in network.input_shape[1:]))
    return np.random.default_rng(2).uniform(0.0, 1.5, shape).astype("float32")
