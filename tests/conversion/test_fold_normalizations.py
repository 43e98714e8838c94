"""Folding normalisations leaves what a spiking network computes as it was."""

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers
from keras_spiking.conversion import fold_normalizations

X = np.random.default_rng(0).normal(size=(2, 5, 8, 8, 3)).astype("float32")


def randomized(model):
    random = np.random.default_rng(1)
    for variable in model.variables:
        if "seed" not in variable.name:
            variable.assign(random.uniform(0.2, 1.0, variable.shape))
    return model


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def network(*normalizations):
    inside, behind, dense = normalizations
    convolution = keras.layers.Conv2D(4, 3, use_bias=False, data_format="channels_last")
    return randomized(
        keras.Sequential(
            [
                keras.Input(X.shape[1:]),
                layers.SeqToBatch([convolution, inside()]),
                layers.LIAFLayer(),
                layers.SeqToBatch(
                    keras.layers.DepthwiseConv2D(3, data_format="channels_last")
                ),
                behind(),
                layers.SeqToBatch(keras.layers.Flatten()),
                keras.layers.Dense(6),
                dense(),
            ]
        )
    )


def test_exact_ones_are_folded():
    model = network(
        keras.layers.BatchNormalization,
        lambda: layers.ThresholdDependentBatchNormalization(v_th=0.5),
        layers.ThresholdDependentBatchNormalization,
    )
    folded = fold_normalizations(model)
    expected = ["SeqToBatch", "LIAFLayer", "SeqToBatch", "SeqToBatch", "Dense"]
    assert kinds(folded) == expected
    assert len(folded.layers[0].layers) == 1
    np.testing.assert_allclose(
        to_numpy(folded(X)), to_numpy(model(X)), rtol=1e-4, atol=1e-3
    )


def test_those_with_a_scale_for_each_step_stay():
    model = network(
        keras.layers.BatchNormalization,
        layers.TemporalEffectiveBatchNormalization,
        layers.BatchNormalizationThroughTime,
    )
    folded = fold_normalizations(model)
    assert kinds(folded) == kinds(model)
    np.testing.assert_allclose(
        to_numpy(folded(X)), to_numpy(model(X)), rtol=1e-4, atol=1e-3
    )


def test_one_behind_neurons_or_an_activation_stays():
    normalization = layers.ThresholdDependentBatchNormalization
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            normalization(),
            keras.layers.Dense(4, activation="relu"),
            normalization(),
            layers.LIFLayer(),
            normalization(),
        ]
    )
    assert kinds(fold_normalizations(model)) == kinds(model)


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="keras.Sequential"):
        fold_normalizations(keras.layers.Dense(2))
