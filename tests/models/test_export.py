"""Networks become NIR where their layers are NIR's."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from families import TIMESTEPS
from families import data
from families import enliven
from families import make

from keras_spiking import export
from keras_spiking import layers
from keras_spiking import models


# What it says does not depend on the backend.
@pytest.mark.skipif(BACKEND != "numpy", reason="run once")
def test_features_of_a_plain_network_become_nir():
    pytest.importorskip("nir")
    options = {"filters": 2, "standardize": False, "include_top": False}
    # NIR has hard resets only.
    neuron = layers.LIFLayer(v_threshold=0.5)
    network = enliven(models.OTTTSpikingVGG((None, 8, 8, 2), neuron=neuron, **options))
    x = data(network)
    again = export.from_nir(export.to_nir(network))
    expected = to_numpy(network(x))
    assert 0.01 < expected.mean() < 0.99
    np.testing.assert_array_equal(to_numpy(again(x)), expected)


# The others hold products of spikes, or what NIR has no node for.
@pytest.mark.skipif(BACKEND != "numpy", reason="run once")
@pytest.mark.parametrize(
    "family",
    ["spiking_resnet", "sew_resnet", "recurrent_sew_resnet", "ms_resnet", "plif_net"],
)
def test_networks_become_nir_and_come_back(family):
    pytest.importorskip("nir")
    options = {"connect": "ADD"} if "sew" in family else {}
    keras.utils.set_random_seed(1)
    network = enliven(make(family, **options))
    x = data(network)
    again = export.from_nir(export.to_nir(network, strip="io"))
    expected = to_numpy(network(x))
    sequence = np.repeat(x[:, None], TIMESTEPS, axis=1)
    actual = to_numpy(again(sequence)).mean(1)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(BACKEND != "numpy", reason="run once")
@pytest.mark.parametrize(
    "family, message",
    [
        ("sew_resnet", "Multiply.*'layer1_0_and'"),
        ("spikformer", "MaxPooling2D.*NIR has no maximum"),
    ],
)
def test_what_nir_does_not_have_is_named(family, message):
    pytest.importorskip("nir")
    with pytest.raises(ValueError, match=message):
        export.to_nir(make(family), strip="io")
    with pytest.raises(ValueError, match='Encoder.*`strip="io"`'):
        export.to_nir(make(family))
