"""The neurons, layers and statistics that conversion is built from."""

import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import layers

from keras_spiking import conversion
from keras_spiking.conversion import calibration
from keras_spiking.conversion.convert import analog_graph
from keras_spiking.conversion.graph import trace
from keras_spiking.conversion.report import macs
from keras_spiking.layers import StepByStep


def currents(timesteps=400, units=64, spread=3.0):
    """Currents that fluctuate around a mean in (-1, 1), and this mean."""
    x = np.random.default_rng(0).normal(size=(1, timesteps, units)) * spread
    mean = np.linspace(-0.9, 0.9, units)
    return (x - x.mean(axis=1) + mean).astype("float32"), mean


def test_rate_if_is_a_clipped_relu():
    x = np.linspace(-1.0, 2.0, 31).astype("float32")
    sequence = np.repeat(x[None, None], 50, axis=1)
    spikes = to_numpy(conversion.RateIFLayer(v_threshold=1.2, v_init=0.6)(sequence))
    assert set(np.unique(spikes)) <= {np.float32(0.0), np.float32(1.2)}
    np.testing.assert_allclose(
        spikes.mean(axis=1)[0], np.clip(x, 0.0, 1.2), atol=0.61 / 50 * 1.2
    )


@pytest.mark.parametrize("burst", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_signed_neurons_follow_the_sign_of_the_mean(slope, burst):
    x, mean = currents(spread=1.0)
    layer = conversion.SignedIFLayer(
        v_threshold=1.0, v_init=0.5, negative_slope=slope, burst=burst
    )
    rate = to_numpy(layer(x)).mean(axis=1)[0]
    np.testing.assert_allclose(
        rate, np.where(mean > 0, mean, slope * mean), atol=0.05 if not burst else 0.01
    )


def test_bursts_are_the_qcfs_of_the_mean():
    x, mean = currents(timesteps=8)
    layer = conversion.SignedIFLayer(v_threshold=0.7, v_init=0.35, burst=True)
    expected = conversion.QCFS(levels=8, threshold=0.7)(mean.astype("float32"))
    np.testing.assert_allclose(
        to_numpy(layer(x)).mean(axis=1)[0], to_numpy(expected), atol=1e-5
    )


def test_cumulative_maximum_is_exact_after_every_step():
    spikes = np.random.default_rng(0).integers(0, 2, (2, 6, 4, 4, 3)).astype("float32")
    inputs = keras.Input((4, 4, 3))
    pooling = conversion.CumulativeMaximum(layers.MaxPooling2D())
    step = keras.Model(inputs, pooling(inputs))
    y = to_numpy(StepByStep(step)(spikes))
    sums = np.cumsum(spikes, axis=1)
    expected = sums.reshape(2, 6, 2, 2, 2, 2, 3).max(axis=(3, 5))
    np.testing.assert_allclose(np.cumsum(y, axis=1), expected, atol=1e-5)
    assert set(np.unique(y)) <= {0.0, 1.0}


def test_running_mean_with_delay():
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    y = to_numpy(conversion.RunningMean(delay=2)(x))
    np.testing.assert_allclose(y[:, 1], x[:, :2].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(y[:, 5], x[:, 2:].mean(axis=1), atol=1e-6)


def test_poisson_input_has_the_input_as_mean():
    x = np.array([[-1.5, -0.2, 0.0, 0.6, 2.0]], "float32")
    layer = conversion.PoissonInput(peak=2.0, seed=0)
    y = to_numpy(layer(np.repeat(x, 4000, axis=0)))
    assert set(np.unique(np.abs(y))) == {0.0, 2.0}
    np.testing.assert_allclose(y.mean(axis=0), x[0], atol=0.1)


def test_each_neuron_has_its_own_slope():
    x = np.random.default_rng(0).normal(size=(2, 20, 3)).astype("float32")
    slopes = [0.0, 0.25, 0.5]
    together = to_numpy(conversion.SignedIFLayer(negative_slope=slopes)(x))
    for i, slope in enumerate(slopes):
        alone = conversion.SignedIFLayer(negative_slope=slope)(x[..., i : i + 1])
        np.testing.assert_array_equal(together[..., i : i + 1], to_numpy(alone))
    assert (together[..., 1:] < 0).any()


@pytest.mark.trains
def test_qcfs_learns_its_threshold():
    layer = conversion.QCFS(levels=4, threshold=1.0)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    x = np.linspace(0, 3, 64)[:, None]
    model.fit(x, x, epochs=40, verbose=0)
    assert float(to_numpy(layer.threshold)) > 2.0


def test_trace_dissolves_nested_models_and_shared_layers():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="d")], name="in")
    x = keras.Input((4,))
    ann = keras.Model(x, inner(inner(x)))
    nodes = [len(layer._inbound_nodes) for layer in ann.layers]
    graph = trace(ann)
    assert [c.place for c in graph.calls] == ["in/d", "in/d"]
    assert [c.name for c in graph.calls] == ["d", "d_call2"]
    assert graph.calls[1].inputs[0] is graph.calls[0].outputs[0]
    assert nodes == [len(layer._inbound_nodes) for layer in ann.layers]


