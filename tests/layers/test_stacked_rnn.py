"""Stacked recurrent layers: dropout between them, states, both directions."""

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers


def inputs(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def stack(count=2, cls=layers.SpikingLSTMCell, **kwargs):
    return layers.StackedRNN([cls(4) for _ in range(count)], **kwargs)


class Ones(keras.layers.Layer):
    """A cell that hands on its input: what it sees is what the dropout left."""

    state_size = output_size = 3

    def call(self, inputs, states, training=None):
        return inputs, states


@pytest.mark.parametrize("invariant", [False, True])
def test_units_are_dropped_between_layers(invariant):
    layer = layers.StackedRNN(
        [Ones(), Ones()], dropout=0.5, invariant_dropout=invariant, seed=1
    )
    x = np.ones((8, 20, 3), "float32")
    np.testing.assert_array_equal(to_numpy(layer(x)), x)
    y = to_numpy(layer(x, training=True))
    assert set(np.unique(y)) == {0.0, 2.0}
    same_over_time = np.all(y == y[:, :1])
    assert same_over_time == invariant


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cls", [layers.SpikingLSTMCell, layers.SpikingGRUCell])
def test_states_go_in_as_they_come_out(bidirectional, cls):
    layer = stack(cls=cls, return_state=True, bidirectional=bidirectional)
    x = 3.0 * inputs(2, 6, 5)
    layer.build(x.shape)
    for i, weight in enumerate(layer.weights):
        weight.assign(np.random.default_rng(i).normal(size=weight.shape))
    y, *states = layer(x)
    symbolic = layer(keras.KerasTensor((2, 6, 5)))
    assert [tuple(s.shape) for s in symbolic] == [tuple(s.shape) for s in (y, *states)]
    assert tuple(y.shape) == (2, 6, 8 if bidirectional else 4)
    again, *_ = layer(x, initial_state=[1.0 - s for s in states])
    assert np.any(to_numpy(again) != to_numpy(y))
    if not bidirectional:
        first, *between = layer(x[:, :4])
        second, *_ = layer(x[:, 4:], initial_state=between)
        parts = np.concatenate([to_numpy(first), to_numpy(second)], axis=1)
        np.testing.assert_allclose(parts, to_numpy(y), atol=1e-5)


def test_it_is_a_chain_of_layers():
    layer = stack(3, return_sequences=False)
    x = 3.0 * inputs(2, 6, 5)
    y = x
    expected = to_numpy(layer(x))
    for i, cell in enumerate(layer.cells):
        y = keras.layers.RNN(cell, return_sequences=i < 2)(y)
    np.testing.assert_allclose(expected, to_numpy(y), atol=1e-6)


def test_models_of_it_are_saved(tmp_path):
    layer = stack(dropout=0.1, invariant_dropout=True, bidirectional=True)
    model = keras.Sequential([keras.Input((6, 5)), layer])
    x = 3.0 * inputs(2, 6, 5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


def test_masks_reach_every_layer():
    layer = stack()
    x = 3.0 * inputs(2, 6, 5)
    mask = np.ones((2, 6), bool)
    mask[:, 3] = False
    found = to_numpy(layer(x, mask=mask))
    kept = [0, 1, 2, 4, 5]
    expected = to_numpy(layer(x[:, kept]))
    np.testing.assert_allclose(found[:, kept], expected, atol=1e-5)


@pytest.mark.parametrize("cells", [[], None, [keras.layers.Dense(3)], 3])
def test_cells_are_asked_for(cells):
    with pytest.raises(TypeError, match="`cells`"):
        layers.StackedRNN(cells)


def test_the_reset_gate_may_come_before_the_product():
    ours = layers.SpikingGRUCell(4, reset_after=False, surrogate="sigmoid")
    theirs = keras.layers.GRUCell(
        4, reset_after=False, activation="sigmoid", recurrent_activation="sigmoid"
    )
    ours.surrogate.spiking = False
    ours.surrogate.alpha = 1.0
    x, h = inputs(3, 5), inputs(3, 4)
    theirs.build((3, 5))
    ours.build((3, 5))
    order = np.r_[4:8, 0:4, 8:12]  # Keras has the update gate first
    for weight, other in zip(ours.weights, theirs.weights):
        weight.assign(to_numpy(other)[..., order])
    np.testing.assert_allclose(
        to_numpy(ours(x, [h])[0]), to_numpy(theirs(x, [h])[0]), atol=1e-5
    )
