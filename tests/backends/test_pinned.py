"""Which layers have a kernel, by name: a layer that loses its kernel fails here."""

import pytest
from backend import BACKEND
from registry import layer_names
from registry import make

from keras_spiking import layers
from keras_spiking.backends import explain

FUSED = {
    "ALIFLayer",
    "AdExLayer",
    "AlphaLayer",
    "AlphaSynapse",
    "ComplementaryLIFLayer",
    "ConductanceLIFLayer",
    "CubaLIFLayer",
    "CubaLayer",
    "DualExponentialSynapse",
    "EIFLayer",
    "EventPropLayer",
    "GatedLIFLayer",
    "GeneralLinearLayer",
    "IFLayer",
    "ILIFLayer",
    "Integrator",
    "IzhikevichLayer",
    "KLIFLayer",
    "LIAFLayer",
    "LeakyLayer",
    "LIFLayer",
    "LILayer",
    "MembraneBatchNormalizationLIFLayer",
    "MultiSpikeLayer",
    "NoisyLIFLayer",
    "ParallelLIFLayer",
    "ParametricLIFLayer",
    "QIFLayer",
    "RefractoryLIFLayer",
    "ResonateAndFireLayer",
    "SigmaDeltaLayer",
    "SynapseFilter",
    "SynapticLayer",
}

# Layers over time that have none, and why.
ON_THE_REFERENCE = {
    "LateralInhibitionLayer": "`Sum`",
    "WinnerTakeAllLayer": "`TopK`",
}


def temporal_layers():
    classes = {name: getattr(layers, name) for name in layer_names()}
    return [n for n, cls in classes.items() if issubclass(cls, layers.TemporalLayer)]


def test_every_layer_over_time_is_listed():
    assert set(temporal_layers()) == FUSED | set(ON_THE_REFERENCE)


@pytest.mark.parametrize("name", temporal_layers())
@pytest.mark.parametrize("features", [(7,), (3, 4, 5)])
def test_layers_fuse_as_listed(name, features):
    layer = make(name)
    layer.build((None, 6, *features))
    (row,) = explain(layer)
    if name in FUSED:
        assert row["implementation"] == "fused", row["reason"]
        assert BACKEND in row["reason"]
    else:
        assert row["implementation"] == "reference"
        assert ON_THE_REFERENCE[name] in row["reason"]
