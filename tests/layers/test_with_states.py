"""States of all time steps as outputs."""

import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers


def inputs(*shape):
    return np.random.default_rng(0).normal(0.5, 1.0, shape).astype("float32")


@pytest.mark.parametrize("masked", [False, True])
def test_states_are_those_of_step(masked):
    neuron = layers.ALIFLayer(v_reset=None)
    layer = layers.WithStates(neuron, states=("threshold", "v"))
    x = 2.0 * inputs(3, 7, 5)
    mask = np.random.default_rng(1).random((3, 7)) < 0.6 if masked else None
    y, threshold, v = (to_numpy(t) for t in layer(x, mask=mask))
    np.testing.assert_array_equal(y, to_numpy(neuron(x, mask=mask)))
    states = [to_numpy(s) for s in neuron.get_initial_state(ops.array(x[:, 0]))]
    for t in range(7):
        _, new = neuron.step(x[:, t], [ops.array(s) for s in states])
        on = mask[:, t, None] if masked else True
        states = [np.where(on, to_numpy(n), o) for n, o in zip(new, states)]
        np.testing.assert_allclose(v[:, t], states[0], atol=1e-6)
        np.testing.assert_allclose(threshold[:, t], states[1], atol=1e-6)


@pytest.mark.trains
def test_potentials_have_gradients():
    layer = layers.WithStates(layers.LILayer(tau=2.0, decay_input=False))
    x = inputs(2, 4, 3)
    (found,) = gradients(lambda x: ops.sum(layer(x)[1]), [x])
    left = [sum(0.5**k for k in range(4 - t)) for t in range(4)]
    np.testing.assert_allclose(found[0, :, 0], left, rtol=1e-5)


def test_noise_and_state_between_calls_stay():
    neuron = layers.IFLayer(v_threshold=10.0, stateful=True)
    layer = layers.WithStates(neuron)
    x = np.ones((2, 3, 1), "float32")
    layer(x)
    _, v = layer(x)
    np.testing.assert_array_equal(to_numpy(v)[0, :, 0], [4.0, 5.0, 6.0])
    _, v = layers.WithStates(layers.NoisyLIFLayer(seed=1))(x)
    assert np.unique(to_numpy(v)).size > 3


def test_models_of_it_are_saved(tmp_path):
    inputs_ = keras.Input((6, 4))
    neuron = layers.CubaLayer(v_reset=None)
    model = keras.Model(inputs_, layers.WithStates(neuron, states="current")(inputs_))
    assert [tuple(o.shape) for o in model.outputs] == [(None, 6, 4)] * 2
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = inputs(2, 6, 4)
    for a, b in zip(model.predict(x, verbose=0), again.predict(x, verbose=0)):
        np.testing.assert_array_equal(a, b)
    assert "kernels" not in str(model.get_config())


def test_a_step_at_a_time_is_the_whole_sequence():
    layer = layers.WithStates(layers.LIFLayer(v_reset=None))
    x = 2.0 * inputs(2, 6, 4)
    expected = layer(x)
    for a, b in zip(layers.StepByStep(layer)(x), expected):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=1e-6)


def test_bad_arguments():
    with pytest.raises(TypeError, match="LIFLayer"):
        layers.WithStates(keras.layers.Dense(3))
    with pytest.raises(ValueError, match="return_state=True"):
        layers.WithStates(layers.LIFLayer(return_state=True))
    for states in ("w", (), ("v", "w")):
        with pytest.raises(ValueError, match="`states` must be among.* v"):
            layers.WithStates(layers.LIFLayer(), states=states)
    norm = layers.WithStates(layers.MembraneBatchNormalizationLIFLayer())
    with pytest.raises(ValueError, match="no step"):
        norm(inputs(2, 3, 4), training=True)