def activations_and_thresholds(**options):
    ann = keras.Sequential(
        [keras.Input((6, 6, 2)), layers.Conv2D(3, 3, name="conv"), layers.ReLU()]
    )
    x = np.random.default_rng(0).normal(size=(40, 6, 6, 2)).astype("float32")
    arguments = {
        "timesteps": 8,
        "method": "percentile",
        "percentile": 99.0,
        "scale": 1.0,
        "channel_wise": False,
        "size": 16,
        **options,
    }
    found = calibration.thresholds(analog_graph(ann), [x], **arguments)
    return ann.predict(x, verbose=0), list(found.values())[0]


@pytest.mark.parametrize("percentile", [99.0, 95.0, 80.0])
def test_percentile(percentile):
    y, found = activations_and_thresholds(percentile=percentile)
    np.testing.assert_allclose(found, np.percentile(y, percentile), rtol=0.03)


def test_percentile_of_channels():
    y, found = activations_and_thresholds(percentile=95.0, channel_wise=True)
    expected = np.percentile(y, 95.0, axis=(0, 1, 2))
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_maximum_and_scale():
    y, found = activations_and_thresholds(method="max", channel_wise=True)
    np.testing.assert_allclose(found, y.max(axis=(0, 1, 2)), rtol=1e-5)
    y, found = activations_and_thresholds(method="scale", scale=0.5)
    np.testing.assert_allclose(found, 0.5 * y.max(), rtol=1e-5)


def test_local_threshold_balancing_minimises_the_error_of_rates():
    y, found = activations_and_thresholds(method="ltb")

    def error(threshold):
        rate = np.clip(np.floor(y / threshold * 8 + 0.5), 0, 8) / 8 * threshold
        return np.mean((rate - y) ** 2)

    best = min(error(t) for t in np.linspace(0.05, 1.0, 300) * y.max())
    assert error(found) < 1.03 * best
    assert error(found) < error(y.max())


def test_report_counts():
    ann = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(3, activation="relu", use_bias=False, name="hidden"),
            layers.Dense(4),
        ]
    )
    kernel = np.array([[1.0, 0.5, 0.0], [0.0, 0.0, -1.0]])
    ann.layers[0].set_weights([kernel])
    snn = conversion.convert(ann, np.ones((1, 2)), 8, method="max")
    report = conversion.report(
        snn, ann, np.ones((5, 2)), energy={"mac": 2.0, "ac": 1.0}
    )
    # Of three neurons one fires in every step, one in every other, one never.
    assert report.spikes == 12
    assert report.synaptic_operations == 12 * 4
    assert report.ann_macs == 2 * 3 + 3 * 4 and report.snn_macs == 6
    assert report.ann_energy == 36.0 and report.snn_energy == 48.0 + 12.0
    (layer,) = report.layers
    assert layer.firing_rate == pytest.approx(0.5) and layer.scale == 1.0
    assert layer.error == pytest.approx(0.0, abs=1e-6)
    assert "hidden" in str(report)


@pytest.mark.parametrize(
    "layer, shape, expected",
    [
        (layers.Conv2D(4, 3), (6, 6, 2), 16 * 9 * 2 * 4),
        (layers.Conv2D(4, 3, groups=2), (6, 6, 2), 16 * 9 * 4),
        (layers.DepthwiseConv2D(3), (6, 6, 2), 16 * 9 * 2),
        (layers.SeparableConv2D(5, 3), (6, 6, 2), 16 * (9 * 2 + 2 * 5)),
        (layers.Conv2DTranspose(3, 3, 2), (6, 6, 2), 36 * 9 * 2 * 3),
        (layers.Dense(5), (7, 3), 7 * 3 * 5),
    ],
)
def test_multiply_accumulations(layer, shape, expected):
    inputs = keras.Input(shape)
    assert macs(layer, inputs.shape, layer(inputs).shape) == expected
