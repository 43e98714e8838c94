"""Every layer over time has an entry, wherever it is."""

import keras
import pytest
from backend import gpu

import keras_spiking
from keras_spiking import layers
from keras_spiking.backends import explain
from keras_spiking.backends.products import choice


class Holder(keras.layers.Layer):
    """Somebody's own layer, which holds neurons as an attribute."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.neurons = layers.LIFLayer(name="wrapped")

    def build(self, input_shape):
        self.neurons.build(input_shape)

    def call(self, x):
        return self.neurons(x)


def test_layers_over_time_have_an_entry():
    stepped = layers.StepByStep([keras.layers.Dense(3), layers.LIFLayer(name="in")])
    stack = [
        keras.Sequential([layers.LIFLayer(name="nested")]),
        stepped,
        Holder(),
        layers.PSN(name="psn"),
        layers.MaskedPSN(k=2, name="masked_psn"),
        layers.SlidingPSN(k=2, name="sliding_psn"),
        layers.Delay(1, name="delay"),
        keras.layers.SimpleRNN(3, return_sequences=True, name="rnn"),
        layers.FiringRate(name="rate"),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((6, 4)), *stack])
    rows = explain(model)
    names = ["nested", "in", "wrapped", "psn", "masked_psn", "sliding_psn", "delay"]
    assert [row["layer"] for row in rows] == [*names, "rnn", "rate"]
    reasons = {row["layer"]: row["reason"] for row in rows}
    assert "no loop over time" in reasons["psn"]
    assert "Keras runs its loop" in reasons["rnn"]
    assert len(str(rows).splitlines()) == len(rows) + 1


def test_layers_of_one_name_are_told_apart():
    blocks = [
        keras.Sequential([layers.LIFLayer(name="lif")], name=f"block_{i}")
        for i in range(2)
    ]
    model = keras.Sequential([keras.Input((6, 4)), *blocks])
    assert [row["layer"] for row in explain(model)] == ["block_0/lif", "block_1/lif"]


@pytest.mark.skipif(gpu(), reason="these products run on a CPU")
def test_products(monkeypatch):
    found = choice.Choice(0.2, 0.1, (False, False, False))
    monkeypatch.setattr(choice, "of", lambda *arguments: found)
    dense = keras.layers.Dense(3, name="dense")
    model = keras.Sequential([keras.Input((6, 4)), layers.SeqToBatch(dense)])
    assert explain(model) == []  # it has not been called
    model(keras.ops.ones((2, 6, 4)))
    (row,) = explain(model)
    assert row["implementation"] == "event-driven"
    assert "20%" in row["reason"] and "10%" in row["reason"]
    keras_spiking.config.set_event_driven("never")
    (row,) = explain(model)
    keras_spiking.config.set_event_driven("auto")
    assert row["implementation"] == "dense" and "switched off" in row["reason"]


def test_a_bare_layer():
    (row,) = explain(layers.PSN(name="psn"))
    assert row["layer"] == "psn" and row["implementation"] == "reference"
