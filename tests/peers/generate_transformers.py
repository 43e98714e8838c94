"""Runs SpikingJelly's transformers with random weights, for tests of those here.

Usage: python tests/peers/generate_transformers.py, in an environment with spikingjelly
2.0.0.

Writes what `generate_models.py` does, with its seeds and margins. The neurons of the
attention itself are left out of the margins: they take sums of spikes, which are
computed without rounding, and meet their threshold exactly again and again.
"""

import sys

import generate_models
from generate_models import IMAGE
from generate_models import T
from spikingjelly.activation_based import neuron
from spikingjelly.activation_based.model.maxformer import MaxFormer
from spikingjelly.activation_based.model.qkformer import QKFormer
from spikingjelly.activation_based.model.spike_driven_transformer import (
    SpikeDrivenTransformer,
)
from spikingjelly.activation_based.model.spikformer import Spikformer


def spikformer(**kwargs):
    sizes = {"embed_dims": 24, "depths": 2, "num_heads": 3}
    return Spikformer(T, num_classes=5, **{**sizes, **kwargs})


def spike_driven(**kwargs):
    sizes = {"embed_dims": 24, "depths": 2, "num_heads": 3}
    return SpikeDrivenTransformer(T, num_classes=5, **{**sizes, **kwargs})


def qkformer(**kwargs):
    sizes = {"embed_dims": 32, "depths": (1, 2, 1), "num_heads": (4, 8, 4)}
    return QKFormer(T, num_classes=5, **{**sizes, **kwargs})


def maxformer(**kwargs):
    sizes = {"embed_dims": 32, "depths": (1, 1, 2)}
    return MaxFormer(T, num_classes=5, **{**sizes, **kwargs})


FEW = (2, T, 2, 16, 16)
generate_models.CASES = {
    "spikformer": (lambda: spikformer(), IMAGE),
    "spikformer_odd": (
        lambda: spikformer(patch_size=4, in_channels=1),
        (2, 1, 13, 10),
    ),
    "spikformer_if": (
        lambda: spikformer(patch_size=4, in_channels=2, spiking_neuron=neuron.IFNode),
        FEW,
    ),
    "spike_driven": (lambda: spike_driven(), IMAGE),
    "spike_driven_plain": (
        lambda: spike_driven(mlp_ratio=1.0, pooling_stat="0101", in_channels=2),
        (2, T, 2, 13, 10),
    ),
    "qkformer": (lambda: qkformer(), IMAGE),
    "qkformer_channels": (
        lambda: qkformer(qka_type="channel", in_channels=2, depths=(1, 2, 0)),
        (2, T, 2, 18, 17),
    ),
    "maxformer": (lambda: maxformer(embed_dims=64), IMAGE),
    "maxformer_cifar": (lambda: maxformer(cifar=True), (2, 3, 13, 10)),
}


def potentials(node, x, spikes, of=generate_models.potentials):
    """The potentials that rounding may move over the threshold."""
    if (x * 8 == x.round(6) * 8).all() and not (x * 8 % 1).any():
        return [1.0]
    return of(node, x, spikes)


def run(network, x, training, of=generate_models.run):
    """With the channels of all heads on one axis, the tokens behind it."""
    y, spikes, margin = of(network, x, training)
    for name, fired in spikes.items():
        if name.endswith("attn_lif") and fired.ndim == 5:
            if isinstance(network, SpikeDrivenTransformer):
                fired = fired.swapaxes(3, 4)
            heads, channels = fired.shape[2:4]
            spikes[name] = fired.reshape(*fired.shape[:2], heads * channels, -1)
    return y, spikes, margin


generate_models.potentials = potentials
generate_models.run = run
generate_models.GAIN = 2.0  # sums of products of three spikes are small

if __name__ == "__main__":
    generate_models.main(sys.argv[1:])
