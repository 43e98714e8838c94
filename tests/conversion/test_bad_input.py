"""Bad input to the conversion is refused with a message that helps."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_spiking import conversion

X = np.ones((4, 6), "float32")


class SquaredDense(layers.Dense):
    def call(self, inputs):
        return keras.ops.square(super().call(inputs))


def network():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(2)]
    )


def test_all_layers_that_cannot_be_converted_are_named_with_place_and_remedy():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, activation="tanh")], name="inner"
    )
    inputs = keras.Input((6,))
    x = layers.Dense(4, activation="relu")(inputs)
    x = layers.LayerNormalization(name="norm")(inner(x))
    x = layers.Multiply(name="gate")([x, layers.Dense(4, name="gelu_a")(x)])
    x = keras.ops.exp(x)
    ann = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    with pytest.raises(ValueError) as error:
        conversion.convert(ann, X, 4)
    message = str(error.value)
    for part in ("'inner/dense", "'tanh'", "'norm'", "'gate'", "BatchNormalization"):
        assert part in message
    assert "Exp" in message and "softmax" not in message
    assert message.count("\n- ") == 4


@pytest.mark.parametrize(
    "layer",
    [
        layers.LSTM(4),
        layers.ReLU(threshold=0.5),
        layers.ReLU(max_value=1.0, negative_slope=0.1),
        layers.Lambda(abs),
        SquaredDense(4),
    ],
)
def test_other_layers_are_refused(layer):
    ann = keras.Sequential(
        [
            keras.Input((5, 6)),
            layers.Dense(3, activation="relu"),
            layer,
            layers.Dense(2),
        ]
    )
    with pytest.raises(ValueError, match=f"'{layer.name}'"):
        conversion.convert(ann, np.ones((4, 5, 6)), 4)


@pytest.mark.parametrize(
    "data, message",
    [
        (np.ones((4, 5)), r"shape \(4, 5\)"),
        (np.ones((4, 6, 1)), r"shape \(4, 6, 1\)"),
        (np.ones((0, 6)), "at least one sample"),
        (np.full((4, 6), np.nan), "NaN"),
        ([X, X], "2 arrays"),
    ],
)
def test_calibration_data(data, message):
    with pytest.raises(ValueError, match=message):
        conversion.convert(network(), data, 4)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"timesteps": 0}, "timesteps"),
        ({"method": "median"}, "percentile"),
        ({"percentile": 0.0}, "percentile"),
        ({"percentile": 101.0}, "percentile"),
        ({"scale": -1.0}, "scale"),
        ({"neuron": "lif"}, "signed"),
        ({"encoding": "latency"}, "poisson"),
        ({"delay": 4}, "delay"),
        ({"correction": "all"}, "bias"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        conversion.convert(network(), X, **{"timesteps": 4, **options})


def test_a_model_that_was_never_built():
    with pytest.raises(ValueError, match="never built"):
        conversion.convert(keras.Sequential([layers.Dense(2)]), X, 4)


def test_a_subclassed_model():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    ann = Subclassed()
    ann(X)
    with pytest.raises(ValueError, match="subclassed"):
        conversion.convert(ann, X, 4)
    with pytest.raises(TypeError, match="Keras model"):
        conversion.convert(lambda x: x, X, 4)


def test_a_model_without_activations():
    ann = keras.Sequential([keras.Input((6,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="nothing to convert"):
        conversion.convert(ann, X, 4)
