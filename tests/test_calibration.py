import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

import keras_spiking
from keras_spiking import layers

dense = keras.layers.Dense
X = np.random.default_rng(0).random((24, 6, 10)).astype("float32")


def network(*stack, shape=(6, 10)):
    return keras.Sequential([keras.Input(shape), *stack])


def rates(model, x=X):
    """Firing rates at inference, by a model of all outputs of spiking layers."""
    found = [y for y in model.layers if isinstance(y, layers.SpikingLayer)]
    outputs = keras.Model(model.inputs, [y.output for y in found]).predict(x, verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return {y.name: float(spikes.mean()) for y, spikes in zip(found, outputs)}


def small(units=40, seed=0):
    return dense(
        units, kernel_initializer=keras.initializers.RandomNormal(0, 0.05, seed)
    )


def test_every_layer_fires_as_asked_for():
    model = network(
        small(), layers.LIFLayer(name="a"), small(), layers.ALIFLayer(name="b"),
        small(), layers.IFLayer(v_reset=None, name="c"), dense(3), layers.LILayer(),
    )  # fmt: skip
    assert rates(model)["b"] == 0.0
    told = keras_spiking.calibrate(model, X, 0.15)
    measured = rates(model)
    assert set(told) == {"a", "b", "c"}
    for name, rate in measured.items():
        np.testing.assert_allclose(rate, 0.15, rtol=0.15)
        np.testing.assert_allclose(told[name], rate, rtol=1e-4)


def test_one_factor_scales_the_weights_and_nothing_else_changes():
    model = network(small(), layers.LIFLayer(), dense(3), layers.LILayer())
    model.layers[0].bias.assign(np.full(40, 0.01))
    before, config = [to_numpy(w) for w in model.weights], model.get_config()
    keras_spiking.calibrate(model, X)
    after = [to_numpy(w) for w in model.weights]
    factor = after[1][0] / before[1][0]
    assert factor > 2.0
    np.testing.assert_allclose(after[0], factor * before[0], rtol=1e-5)
    np.testing.assert_allclose(after[1], factor * before[1], rtol=1e-5)
    np.testing.assert_array_equal(after[2], before[2])
    assert model.get_config() == config


def test_thresholds_are_as_good_as_weights_and_count_from_the_reset():
    model = network(small(), layers.LIFLayer(v_reset=0.2, name="lif"))
    model.predict(X, verbose=0)  # compiled with the threshold before
    before = [to_numpy(w) for w in model.weights]
    keras_spiking.calibrate(model, X, scale="thresholds")
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(to_numpy(weight), value)
    assert model.get_layer("lif").v_threshold < 1.0
    np.testing.assert_allclose(model.predict(X, verbose=0).mean(), 0.1, rtol=0.1)


def test_neurons_right_behind_the_input_get_thresholds():
    model = network(layers.LIFLayer(v_threshold=[9.0] * 10, name="lif"))
    told = keras_spiking.calibrate(model, X, 0.3)
    np.testing.assert_allclose(told["lif"], 0.3, rtol=0.1)
    assert to_numpy(model.get_layer("lif").v_threshold).shape == (10,)


def test_batch_normalization_is_the_same_in_training_and_inference():
    normalization = keras.layers.BatchNormalization()
    model = network(
        layers.SeqToBatch(small(), normalization), layers.LIFLayer(name="lif")
    )
    keras_spiking.calibrate(model, X)
    spikes = [to_numpy(model(X, training=t)) for t in (False, True)]
    np.testing.assert_allclose(np.mean(spikes[0]), 0.1, rtol=0.1)
    assert np.mean(spikes[0] != spikes[1]) < 0.005
    gamma = to_numpy(normalization.gamma)
    assert np.ptp(gamma) == 0.0 and gamma[0] != 1.0


def test_images_through_containers():
    model = network(
        layers.PoissonEncoder(3, seed=0),
        layers.StepByStep([keras.layers.Conv2D(6, 3), layers.LIFLayer(name="a")]),
        layers.SeqToBatch(keras.layers.MaxPooling2D(), keras.layers.Conv2D(8, 3)),
        layers.SeqToBatch(keras.layers.Flatten()),
        layers.LIFLayer(name="b", return_sequences=False),
        shape=(9, 9, 1),
    )
    x = np.random.default_rng(0).random((8, 9, 9, 1)).astype("float32")
    told = keras_spiking.calibrate(model, x, 0.2)
    np.testing.assert_allclose(list(told.values()), 0.2, rtol=0.15)


def test_branches_that_share_their_weights_get_thresholds():
    inputs = keras.Input((6, 10))
    current = small()(inputs)
    outputs = [layers.LIFLayer(name="a")(current)]
    # A shortcut between membrane potentials: `current` leads to both layers.
    current = keras.layers.Add()([current, small(seed=1)(outputs[0])])
    outputs += [layers.LIFLayer(name="b", tau=4.0)(current)]
    model = keras.Model(inputs, outputs)
    told = keras_spiking.calibrate(model, X)
    np.testing.assert_allclose(list(told.values()), 0.1, rtol=0.15)


def test_recurrent_neurons():
    recurrent = layers.LinearRecurrent(layers.LIFLayer(name="lif"))
    model = network(small(), recurrent)
    told = keras_spiking.calibrate(model, X)
    np.testing.assert_allclose(told["lif"], 0.1, rtol=0.3)


@pytest.mark.masks
def test_masked_steps_do_not_count():
    x = X.copy()
    x[:, 3:] = 0.0
    model = network(keras.layers.Masking(), small(), layers.LIFLayer(name="lif"))
    told = keras_spiking.calibrate(model, x, 0.2)
    np.testing.assert_allclose(told["lif"], 0.2, rtol=0.1)
    np.testing.assert_allclose(model.predict(x, verbose=0)[:, :3].mean(), 0.2, rtol=0.1)


def test_some_layers_and_weights_that_are_frozen():
    model = network(
        small(), layers.LIFLayer(name="a"), small(), layers.IFLayer(name="b")
    )
    model.layers[0].trainable = False
    told = keras_spiking.calibrate(model, X, layers="a")
    assert list(told) == ["a"]
    assert model.get_layer("a").v_threshold != 1.0


def test_neurons_that_nothing_excites_are_warned_of():
    minus = dense(5, kernel_initializer=keras.initializers.Constant(-1.0))
    model = network(minus, layers.LIFLayer(name="lif"), layers.FiringRate())
    with pytest.warns(UserWarning, match="'lif' 0.*BatchNormalization"):
        keras_spiking.calibrate(model, X)


def test_bad_input():
    model = network(small(), layers.LIFLayer())
    with pytest.raises(ValueError, match="has no spiking neurons"):
        keras_spiking.calibrate(network(dense(3)), X)
    with pytest.raises(ValueError, match="`x` must fit the model's input"):
        keras_spiking.calibrate(model, X[:, :, :7])
    with pytest.raises(ValueError, match="`x` must have at least one sample"):
        keras_spiking.calibrate(model, X[:0])
    with pytest.raises(ValueError, match="`firing_rate` must be greater than 0"):
        keras_spiking.calibrate(model, X, 0.0)
    with pytest.raises(ValueError, match="`scale` must be one of"):
        keras_spiking.calibrate(model, X, scale="both")
    with pytest.raises(TypeError, match="about spiking layers"):
        keras_spiking.calibrate(model, X, layers=dense)


@pytest.mark.skipif(BACKEND != "torch", reason="the same everywhere")
def test_deep_networks():
    stack = []
    for seed in range(20):
        stack += [small(20, seed), layers.LIFLayer(tau=3.0)]
    told = keras_spiking.calibrate(network(*stack), X)
    assert len(told) == 20
    np.testing.assert_allclose(list(told.values()), 0.1, rtol=0.15)


def test_weights_are_found_behind_pooling():
    model = network(
        layers.DirectEncoder(2),
        layers.SeqToBatch(keras.layers.Conv2D(4, 3), keras.layers.MaxPooling2D()),
        layers.SeqToBatch(keras.layers.Flatten()),
        layers.LIFLayer(name="lif"),
        shape=(6, 6, 1),
    )
    x = np.random.default_rng(0).random((4, 6, 6, 1)).astype("float32")
    keras_spiking.calibrate(model, x, 0.2)
    assert model.get_layer("lif").v_threshold == 1.0
