import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from golden import cases
from golden import load

from keras_spiking import losses


@pytest.mark.parametrize("config, file", cases("losses/"))
def test_temporal_efficient_training_equals_spikingjelly(config, file):
    golden = load(file)
    loss = losses.TemporalEfficientTraining(**config)
    value = to_numpy(loss(golden["labels"], golden["logits"]))
    np.testing.assert_allclose(value, golden["loss"], rtol=1e-5)


@pytest.mark.trains
@pytest.mark.parametrize("config, file", cases("losses/"))
def test_temporal_efficient_training_has_spikingjellys_gradient(config, file):
    golden = load(file)
    loss = losses.TemporalEfficientTraining(**config)
    (gradient,) = gradients(lambda y: loss(golden["labels"], y), [golden["logits"]])
    scale = np.abs(golden["grad"]).max()
    np.testing.assert_allclose(gradient, golden["grad"], rtol=1e-5, atol=1e-5 * scale)


def draw():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 6)
    return labels, generator.normal(size=(6, 5, 4)).astype("float32")


def test_second_term_of_temporal_efficient_training():
    labels, outputs = draw()
    one_hot = np.eye(4)[labels][:, None]
    shifted = outputs - outputs.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    cross_entropy = -(log_p * one_hot).sum(-1).mean()
    error = ((outputs - 0.8 * one_hot) ** 2).mean()
    loss = losses.TemporalEfficientTraining(regularization=0.3, target_potential=0.8)
    expected = 0.7 * cross_entropy + 0.3 * error
    np.testing.assert_allclose(to_numpy(loss(labels, outputs)), expected, rtol=1e-5)


def test_probabilities_instead_of_logits():
    labels, outputs = draw()
    p = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
    logits = losses.TemporalEfficientTraining()(labels, outputs)
    loss = losses.TemporalEfficientTraining(from_logits=False)(labels, p)
    np.testing.assert_allclose(to_numpy(loss), to_numpy(logits), rtol=1e-5)


def test_firing_rate_mse():
    labels, _ = draw()
    spikes = np.random.default_rng(1).integers(0, 2, (6, 5, 4)).astype("float32")
    expected = ((spikes.mean(1) - np.eye(4)[labels]) ** 2).mean()
    loss = losses.FiringRateMSE()
    np.testing.assert_allclose(to_numpy(loss(labels, spikes)), expected, rtol=1e-6)
    rates = np.full((6, 4), 0.3, "float32")
    expected = ((spikes.mean(1) - rates) ** 2).mean()
    np.testing.assert_allclose(to_numpy(loss(rates, spikes)), expected, rtol=1e-6)


LOSSES = [
    losses.TemporalEfficientTraining(),
    losses.TemporalEfficientTraining(regularization=0.1, from_logits=False),
    losses.FiringRateMSE(),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_labels_may_be_integers_columns_or_one_hot(loss):
    labels, outputs = draw()
    outputs = np.abs(outputs)
    expected = to_numpy(loss(labels, outputs))
    for same in (labels[:, None], np.eye(4)[labels], labels.astype("float32")):
        np.testing.assert_allclose(to_numpy(loss(same, outputs)), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_survive_serialization(loss):
    labels, outputs = draw()
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(restored) is type(loss)
    a, b = to_numpy([loss(labels, np.abs(outputs)), restored(labels, np.abs(outputs))])
    assert a == b


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_does_not_lose_the_loss(loss):
    labels, outputs = draw()
    outputs = np.abs(outputs).astype("float16")
    expected = to_numpy(loss(labels, outputs.astype("float32")))
    np.testing.assert_allclose(to_numpy(loss(labels, outputs)), expected, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_outputs_without_a_time_axis_are_refused(loss):
    with pytest.raises(ValueError, match=r"time.*\(6, 4\)"):
        loss(np.zeros(6), np.zeros((6, 4)))


@pytest.mark.parametrize("loss", LOSSES)
def test_labels_of_another_shape_are_refused(loss):
    with pytest.raises(ValueError, match=r"y_true.*\(6, 3\)"):
        loss(np.zeros((6, 3)), np.zeros((6, 5, 4)))


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_regularization_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=f"regularization={value}"):
        losses.TemporalEfficientTraining(regularization=value)
