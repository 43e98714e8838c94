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
    "CSiLIFLayer",
    "ComplementaryLIFLayer",
    "ConductanceLIFLayer",
    "CubaLIFLayer",
    "CubaLayer",
    "DSRIFLayer",
    "DSRLIFLayer",
    "DualExponentialSynapse",
    "EIFLayer",
    "EventPropLayer",
    "GatedLIFLayer",
    "GeneralLinearLayer",
    "HodgkinHuxleyLayer",
    "IFLayer",
    "ILIFLayer",
    "Integrator",
    "IzhikevichLayer",
    "KLIFLayer",
    "LIAFLayer",
    "LeakyLayer",
    "LIFLayer",
    "LILayer",
    "LTCLayer",
    "MembraneBatchNormalizationLIFLayer",
    "MorrisLecarLayer",
    "MultiCompartmentLIFLayer",
    "MultiSpikeLayer",
    "NoisyLIFLayer",
    "ParallelLIFLayer",
    "ParametricLIFLayer",
    "QIFLayer",
    "RefractoryLIFLayer",
    "ResonateAndFireLayer",
    "S5RFLayer",
    "SEAdLIFLayer",
    "SRMLayer",
    "STBIFLayer",
    "ShortTermPlasticity",
    "SiLIFLayer",
    "SigmaDeltaLayer",
    "SpikingGELU",
    "SynapseFilter",
    "TCLIFLayer",
    "TernaryIFLayer",
    "TernaryLIFLayer",
    "SynapticLayer",
}

# Layers over time that have none, and why.
ON_THE_REFERENCE = {
    "ILCCubaLayer": "`Reshape`",
    "ILCIFLayer": "`Reshape`",
    "ILCLIFLayer": "`Reshape`",
    "LateralInhibitionLayer": "`Sum`",
    "NoisyILCCubaLayer": "`Reshape`",
    "SpikingLayerNormalization": "`Moments`",
    "SpikingSoftmax": "`Softmax`",
    "WinnerTakeAllLayer": "`TopK`",
}


def temporal_layers():
    classes = {name: getattr(layers, name) for name in layer_names()}
    return [n for n, cls in classes.items() if issubclass(cls, layers.TemporalLayer)]


def test_every_layer_over_time_is_listed():
    assert set(temporal_layers()) == FUSED | set(ON_THE_REFERENCE)


@pytest.mark.parametrize("name", temporal_layers())
@pytest.mark.parametrize("features", [(6,), (3, 5, 4)])
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
