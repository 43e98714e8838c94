import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers


def draw(*shape):
    return np.random.default_rng(0).uniform(0.0, 0.6, shape).astype("float32")


NEURONS = [layers.IFLayer, layers.LIFLayer, layers.ParametricLIFLayer, layers.LILayer]
neurons = pytest.mark.parametrize("neuron", NEURONS)


@neurons
def test_calls_go_on_where_the_last_one_ended(neuron):
    x = draw(2, 12, 3)
    whole = to_numpy(neuron()(x))
    layer = neuron(stateful=True)
    parts = [to_numpy(layer(x[:, i : i + 4])) for i in (0, 4, 8)]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)
    layer.reset_state()
    np.testing.assert_array_equal(to_numpy(layer(x[:, :4])), whole[:, :4])


@neurons
def test_predict_and_evaluate_go_on_and_reset_state_starts_afresh(neuron):
    x = draw(2, 12, 3)
    whole = to_numpy(neuron()(x))
    layer = neuron(stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 4, 3)), layer])
    model.compile(loss="mse")
    np.testing.assert_array_equal(
        model.predict(x[:, :4], batch_size=2, verbose=0), whole[:, :4]
    )
    error = model.evaluate(x[:, 4:8], np.zeros((2, 4, 3)), batch_size=2, verbose=0)
    np.testing.assert_allclose(error, np.mean(whole[:, 4:8] ** 2), rtol=1e-5)
    np.testing.assert_array_equal(
        model.predict(x[:, 8:], batch_size=2, verbose=0), whole[:, 8:]
    )
    layer.reset_state()
    np.testing.assert_array_equal(
        model.predict(x[:, :4], batch_size=2, verbose=0), whole[:, :4]
    )


@pytest.mark.trains
@neurons
def test_fit_goes_on_over_batches(neuron):
    x = draw(2, 12, 3)
    layer = neuron(stateful=True)
    # Weights in front of the neurons, so that there is a gradient through them.
    synapse = keras.layers.Dense(3, kernel_initializer="identity")
    model = keras.Sequential([keras.Input(batch_shape=(2, 4, 3)), synapse, layer])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    # Three batches of two samples, each with four steps of the two sequences.
    batches = np.concatenate([x[:, i : i + 4] for i in (0, 4, 8)])
    model.fit(batches, batches, batch_size=2, shuffle=False, verbose=0)
    options = {} if neuron is layers.LILayer else {"return_sequences": False}
    _, v = neuron(return_state=True, **options)(x)
    np.testing.assert_allclose(to_numpy(layer.states[0].value), to_numpy(v), rtol=1e-6)


def test_an_initial_state_is_used_instead():
    x = draw(2, 8, 3)
    v = np.full((2, 3), 0.7, "float32")
    layer = layers.LIFLayer(stateful=True)
    layer(x)
    expected = to_numpy(layers.LIFLayer()(x, initial_state=v))
    np.testing.assert_array_equal(to_numpy(layer(x, initial_state=v)), expected)


@pytest.mark.parametrize("v_reset", [-0.5, [-0.5, 0.0, 0.25]])
def test_reset_goes_to_the_reset_potential(v_reset):
    layer = layers.LIFLayer(stateful=True, v_reset=v_reset)
    layer.build((2, 8, 3))
    expected = np.broadcast_to(np.float32(v_reset), (2, 3))
    np.testing.assert_array_equal(to_numpy(layer.states[0].value), expected)
    layer(draw(2, 8, 3))
    layer.reset_state()
    np.testing.assert_array_equal(to_numpy(layer.states[0].value), expected)


def test_mixed_precision_keeps_states_in_float32():
    layer = layers.LIFLayer(stateful=True, dtype="mixed_bfloat16")
    layer(draw(2, 8, 3))
    assert layer.states[0].dtype == "float32"


def test_states_are_not_trained():
    layer = layers.LIFLayer(stateful=True)
    layer.build((2, 8, 3))
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 1


def test_masked_steps_hold_the_state_between_calls():
    x = draw(2, 8, 3)
    mask = np.ones((2, 8), bool)
    mask[:, 5:] = False
    layer = layers.LIFLayer(stateful=True)
    layer(x, mask=mask)
    other = layers.LIFLayer(stateful=True)
    other(x[:, :5])
    a, b = to_numpy([layer.states[0].value, other.states[0].value])
    np.testing.assert_array_equal(a, b)
