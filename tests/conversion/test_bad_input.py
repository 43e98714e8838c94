"""Bad input to the conversion is refused with a message that helps."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_spiking import conversion
from keras_spiking.layers import Dropout
from keras_spiking.layers import LIFLayer

X = np.ones((4, 6), "float32")


class SortedDense(layers.Dense):
    def call(self, inputs):
        return keras.ops.sort(super().call(inputs))


def arctangent(x):
    return keras.ops.arctan(x)


def network():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(2)]
    )


def test_all_layers_that_cannot_be_converted_are_named_with_place_and_remedy():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, activation=arctangent)], name="inner"
    )
    inputs = keras.Input((6,))
    x = layers.Dense(4, activation="relu")(inputs)
    x = layers.Reshape((4, 1))(inner(x))
    x = layers.GRU(4, name="memory")(x)
    x = layers.Lambda(abs, name="size")(x)
    x = keras.ops.exp(x)
    ann = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    with pytest.raises(ValueError) as error:
        conversion.convert(ann, X, 4)
    message = str(error.value)
    for part in ("'inner/dense", "Arctan", "'memory'", "'size'", "functions of keras"):
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
        SortedDense(4),
        layers.Activation(arctangent),
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
    with pytest.raises(ValueError, match=f"'{layer.name}"):
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


@pytest.mark.parametrize(
    "options, message",
    [
        ({"timesteps": 2.5}, "`timesteps` must be an integer"),
        ({"delay": 1.5}, "`delay` must be an integer"),
        ({"delay": True}, "`delay` must be an integer"),
        ({"channel_wise": 1}, "`channel_wise` must be True or False"),
        ({"percentile": "99"}, "`percentile` must be a number"),
        ({"batch_size": 8.0}, "`batch_size` must be an integer"),
        ({"seed": 0.5}, "`seed` must be an integer"),
    ],
)
def test_arguments_have_their_type(options, message):
    with pytest.raises(TypeError, match=message):
        conversion.convert(network(), X, **{"timesteps": 4, **options})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: conversion.QCFS(2.5), "`levels` must be an integer"),
        (lambda: conversion.QCFS(8, thresold=1.0), "Did you mean `threshold`"),
        (lambda: conversion.RunningMean(1.5), "`delay` must be an integer"),
        (lambda: conversion.PoissonInput("1"), "`peak` must be a number"),
        (lambda: conversion.CumulativeMaximum("max"), "`layer` must be a Keras layer"),
        (lambda: conversion.RateIFLayer(v_reset=0.0), "has no argument `v_reset`"),
        (lambda: conversion.SignedIFLayer(burst=1), "`burst` must be True or False"),
    ],
)
def test_arguments_of_layers_have_their_type(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_neurons_need_a_threshold_above_0():
    for neurons in (conversion.RateIFLayer, conversion.SignedIFLayer):
        with pytest.raises(ValueError, match="`v_threshold` must be greater than 0"):
            neurons(0.0)


def spiking_network():
    return keras.Sequential([keras.Input((5, 6)), layers.Dense(4), LIFLayer()])


@pytest.mark.parametrize("call", ("report", "simulate"))
def test_a_trained_spiking_network_is_no_converted_one(call):
    arguments = (network(), X) if call == "report" else (X,)
    with pytest.raises(TypeError, match="as .*convert.* returns it") as error:
        getattr(conversion, call)(spiking_network(), *arguments)
    assert "FiringRateLogger" in str(error.value)
    assert "ReLU" not in str(error.value)


def test_a_spiking_network_is_not_told_to_use_relu():
    snn = conversion.convert(network(), X, 4)
    for function in (
        lambda: conversion.convert(spiking_network(), np.ones((4, 5, 6)), 4),
        lambda: conversion.report(snn, spiking_network(), np.ones((4, 5, 6))),
    ):
        with pytest.raises(ValueError, match="spikes or integrates over time") as error:
            function()
        assert "ReLU" not in str(error.value)


def test_report_of_a_network_that_was_converted_from_another_one():
    snn = conversion.convert(network(), X, 4)
    with pytest.raises(ValueError, match="converted from `ann`"):
        conversion.report(snn, network(), X)
    with pytest.raises(TypeError, match=r"`energy\['ac'\]` must be a number"):
        conversion.report(snn, network(), X, energy={"mac": 1.0, "ac": "1"})


def test_layers_that_do_nothing_at_inference_are_left_out():
    nothing = [layers.GaussianNoise(0.5), Dropout(0.5), layers.Identity()]
    ann = keras.Sequential(
        [keras.Input((5, 6)), *nothing, layers.Dense(4, "relu"), layers.Dense(2)]
    )
    snn = conversion.convert(ann, np.ones((4, 5, 6)), 4)
    assert snn.predict(np.ones((4, 5, 6)), verbose=0).shape == (4, 5, 2)


def test_a_dropout_that_acts_at_inference_is_not_left_out():
    class MonteCarloDropout(layers.Dropout):
        def call(self, inputs):
            return super().call(inputs, training=True)

    ann = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, "relu"), MonteCarloDropout(0.5)]
    )
    with pytest.raises(ValueError, match="MonteCarloDropout"):
        conversion.convert(ann, X, 4)
