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
    with pytest.raises(ValueError, match="no weights yet"):
        fold_normalizations(keras.Sequential([keras.layers.Dense(2)]))


def assert_folded(model, x, left):
    """As many normalisations as `left` stay, and outputs as they are."""
    expected = to_numpy(randomized(model)(x))
    folded = fold_normalizations(model)
    found = [layer for layer in folded._flatten_layers() if _is_normalization(layer)]
    assert len(found) == left
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(to_numpy(folded(x)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(to_numpy(model(x)), expected)  # as it was
    return folded


def _is_normalization(layer):
    return isinstance(layer, keras.layers.BatchNormalization)


def norm():
    return keras.layers.BatchNormalization()


def test_residual_networks():
    inputs = keras.Input((None, 4))
    x = layers.LILayer()(norm()(keras.layers.Dense(4)(inputs)))
    both = keras.layers.Dense(4)(x)
    y = keras.layers.add([norm()(both), both])  # is used without its norm, too
    y = norm()(y)
    model = keras.Model(inputs, keras.layers.Dense(3)(x + y), name="residual")
    folded = assert_folded(model, X[:, :, 0, :2, :2].reshape(2, 5, 4), left=2)
    assert folded.name == "residual"


def test_shared_layers_and_nested_models():
    dense, same, other = keras.layers.Dense(4), norm(), norm()
    shared = keras.layers.Dense(4)
    inner = keras.Input((None, 4))
    block = keras.Model(inner, same(dense(inner)))
    inputs = keras.Input((None, 4))
    x = block(block(inputs))
    y = keras.layers.concatenate([shared(x), other(shared(inputs))])
    x = X[:, :, 0, :2, :2].reshape(2, 5, 4)
    assert_folded(keras.Model(inputs, y), x, left=1)


def test_inside_of_containers():
    pair = keras.Input((4,))
    pair = keras.Model(pair, norm()(keras.layers.Dense(4)(pair)))
    stack = [keras.layers.Dense(4), norm(), layers.LILayer()]
    edges = [("input", "a"), ("a", "b"), ("b", "a"), ("a", "output")]
    nodes = {"a": [keras.layers.Dense(4), norm(), layers.LILayer()]}
    nodes["b"] = [keras.layers.Dense(4), norm()]
    inputs = keras.Input((5, 4))
    x = layers.ElementwiseRecurrent([pair, layers.LILayer()])(inputs)
    x = layers.RecurrentGraph(nodes, edges)(x)
    x = layers.StepByStep(stack, reduce="mean")(x)
    x = norm()(keras.layers.Dense(3)(x))
    x_ = X[:, :, 0, :2, :2].reshape(2, 5, 4) / 8
    model = keras.Model(inputs, x)
    assert_folded(model, x_, left=0)
