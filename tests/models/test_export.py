"""Networks without shortcuts become NIR where their layers are NIR's."""

import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from families import data
from families import enliven

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


@pytest.mark.skipif(BACKEND != "numpy", reason="run once")
def test_what_nir_does_not_have_is_named():
    pytest.importorskip("nir")
    network = models.SpikingVGG11((None, 32, 32, 2), filters=2, units=8)
    with pytest.raises(ValueError, match="MaxPooling2D|FiringRate"):
        export.to_nir(network)
