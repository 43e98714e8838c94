import keras
import numpy as np
import pytest
from keras import layers
from networks import check_equal
from networks import numbers
from networks import sequential
from networks import spikes

from keras_spiking import inference
from keras_spiking.inference import sparse
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import SeqToBatch


@pytest.fixture(params=[True, False])
def always(request, monkeypatch):
    """Pruned layers are served in their own way, or as all others are."""
    monkeypatch.setattr(
        sparse, "pays", lambda op, _: request.param and not op.depthwise
    )
    return request.param


def prune(model, share, seed=0):
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.name == "kernel":
            keep = (random.random(variable.shape) < share).astype("float32")
            variable.assign(variable * keep * 3.0 / np.sqrt(max(share, 0.01)))
    return model


@pytest.mark.parametrize("units", [1, 300, 513])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_dense(units, share, always):
    model = sequential(
        keras.Input((None, 70)), layers.Dense(units), LIFLayer(), layers.Dense(5)
    )
    prune(model, share)
    for x in (spikes(3, 4, 70), numbers(3, 4, 70)):
        check_equal(model, x, silent=share == 0.0)
    text = str(inference.compile(model))
    assert ("weights that are not 0" in text) == always


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"strides": 2, "padding": "same", "groups": 2},
        {"dilation_rate": (1, 2)},
    ],
)
def test_convolutions(options, always):
    convolution = layers.Conv2D(20, 3, data_format="channels_last", **options)
    model = sequential(
        keras.Input((None, 6, 7, 4)),
        SeqToBatch(convolution),
        LIFLayer(),
        SeqToBatch(layers.Flatten()),
    )
    prune(model, 0.2)
    check_equal(model, spikes(2, 3, 6, 7, 4))


def test_what_is_pruned_is_smaller_and_choice_depends_on_the_share():
    few = prune(
        sequential(keras.Input((None, 600)), layers.Dense(1000), LIFLayer()), 0.01
    )
    many = prune(
        sequential(keras.Input((None, 600)), layers.Dense(1000), LIFLayer()), 0.5
    )
    assert "weights that are not 0" in str(inference.compile(few))
    assert "weights that are not 0" not in str(inference.compile(many))
    assert "weights that are not 0" not in str(inference.compile(few, weights="int8"))
    check_equal(few, spikes(2, 3, 600))
