"""What holds for every loss, metric, regularizer and constraint."""

import inspect

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import double_precision
from backend import float64
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import constraints
from keras_spiking import layers
from keras_spiking import losses
from keras_spiking import metrics
from keras_spiking import regularizers
from keras_spiking import utils

LOSSES = [
    cls
    for cls in (getattr(losses, name) for name in losses.__all__)
    if inspect.isclass(cls) and cls is not losses.LossOverTime
]
METRICS = [getattr(metrics, name) for name in metrics.__all__]
every_loss = pytest.mark.parametrize("cls", LOSSES)


def draw(cls, time=6, dtype="float32"):
    """Targets and outputs that suit the loss."""
    generator = np.random.default_rng(0)
    spikes = generator.integers(0, 2, (6, time, 4)).astype(dtype)
    if cls is losses.VanRossumDistance:
        return generator.integers(0, 2, (6, time, 4)).astype(dtype), spikes
    if cls is losses.TempotronLoss:
        spikes = generator.normal(size=(6, 4)).astype(dtype)
    if cls in (losses.FirstSpikeTimeLoss, losses.SpikeClusterLoss):
        return generator.integers(0, 3, (6, 4)).astype(dtype), spikes
    return generator.integers(0, 4, 6), spikes


@every_loss
def test_arguments_are_explicit(cls):
    parameters = inspect.signature(cls).parameters
    assert {"name", "reduction", "dtype"} <= parameters.keys()
    assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())
    with pytest.raises(TypeError, match="strenght"):
        cls(strenght=1.0)


@every_loss
def test_arguments_of_keras_reach_the_loss(cls):
    loss = cls(name="mine", reduction="none", dtype="float64")
    assert (loss.name, loss.reduction, loss.dtype) == ("mine", "none", "float64")
    assert to_numpy(loss(*draw(cls))).shape == (6,)
    assert cls.from_config(loss.get_config()).get_config() == loss.get_config()


@pytest.mark.skipif(BACKEND == "numpy", reason="Keras has float32 there at most")
@every_loss
def test_double_precision_is_kept(cls):
    y_true, y_pred = draw(cls, dtype="float64")
    with double_precision():
        value = cls(dtype="float64", reduction="none")(y_true, *float64(y_pred))
        assert keras.backend.standardize_dtype(value.dtype) == "float64"
        single = cls(reduction="none")(y_true, y_pred.astype("float32"))
        np.testing.assert_allclose(to_numpy(value), to_numpy(single), rtol=1e-5)
        # A change of the outputs that float32 does not see changes the loss.
        if cls not in (losses.FirstSpikeTimeLoss, losses.TimeToFirstSpikeCrossentropy):
            loss = cls(dtype="float64", reduction="none")
            noise = 1e-10 * np.random.default_rng(1).uniform(size=y_pred.shape)
            changed = loss(y_true, *float64(y_pred * (1.0 + noise)))
            assert (to_numpy(changed) != to_numpy(value)).any()


class DropLast(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.supports_masking = True

    def call(self, x):
        return x[..., :-1]


@every_loss
@pytest.mark.masks
@pytest.mark.parametrize("time", [5, 6])  # a batch of 6
def test_masked_steps_do_not_count(cls, time):
    if cls is losses.TempotronLoss:
        return  # over potentials, (batch, classes)
    loss = cls(reduction="none")
    y_true, outputs = draw(cls, time)
    lengths = [time, 2, 3, 1, time, 4]
    mask = np.arange(time) < np.array(lengths)[:, None]
    outputs = outputs * mask[..., None]
    marked = np.concatenate([outputs, mask[..., None]], -1).astype("float32")
    carrying = DropLast()(keras.layers.Masking()(marked))
    found = to_numpy(loss(y_true, carrying))
    assert found.shape == (6,)
    of_steps = {
        losses.TemporalEfficientTraining,
        losses.FiringRateMSE,
        losses.MembraneLoss,
        losses.SpikeCountLoss,
    }
    for i, length in enumerate(lengths if cls in of_steps else [time] * 6):
        expected = loss(y_true[i : i + 1], outputs[i : i + 1, :length])
        if cls is not losses.SpikeSimilarity:  # which compares samples
            np.testing.assert_allclose(found[i], to_numpy(expected)[0], rtol=1e-5)


@pytest.mark.trains
def test_a_model_with_a_mask_learns():
    x = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
    x[::2, 3:] = 0.0
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            keras.layers.Masking(),
            keras.layers.Dense(4),
            layers.LIFLayer(v_threshold=0.3),
        ]
    )
    model.compile("sgd", losses.FiringRateMSE())
    y = np.arange(8) % 4
    history = model.fit(x, y, batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()


BAD_ARGUMENTS = [
    (losses.TemporalEfficientTraining, "from_logits", 1, TypeError),
    (losses.TemporalEfficientTraining, "from_logits", "no", TypeError),
    (losses.TemporalEfficientTraining, "regularization", 1.5, ValueError),
    (losses.TemporalEfficientTraining, "regularization", True, TypeError),
    (losses.TemporalEfficientTraining, "target_potential", np.nan, ValueError),
    (losses.SpikeClusterLoss, "T_in", 2.5, TypeError),
    (losses.SpikeClusterLoss, "T_in", True, TypeError),
    (losses.SpikeClusterLoss, "T_in", 0, ValueError),
    (losses.SpikeClusterLoss, "v_threshold", "1", TypeError),
    (losses.SpikeSimilarity, "kernel", "cubic", ValueError),
    (losses.SpikeSimilarity, "loss", "l2", ValueError),
    (losses.SpikeSimilarity, "argument", 2.0, ValueError),
    (losses.VanRossumDistance, "tau", 0.0, ValueError),
    (losses.VanRossumDistance, "tau", [5.0], TypeError),
    (losses.SpikeCountLoss, "true_count", -1, ValueError),
    (losses.SpikeCountLoss, "false_count", None, TypeError),
    (losses.MembraneLoss, "on_target", np.inf, ValueError),
    (losses.TimeToFirstSpikeCrossentropy, "temperature", -1.0, ValueError),
    (losses.TempotronLoss, "v_threshold", {}, TypeError),
    (metrics.SynapticOperations, "fan_out", -1, ValueError),
    (metrics.SynapticOperations, "fan_out", "many", TypeError),
    (metrics.AccuracyAtEveryTimeStep, "timesteps", 2.5, TypeError),
    (metrics.AccuracyAtEveryTimeStep, "timesteps", 0, ValueError),
    (regularizers.FiringRateRegularizer, "minimum", True, TypeError),
    (regularizers.FiringRateRegularizer, "strength", -1.0, ValueError),
    (regularizers.FiringRateRegularizer, "maximum", "1", TypeError),
    (constraints.Interval, "minimum", "bad", TypeError),
    (constraints.Interval, "minimum", np.nan, ValueError),
    (constraints.Interval, "maximum", True, TypeError),
    (constraints.Interval, "maximum", [1.0], TypeError),
]


@pytest.mark.parametrize("cls, name, value, error", BAD_ARGUMENTS)
def test_bad_arguments_are_refused(cls, name, value, error):
    with pytest.raises(error, match=f"`{name}`"):
        cls(**{name: value})


@pytest.mark.parametrize("argument", [None, 0.0, -1.0, np.nan, "wide"])
def test_the_width_of_a_gaussian_kernel_is_positive(argument):
    with pytest.raises((TypeError, ValueError), match="`argument`"):
        losses.SpikeSimilarity("gaussian", argument)


def test_an_empty_interval_is_refused():
    with pytest.raises(ValueError, match="maximum=1.0"):
        constraints.Interval(2.0, maximum=1.0)


@pytest.mark.parametrize("cls", METRICS)
def test_metrics_have_explicit_arguments(cls):
    parameters = inspect.signature(cls).parameters
    assert {"name", "dtype"} <= parameters.keys()
    assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())


