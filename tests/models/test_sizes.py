"""Networks have as many weights as SpikingJelly's, and as the papers say."""

import inspect
import math

import pytest
from backend import BACKEND

from keras_spiking.models.options import networks

COUNTS = {
    "CIFAR10DVSNet": 4_691_818,
    "CIFAR10Net": 36_720_492,
    "DVSGestureNet": 1_698_933,
    "FashionMNISTNet": 13_201_128,
    "MNISTNet": 13_201_128,
    "MSResNet104": 77_284_264,
    "MSResNet18": 11_693_736,
    "MSResNet34": 21_801_896,
    "NMNISTNet": 17_134_440,
    "OTTTSpikingVGG11": 132_863_336,
    "OTTTSpikingVGG11WS": 132_874_280,
    "OTTTSpikingVGG13": 133_047_848,
    "OTTTSpikingVGG13WS": 133_058_984,
    "OTTTSpikingVGG16": 138_357_544,
    "OTTTSpikingVGG16WS": 138_369_960,
    "OTTTSpikingVGG19": 143_667_240,
    "OTTTSpikingVGG19WS": 143_680_936,
    "OTTTSpikingVGGWS": 9_736_232,
    "RecurrentSEWResNet18": 11_689_512,
    "SEWResNeXt101_32x8d": 88_791_336,
    "SEWResNeXt50_32x4d": 25_028_904,
    "SEWResNet101": 44_549_160,
    "SEWResNet152": 60_192_808,
    "SEWResNet18": 11_689_512,
    "SEWResNet34": 21_797_672,
    "SEWResNet50": 25_557_032,
    "SEWWideResNet101_2": 126_886_696,
    "SEWWideResNet50_2": 68_883_240,
    "SpikingResNeXt101_32x8d": 88_791_336,
    "SpikingResNeXt50_32x4d": 25_028_904,
    "SpikingResNet101": 44_549_160,
    "SpikingResNet152": 60_192_808,
    "SpikingResNet18": 11_689_512,
    "SpikingResNet34": 21_797_672,
    "SpikingResNet50": 25_557_032,
    "SpikingVGG11": 132_863_336,
    "SpikingVGG11BN": 132_868_840,
    "SpikingVGG13": 133_047_848,
    "SpikingVGG13BN": 133_053_736,
    "SpikingVGG16": 138_357_544,
    "SpikingVGG16BN": 138_365_992,
    "SpikingVGG19": 143_667_240,
    "SpikingVGG19BN": 143_678_248,
    "SpikingWideResNet101_2": 126_886_696,
    "SpikingWideResNet50_2": 68_883_240,
}


def test_all_networks_are_counted():
    counted = [name for name in networks if name in COUNTS]
    assert sorted(COUNTS) == sorted(counted)


# What it says does not depend on the backend.
@pytest.mark.skipif(BACKEND != "numpy", reason="run once")
@pytest.mark.parametrize("name", COUNTS)
def test_number_of_weights(name):
    """By two narrow networks: every axis of a weight grows evenly with the width."""
    build = networks[name]
    defaults = {n: p.default for n, p in inspect.signature(build).parameters.items()}
    filters = defaults["filters"]
    unit = 16 if "ResNeXt" in name else 1  # groups divide them
    narrow, wide = (_shapes(build, defaults, n * unit, filters) for n in (1, 2))
    steps = filters // unit - 1
    total = 0
    for one, two in zip(narrow, wide, strict=True):
        total += math.prod(a + (b - a) * steps for a, b in zip(one, two, strict=True))
    assert total == COUNTS[name]


def _shapes(build, defaults, filters, whole):
    options = {"filters": filters}
    if "units" in defaults:
        options["units"] = defaults["units"] * filters // whole
    network = build(**options)
    return [tuple(w.shape) for w in network.trainable_weights]
