"""What cannot be compiled is named, with the remedy."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import sequential
from networks import spikes

import keras_spiking
from keras_spiking import layers as sl

compile = keras_spiking.inference.compile


def image_model(*inner):
    return keras.Sequential(
        [keras.Input((3, 8, 8, 2)), sl.SeqToBatch(list(inner)), sl.LIFLayer()]
    )


def sequence_model(*inner):
    return keras.Sequential([keras.Input((3, 8)), *inner, sl.LIFLayer()])


CASES = [
    (
        lambda: image_model(layers.Conv2DTranspose(3, 2)),
        "Transpose.*docs/inference",
    ),
    (lambda: image_model(layers.LayerNormalization()), "LayerNormalization.*compile"),
    (lambda: image_model(layers.SeparableConv2D(3, 2)), "SeparableConv2D.*Depthwise"),
    (
        lambda: image_model(layers.UpSampling2D(2, interpolation="bilinear")),
        "UpSampling2D.*nearest",
    ),
    (lambda: sequence_model(layers.Conv1D(3, 2)), "Conv1D.*SeqToBatch"),
    (
        lambda: sequence_model(layers.Flatten(), layers.Reshape((3, 8))),
        "Flatten.*Seq",
    ),
    (lambda: sequence_model(layers.Concatenate(axis=1)), "Concatenate"),
    (lambda: sequence_model(layers.Dense(4, activation="gelu")), "activation.*ReLU"),
    (lambda: sequence_model(layers.BatchNormalization(axis=1)), "axis 1.*SeqToBatch"),
    (lambda: sequence_model(sl.PSN()), "PSN"),
    (
        lambda: sequence_model(sl.WinnerTakeAllLayer()),
        "TakeAll.*another one",
    ),
    (lambda: sequence_model(layers.GRU(4, return_sequences=True)), "GRU"),
    (lambda: sequence_model(sl.NoisyLIFLayer()), "NoisyLIFLayer"),
    (
        lambda: keras.Sequential(
            [keras.Input((8,)), sl.PoissonEncoder(4), sl.LIFLayer()]
        ),
        "PoissonEncoder.*DirectEncoder",
    ),
    (
        lambda: keras.Sequential(
            [keras.Input((3, 8), batch_size=2), sl.LIFLayer(stateful=True)]
        ),
        "stateful=False",
    ),
    (
        lambda: keras.Sequential(
            [keras.Input((3, 8)), sl.LIFLayer(dtype="mixed_float16")]
        ),
        "float16.*float32",
    ),
    (
        lambda: keras.Sequential([keras.Input((8,)), layers.Dense(3)]),
        "no layer over time",
    ),
    (
        lambda: keras.Sequential([keras.Input((None, None, 3)), sl.LIFLayer()]),
        "known size",
    ),
    (lambda: keras.Sequential([sl.LIFLayer()]), "no weights yet"),
]


@pytest.mark.parametrize("make, message", CASES)
def test_models_that_cannot_be_compiled(make, message):
    with pytest.raises(ValueError, match=message):
        compile(make())


def test_models_with_a_call_of_their_own():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.neurons = sl.LIFLayer()

        def call(self, x):
            return self.neurons(x)

    model = Own()
    model(np.zeros((1, 2, 3), "float32"))
    with pytest.raises(ValueError, match="Sequential or Functional"):
        compile(model)
    with pytest.raises(TypeError, match="keras.Model"):
        compile("model")


def test_layers_that_keras_has_quantised():
    model = sequence_model(layers.Dense(8))
    model.layers[0].quantize("int8")
    with pytest.raises(ValueError, match=r"before `model.quantize`"):
        compile(model)


def test_weights_that_are_not_finite():
    model = sequence_model(layers.Dense(8))
    model.layers[0].bias.assign(np.full(8, np.nan))
    with pytest.raises(ValueError, match="NaN"):
        compile(model)


def test_arguments():
    model = sequence_model(layers.Dense(8))
    with pytest.raises(ValueError, match="`weights` must be one of 'float32', 'int8'"):
        compile(model, weights="int4")
    with pytest.raises(ValueError, match="`threads` must be at least 1"):
        compile(model, threads=0)


@pytest.mark.parametrize(
    "x, message",
    [
        (spikes(2, 3, 9), r"takes an input of shape \(batch, time, 8\).*\(2, 3, 9\)"),
        (spikes(3, 8), r"\(batch, time, 8\).*\(3, 8\)"),
        (spikes(2, 0, 8), "time steps >= 1.*0 time steps"),
    ],
)
def test_inputs_of_another_shape(x, message):
    model = keras.Sequential([keras.Input((None, 8)), layers.Dense(8), sl.LIFLayer()])
    with pytest.raises(ValueError, match=message):
        compile(model)(x)


def test_printing():
    net = compile(
        sequential(
            keras.Input((None, 8)),
            layers.Dense(100, name="dense"),
            sl.LIFLayer(name="lif"),
        )
    )
    text = str(net)
    assert "dense, lif" in text and "product over non-zeros, float32, neurons" in text
    assert "3200 B" in text and "100 bits" in text
    assert "int main" not in net.source and "static void kernel_0" in net.source