def test_an_interval_clips_and_keeps_the_precision():
    w = [-1.0, 0.1234567890123, 5.0]
    interval = constraints.Interval(0.0, 2.0)
    variable = keras.Variable(w, dtype="float32")
    np.testing.assert_allclose(to_numpy(interval(variable)), [0.0, 0.12345679, 2.0])
    np.testing.assert_allclose(to_numpy(constraints.Interval()(ops.array(w))), w)
    if BACKEND != "numpy":
        with double_precision():
            clipped = to_numpy(interval(*float64(np.array(w))))
        np.testing.assert_array_equal(clipped, [0.0, w[1], 2.0])


@pytest.mark.skipif(BACKEND == "numpy", reason="Keras has float32 there at most")
def test_the_regularizer_keeps_the_precision():
    regularizer = regularizers.FiringRateRegularizer(maximum=0.25, strength=1.0)
    with double_precision():
        penalty = regularizer(*float64(np.full((1, 2, 1), 0.5 + 1e-10)))
    np.testing.assert_allclose(to_numpy(penalty), (0.25 + 1e-10) ** 2, rtol=1e-13)


@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("neuron", [layers.IFLayer, layers.LIFLayer])
def test_a_threshold_margin_gives_each_sample_its_thresholds(neuron, v_reset):
    x = np.random.default_rng(0).uniform(0.0, 2.0, (4, 20, 3)).astype("float32")
    labels = np.array([0, 2, 1, 2])
    margin = utils.threshold_margin(labels, 3, 0.5, 1.5)
    found = neuron(v_reset=v_reset)(x / np.expand_dims(to_numpy(margin), 1))
    for sample, thresholds, spikes in zip(x, to_numpy(margin), to_numpy(found)):
        layer = neuron(v_threshold=thresholds, v_reset=v_reset)
        np.testing.assert_array_equal(to_numpy(layer(sample[None]))[0], spikes)


@pytest.mark.trains
def test_gradients_flow_through_a_threshold_margin():
    x = np.random.default_rng(0).uniform(0.0, 2.0, (4, 6, 3)).astype("float32")
    margin = utils.threshold_margin(np.array([0, 2, 1, 2]), 3)
    neuron = layers.LIFLayer()

    def total(x):
        return ops.sum(neuron(x / ops.expand_dims(margin, 1)))

    (gradient,) = gradients(total, [x])
    assert (gradient != 0.0).any()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_classes": 2.5}, "num_classes=2.5"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"threshold0": 0.0}, "threshold0=0.0"),
        ({"threshold1": "1"}, "threshold1='1'"),
        ({"labels": np.zeros((2, 3))}, r"labels.*\(2, 3\)"),
    ],
)
def test_bad_thresholds_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        utils.threshold_margin(**{"labels": [0, 1], "num_classes": 3, **arguments})


@pytest.mark.parametrize("n", [2.5, True, 0, "2"])
def test_bad_numbers_of_voters_are_refused(n):
    with pytest.raises((TypeError, ValueError), match=f"n={n!r}"):
        utils.redundant_one_hot(np.array([0, 1]), 3, n)
