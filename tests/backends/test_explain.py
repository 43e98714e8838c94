"""Every layer over time has an entry, wherever it is."""

import keras

from keras_spiking import layers
from keras_spiking.backends import explain


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


def test_a_bare_layer():
    (row,) = explain(layers.PSN(name="psn"))
    assert row["layer"] == "psn" and row["implementation"] == "reference"
