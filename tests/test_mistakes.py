"""What is said of the commonest mistakes, and that right programs hear nothing."""

import pathlib
import warnings

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

from keras_spiking import callbacks
from keras_spiking import layers

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "troubleshooting.md"

dense, flatten = keras.layers.Dense, keras.layers.Flatten
IMAGES = np.random.default_rng(0).random((6, 9, 9, 1)).astype("float32")
LABELS = np.arange(6) % 3


def network(*stack, shape=(9, 9, 1), dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stack])


def spikes():
    return layers.PoissonEncoder(4, seed=0)


def convolution():
    return layers.SeqToBatch(keras.layers.Conv2D(2, 3))


# What we are asked first: the remedy is part of the message.
ERRORS = {
    "beta of snnTorch": (
        lambda: layers.LIFLayer(beta=0.9),
        r"LeakyLayer\(beta\), or LIFLayer\(1 / \(1 - beta\), decay_input=False\)",
    ),
    "beta as tau": (lambda: layers.LIFLayer(tau=0.9), r"tau = 1 / \(1 - beta\)"),
    "threshold of snnTorch": (lambda: layers.LIFLayer(threshold=1.0), "`v_threshold`"),
    "spike_grad of snnTorch": (lambda: layers.IFLayer(spike_grad="x"), "`surrogate`"),
    "step_mode": (lambda: layers.IFLayer(step_mode="m"), "leave it out"),
    "no encoder": (
        lambda: network(flatten(), dense(3), layers.LIFLayer()),
        "An encoder adds the time axis",
    ),
    "Flatten outside": (
        lambda: network(spikes(), flatten(), dense(3), layers.LIFLayer()),
        "Flatten or pooling that took it away belongs into SeqToBatch",
    ),
    "global pooling outside": (
        lambda: network(
            spikes(),
            convolution(),
            keras.layers.GlobalMaxPooling3D(),
            layers.LIFLayer(),
        ),
        "Flatten or pooling that took it away belongs into SeqToBatch",
    ),
    "Conv2D outside": (
        lambda: network(spikes(), keras.layers.Conv2D(2, 3)),
        r"is given sequences of images, \(None, 4, 9, 9, 1\).*SeqToBatch\(Conv2D\(",
    ),
    "MaxPooling2D outside": (
        lambda: network(spikes(), layers.LIFLayer(), keras.layers.MaxPooling2D()),
        r"SeqToBatch\(MaxPooling2D\(\.\.\.\)\)",
    ),
    "Conv2D outside, of arrays": (
        lambda: keras.layers.Conv2D(2, 3)(np.ones((2, 4, 9, 9, 1), "float32")),
        r"\(2, 4, 9, 9, 1\).*SeqToBatch",
    ),
    "neurons in SeqToBatch": (
        lambda: layers.SeqToBatch(dense(3), layers.LIFLayer()),
        "before or after the SeqToBatch, or use StepByStep",
    ),
    "integers into an encoder of rates": (
        lambda: layers.PoissonEncoder(4)(np.uint8([[0, 255]])),
        r"Rescaling\(1 / 255\)",
    ),
    "0..255 into an encoder of rates": (
        lambda: layers.LatencyEncoder(4)(IMAGES * 255),
        r"values from .* to 25\d.*Rescaling\(1 / 255\)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_remedy(name):
    mistake, remedy = ERRORS[name]
    with pytest.raises((TypeError, ValueError), match=remedy):
        mistake()


WARNINGS = {
    "images into neurons": (
        lambda: network(layers.LIFLayer()),
        r"rows of images of shape \(9, 9, 1\) for time steps.*DirectEncoder",
    ),
    "images into a convolution and neurons": (
        lambda: network(keras.layers.Conv2D(2, 3), layers.LIFLayer(), flatten()),
        r"rows of images of shape \(9, 9, 1\) for time steps.*DirectEncoder",
    ),
    "an encoder after a Dense": (
        lambda: network(flatten(), dense(3, "sigmoid"), spikes()),
        "`straight_through=True`",
    ),
    "bytes into DirectEncoder": (
        lambda: network(layers.DirectEncoder(4), dtype="uint8"),
        r"Rescaling\(1 / 255\)",
    ),
    "0..255 into DirectEncoder": (
        lambda: layers.DirectEncoder(4)(np.round(255 * IMAGES)),
        r"Rescaling\(1 / 255\)",
    ),
    "Flatten over time": (
        lambda: network(spikes(), layers.LIFLayer(), flatten(), dense(3)),
        r"one axis of time and features.*SeqToBatch\(Flatten\(\)\)",
    ),
    "Keras's Dropout between spikes": (
        lambda: network(
            spikes(), layers.LIFLayer(), keras.layers.Dropout(0.5), layers.LIFLayer()
        ),
        r"keras_spiking.layers.Dropout\(0.5\)",
    ),
    "Keras's Dropout in SeqToBatch": (
        lambda: layers.SeqToBatch(keras.layers.SpatialDropout2D(0.2), flatten()),
        r"keras_spiking.layers.Dropout\(0.2\)",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings_name_the_remedy(name):
    mistake, remedy = WARNINGS[name]
    with pytest.warns(UserWarning, match=remedy):
        mistake()


def readout():
    return layers.LILayer(reduce="mean")


def rates():
    return flatten(), spikes(), dense(3), layers.LIFLayer(), layers.FiringRate()


def without_readout():
    return spikes(), layers.SeqToBatch(flatten()), dense(3)


cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ONE_HOT = np.eye(3, dtype="float32")[LABELS]


def trained(loss, stack, x=IMAGES, y=LABELS):
    model = network(*stack)
    model.compile("sgd", loss, run_eagerly=BACKEND == "jax")  # it compiles slowly
    model.fit(x, y, batch_size=len(x), verbose=0)


MISTAKES_IN_FIT = {
    "cross-entropy without a readout": (
        lambda: trained(cross_entropy, without_readout()),
        r"an output for each time step, \(6, 4, 3\). A readout .*FiringRate\(\)",
    ),
    "one-hot labels without a readout": (
        lambda: trained("categorical_crossentropy", without_readout(), y=ONE_HOT),
        r"one target for each sequence, \(6, 3\).*A readout",
    ),
    "integer labels with MSE": (
        lambda: trained("mse", rates()),
        r"one-hot by keras.utils.to_categorical\(y, 3\)",
    ),
    "as many labels as classes": (  # which broadcasts
        lambda: trained("mse", rates(), IMAGES[:3], LABELS[:3]),
        r"integer labels, \(3,\), for outputs of shape \(3, 3\)",
    ),
    "a column of labels": (
        lambda: trained(keras.losses.MeanSquaredError(), rates(), y=LABELS[:, None]),
        "to_categorical",
    ),
}


@pytest.mark.trains
@pytest.mark.parametrize("name", MISTAKES_IN_FIT)
def test_fit_names_the_remedy(name):
    mistake, remedy = MISTAKES_IN_FIT[name]
    with pytest.raises(ValueError, match=remedy):
        mistake()


@pytest.mark.trains
def test_fit_tells_of_bytes():
    model = network(layers.DirectEncoder(2), layers.SeqToBatch(flatten()), readout())
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"0 to 255.*Rescaling\(1 / 255\)"):
        model.fit(np.round(255 * IMAGES), IMAGES.reshape(6, 81), epochs=0)


def test_page_quotes_what_is_said():
    text = " ".join(PAGE.read_text("utf-8").split())
    for part in ("silent", "saturated", "calibrate", "FluctuationDriven"):
        assert part in text


RIGHT = {
    "a network of images": lambda: network(
        keras.layers.Rescaling(1 / 255),
        spikes(),
        layers.SeqToBatch(keras.layers.Conv2D(2, 3), keras.layers.MaxPooling2D()),
        layers.LIFLayer(),
        layers.Dropout(0.2),
        layers.SeqToBatch(flatten()),
        dense(3),
        readout(),
    ),
    "learned encoding": lambda: network(
        keras.layers.Conv2D(2, 3),
        keras.layers.Dropout(0.5),
        layers.DirectEncoder(4),
        layers.LIFLayer(),
    ),
    "a convolution over time and frequency": lambda: network(
        keras.layers.Conv2D(2, 3), layers.LIFLayer(), shape=(20, 12, 1)
    ),
    "sequences of square frames": lambda: network(
        convolution(), layers.LIFLayer(), shape=(9, 9, 9, 2)
    ),
    "rows of digits as a sequence": lambda: network(
        keras.layers.Reshape((9, 9)), dense(4), layers.LIFLayer()
    ),
    "as many steps as channels": lambda: network(layers.LIFLayer(), shape=(9, 9)),
    "Conv3D over time": lambda: network(
        spikes(), keras.layers.Conv3D(2, 3, padding="same"), layers.LIFLayer()
    ),
    "dropout of the same units": lambda: network(
        spikes(),
        layers.SeqToBatch(flatten()),
        layers.LIFLayer(),
        keras.layers.Dropout(0.5, noise_shape=(None, 1, None)),
        layers.LIFLayer(),
        keras.layers.SpatialDropout1D(0.5),
        layers.LIFLayer(),
    ),
    "dropout of nothing": lambda: layers.SeqToBatch(keras.layers.Dropout(0.0)),
    "dropout of what neurons get from outside": lambda: network(
        keras.layers.Dropout(0.1), dense(3), layers.LIFLayer(), shape=(5, 4)
    ),
    "dropout after the readout": lambda: network(
        flatten(), spikes(), layers.LIFLayer(), layers.FiringRate(),
        keras.layers.Dropout(0.5), dense(3),
    ),
    "leaky neurons": lambda: layers.LeakyLayer(beta=0.9),
    "scaled images": lambda: layers.PoissonEncoder(4)(IMAGES),
    "scaled images, as they are": lambda: layers.DirectEncoder(4)(IMAGES),
    "few events, counted": lambda: layers.DirectEncoder(4)(np.round(60 * IMAGES)),
    "large numbers of no image": lambda: layers.DirectEncoder(4)(
        np.float32([[3, 255, 17]])
    ),
    "scaled by the model": lambda: network(
        keras.layers.Rescaling(1 / 255), layers.DirectEncoder(4)
    )(np.round(255 * IMAGES)),
    "all steps as features": lambda: network(
        spikes(), layers.LIFLayer(), keras.layers.Reshape((-1,)), dense(3)
    ),
    "spikes of a dense layer as features": lambda: network(
        layers.LIFLayer(), flatten(), dense(3), shape=(5, 4)
    ),
    "Flatten after the readout": lambda: network(
        spikes(), convolution(), readout(), flatten(), dense(3)
    ),
    "Conv2D after the readout": lambda: network(
        spikes(), layers.LIFLayer(), layers.FiringRate(), keras.layers.Conv2D(2, 3)
    ),
    "several inputs": lambda: keras.Model(
        (inputs := [keras.Input((5, 3)), keras.Input((5, 3))]),
        layers.LIFLayer()(keras.layers.Add()(inputs)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_hear_nothing(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        RIGHT[name]()


@pytest.mark.trains
@pytest.mark.parametrize("targets", [LABELS, ONE_HOT], ids=["labels", "one-hot"])
def test_right_targets_hear_nothing(targets):
    model = network(*without_readout())
    model.compile("sgd", cross_entropy if targets is LABELS else "mse")
    targets = keras.ops.convert_to_tensor(targets)
    model.compute_loss(y=targets, y_pred=keras.ops.zeros((6, 3)))
    targets = keras.ops.repeat(targets[:, None], 4, axis=1)
    model.compute_loss(y=targets, y_pred=keras.ops.zeros((6, 4, 3)))


@pytest.mark.trains
def test_a_value_for_all_steps_hears_nothing():
    model = network(*without_readout())
    model.compile("sgd", "mse")
    targets = keras.ops.ones((6, 1))
    model.compute_loss(y=targets, y_pred=keras.ops.zeros((6, 4, 1)))


@pytest.mark.trains
def test_a_network_that_learns_hears_nothing():
    model = network(
        spikes(), layers.SeqToBatch(keras.layers.Conv2D(2, 3), flatten()),
        layers.LIFLayer(decay_input=False, v_threshold=0.2), dense(3), readout(),
    )  # fmt: skip
    model.compile("adam", cross_entropy)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("default", module="jax|tensorflow|torch|numpy")
        model.fit(IMAGES, LABELS, verbose=0, callbacks=[callbacks.FiringRateLogger()])
    assert np.isfinite(to_numpy(model(IMAGES))).all()
