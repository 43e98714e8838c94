"""What holds for spiking transformers, and not for other networks."""

import math

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from families import FAMILIES
from families import TIMESTEPS
from families import data
from families import enliven
from families import make

from keras_spiking import inference
from keras_spiking import layers
from keras_spiking import models
from keras_spiking.models.options import networks

# Weights that are trained, for 1000 classes if nothing else is said. Those of
# Spikformer, SpikeDrivenTransformer8_384, QKFormer10_384 and MaxFormer are counted in
# SpikingJelly, the others are (rounded) in the papers.
WEIGHTS = {
    "ESpikeFormer10M": 10_023_112,
    "ESpikeFormer19M": 18_987_504,
    "ESpikeFormer5M": 5_105_608,
    "MaxFormer10_384": 16_236_616,
    "MaxFormerCIFAR": 6_602_932,  # 100 classes
    "MetaSpikeformer15M": 15_112_208,
    "MetaSpikeformer31M": 31_333_864,
    "MetaSpikeformer55M": 55_350_248,
    "QKFormer10_384": 16_472_584,
    "QKFormer10_512": 29_077_864,
    "QKFormer10_768": 64_960_552,
    "SpikeDrivenTransformer2_512": 10_234_378,  # 10 classes
    "SpikeDrivenTransformer8_384": 16_816_744,
    "SpikeDrivenTransformer8_512": 29_690_344,
    "SpikeDrivenTransformer8_768": 66_340_072,
    "SpikformerCIFAR10": 9_310_906,  # 10 classes
    "SpikformerS": 13_244_824,
    "SpikformerTi": 4_400_392,
}


@pytest.mark.skipif(BACKEND != "numpy", reason="the same on every backend")
@pytest.mark.parametrize("name", WEIGHTS)
def test_numbers_of_weights(name, monkeypatch):
    def zeros(self, shape, dtype=None, **kwargs):
        return keras.ops.zeros(shape, dtype)

    for cls in (keras.initializers.RandomNormal, keras.initializers.RandomUniform):
        monkeypatch.setattr(cls, "__call__", zeros)
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
    network = networks[name]((32, 32, 3))
    weights = [math.prod(w.shape) for w in network.trainable_weights]
    assert sum(weights) == WEIGHTS[name]


def test_all_transformers_are_counted():
    functions = {
        n: f.__module__.rpartition(".")[2] for n, f in networks.items() if n in WEIGHTS
    }
    modules = set(functions.values())
    assert len(modules) == 5 and sorted(functions) == sorted(WEIGHTS)
    own = [n for n, f in networks.items() if f.__module__.rpartition(".")[2] in modules]
    assert sorted(own) == sorted(WEIGHTS)


@pytest.mark.parametrize(
    "family, options, size",
    [
        ("spikformer", {"patch_size": 16}, (2, 3)),
        ("spikformer", {"patch_size": 4}, (8, 12)),
        ("spike_driven_transformer", {}, (8, 12)),
        ("qkformer", {}, (2, 3)),
        ("maxformer", {}, (8, 12)),
        ("maxformer", {"stem": "imagenet"}, (2, 3)),
    ],
)
def test_sizes_of_maps(family, options, size):
    function, arguments, _ = FAMILIES[family]
    given = {**arguments, **options, "include_top": False, "timesteps": 2}
    network = function((32, 48, 3), **given)
    assert network.output_shape == (None, 2, *size, arguments["width"])


@pytest.mark.parametrize(
    "function, arguments, message",
    [
        (models.Spikformer, {"width": 16, "depth": 1, "heads": 3}, "heads=3, width=16"),
        (models.Spikformer, {"width": 4, "depth": 1, "heads": 1}, "width"),
        (models.Spikformer, {"width": 16, "depth": 0, "heads": 1}, "depth"),
        (
            models.Spikformer,
            {"width": 16, "depth": 1, "heads": 2, "patch_size": 8},
            "patch_size",
        ),
        (models.SpikeDrivenTransformer, {"width": 16, "depth": 1, "heads": 5}, "heads"),
        (
            models.SpikeDrivenTransformer,
            {"width": 16, "depth": 1, "pooling": (True,)},
            "pooling",
        ),
        (models.QKFormer, {"width": 18, "depths": (1, 1, 1), "heads": (1,) * 3}, "18"),
        (models.QKFormer, {"width": 16, "depths": (1, 1), "heads": (1,) * 3}, "depths"),
        (
            models.QKFormer,
            {"width": 16, "depths": (1, 1, 1), "heads": (3, 1, 1)},
            "channels of stage 1=4",
        ),
        (
            models.QKFormer,
            {
                "width": 16,
                "depths": (1, 1, 1),
                "heads": (1, 1, 1),
                "attention_over": "token",
            },
            "attention_over",
        ),
        (models.MaxFormer, {"width": 16, "depths": (1, 1, 1), "heads": 3}, "heads"),
        (models.MetaSpikeformer, {"filters": (8, 8, 8)}, "filters"),
        (models.MetaSpikeformer, {"filters": (8, 8, 8, 12)}, "heads=8"),
        (models.MetaSpikeformer, {"filters": (8,) * 4, "depths": (1,)}, "depths"),
    ],
)
def test_bad_arguments(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function((32, 32, 3), **arguments)


def test_integer_spikes_are_scaled_like_rates():
    """The attention of neurons with up to `D` spikes divides their products."""
    scales = {}
    for neuron in ("lif", "ilif", layers.ILIFLayer(D=2)):
        network = make("meta_spikeformer", neuron=neuron)
        (scale,) = {
            x.scale for x in network.layers if isinstance(x, layers.LinearAttention)
        }
        scales[str(neuron)] = scale
    assert list(scales.values()) == [0.125, 0.125 / 4**3, 0.125 / 2**3]


def test_only_the_neurons_of_the_papers_have_a_lower_threshold():
    def thresholds(neuron):
        network = make("spikformer", neuron=neuron)
        neurons = [x for x in network.layers if isinstance(x, layers.SpikingLayer)]
        return {x.name: float(x.v_threshold) for x in neurons}

    assert [n for n, v in thresholds("lif").items() if v == 0.5] == [
        "blocks_0_attn_attn_lif"
    ]
    assert set(thresholds("if").values()) == {1.0}


def test_scores_of_e_spikeformer():
    """Also for films, and compiled."""
    network = enliven(make("meta_spikeformer", efficient=True))
    x = data(network)
    expected = to_numpy(network(x, training=False))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(inference.compile(network)(x), expected, atol=1e-4)
    films = make("meta_spikeformer", None, efficient=True)
    films.set_weights(network.get_weights())
    film = np.repeat(x[:, None], TIMESTEPS, axis=1)
    y = to_numpy(films(film, training=False))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_compiled_inference_of_a_single_step():
    network = make("spikformer", timesteps=1)
    shape = (3, *network.input_shape[1:])
    x = np.random.default_rng(0).uniform(0.0, 2.0, shape).astype("float32")
    expected = to_numpy(network(x, training=False))
    np.testing.assert_allclose(inference.compile(network)(x), expected, atol=1e-5)
