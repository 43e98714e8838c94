import numpy as np
import pytest
from backend import double_precision
from backend import float64
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers
from keras_spiking import losses

ARGUMENTS = dict(tau=12.0, tau_s=4.0, dtype="float64")


def simulate(x, tau=12.0, tau_s=4.0, substeps=2000):
    """Times of spikes by integration in tiny steps: `(feature, time)` pairs."""
    v = current = np.zeros(x.shape[1])
    times = []
    dt = 1.0 / substeps
    for t in range(len(x)):
        current = current + x[t]
        for k in range(substeps):
            v = v + dt / tau * (current - v)
            current = current - dt / tau_s * current
            for i in np.flatnonzero(v >= 1.0):
                times.append((i, t + (k + 1) * dt))
                v[i] = 0.0
    return times


def test_spike_times_are_those_of_continuous_time():
    x = np.random.default_rng(0).uniform(0, 2.5, (12, 4))
    layer = layers.EventPropLayer(**ARGUMENTS)
    with double_precision():
        (current,) = float64(x[None])
        times = to_numpy(layer.spike_times(layer(current)))[0]
    expected = simulate(x)
    found = sorted((i, t) for t, i in zip(times.ravel(), list(range(4)) * 12))
    found = [(i, t) for i, t in found if np.isfinite(t)]
    assert len(found) == len(expected) > 10
    for (i, t), (j, s) in zip(found, sorted(expected)):
        assert i == j and abs(t - s) < 5e-3


def dense(x, w):
    # Not `matmul`, which may lower float64 to float32.
    return ops.sum(ops.expand_dims(x, -1) * w, axis=-2)


@pytest.mark.trains
def test_gradients_of_spike_times_are_exact_through_two_layers():
    generator = np.random.default_rng(3)
    x = generator.uniform(size=(1, 15, 6)) < 0.3
    w1 = generator.uniform(0.6, 2.2, (6, 5))
    w2 = generator.uniform(0.5, 1.8, (5, 3))
    coefficient = generator.normal(size=(1, 15, 3))
    with double_precision():
        first, second = (layers.EventPropLayer(**ARGUMENTS) for _ in range(2))
        inputs, weight = float64(x, coefficient)

        def total(w1, w2):
            outputs = second(dense(first(dense(inputs, w1)), w2))
            times = second.spike_times(outputs)
            fires = ops.isfinite(times)
            times = ops.where(fires, times, 0.0)
            return ops.sum(times * weight), fires

        found = gradients(lambda a, b: total(a, b)[0], float64(w1, w2))
        pattern = to_numpy(total(*float64(w1, w2))[1])
        assert pattern.sum() > 5
        for k, _ in enumerate((w1, w2)):
            for index in [(0, 0), (3, 1), (4, 2)]:
                values = []
                for move in (1e-6, -1e-6):
                    moved = [w1.copy(), w2.copy()]
                    moved[k][index] += move
                    value, fires = total(*float64(*moved))
                    np.testing.assert_array_equal(to_numpy(fires), pattern)
                    values.append(float(to_numpy(value)))
                numeric = (values[0] - values[1]) / 2e-6
                np.testing.assert_allclose(
                    found[k][index], numeric, rtol=1e-5, atol=1e-7
                )


@pytest.mark.trains
def test_gradients_in_float64_are_float64_throughout():
    generator = np.random.default_rng(0)
    x = generator.uniform(0.0, 3.0, (1, 5, 4))
    weight = generator.normal(size=x.shape)
    steps = 1e-6 * np.eye(x.size).reshape(-1, *x.shape[1:])
    with double_precision():
        layer = layers.EventPropLayer(**ARGUMENTS)
        x, weight, high, low = float64(x, weight, x + steps, x - steps)
        (found,) = gradients(lambda x: ops.sum(layer(x) * weight), [x])
        change = to_numpy((layer(high) - layer(low)) * weight).sum((1, 2))
    np.testing.assert_allclose(found.ravel(), change / 2e-6, rtol=1e-8, atol=2e-9)
    assert found.dtype == "float64"


def test_what_is_no_number_does_not_fire():
    x = np.full((1, 6, 2), 2.0, "float32")
    x[0, 2, 0] = np.nan
    layer = layers.EventPropLayer(tau=12.0, tau_s=4.0)
    clean = to_numpy(layer(np.full((1, 6, 2), 2.0, "float32")))
    outputs = to_numpy(layer(x))
    np.testing.assert_array_equal(outputs[..., 1], clean[..., 1])
    assert np.all(np.isfinite(outputs)) and not outputs[0, 3:, 0].any()


def test_time_constants_may_be_assigned():
    x = np.full((1, 6, 2), 2.0, "float32")
    layer = layers.EventPropLayer(tau=12.0, tau_s=4.0)
    layer(x)
    layer.tau = 8.0
    expected = layers.EventPropLayer(tau=8.0, tau_s=4.0)(x)
    np.testing.assert_array_equal(to_numpy(layer(x)), to_numpy(expected))
    layer = layers.ResonateAndFireLayer(period=8.0, tau=20.0)
    layer.period, layer.tau = 6.0, 9.0
    expected = layers.ResonateAndFireLayer(period=6.0, tau=9.0)(x)
    np.testing.assert_array_equal(to_numpy(layer(x)), to_numpy(expected))
    assert layer.get_config()["period"] == 6.0
    with pytest.raises(ValueError, match="`period` must be at least 2"):
        layer.period = 1.0
    assert layer.period == 6.0


def test_a_spike_that_moves_to_the_next_step_moves_nothing_else():
    # The input puts the only spike of the first neuron around the time 4.
    def run(weight):
        first, second = (layers.EventPropLayer(**ARGUMENTS) for _ in range(2))
        x = np.zeros((1, 12, 1))
        x[0, 0] = weight
        with double_precision():
            spikes = first(float64(x)[0])
            return to_numpy(first.spike_times(spikes)), to_numpy(second(9.0 * spikes))

    # A jump by `weight` reaches the threshold at 4.
    kernel = 4.0 / (4.0 - 12.0) * (np.exp(-4 / 4.0) - np.exp(-4 / 12.0))
    for step in (1e-3, 1e-5):
        (before, y), (after, z) = (run((1 + d) / kernel) for d in (step, -step))
        assert before.min() < 4.0 < after.min() < before.min() + 40 * step
        np.testing.assert_allclose(y, z, atol=40 * step)


def test_the_potential_of_a_tempotron_is_the_sum_of_its_kernels():
    x = (np.random.default_rng(0).uniform(size=(2, 20, 5)) < 0.2).astype("float32")
    layer = layers.Tempotron(3, tau=8.0, tau_s=2.0, output="v")
    v = to_numpy(layer(x))
    t = np.arange(20)
    fine = np.arange(0, 40, 0.001)
    kernel = lambda t: np.exp(-t / 8.0) - np.exp(-t / 2.0)  # noqa: E731
    k = kernel(t) / kernel(fine).max()
    trace = np.stack(
        [sum(x[:, s] * k[i - s] for s in range(i + 1)) for i in range(20)], 1
    )
    np.testing.assert_allclose(v, trace @ to_numpy(layer.kernel), rtol=1e-3, atol=1e-4)
    for output in ("v_max", "spikes"):
        again = layers.Tempotron.from_config({**layer.get_config(), "output": output})
        again.build(x.shape)
        again.set_weights(layer.get_weights())
        y = to_numpy(again(x))
        if output == "v_max":
            np.testing.assert_allclose(y, v.max(1), rtol=1e-6)
        else:
            np.testing.assert_array_equal(y.any(1), v.max(1) >= 1.0)
            assert y.sum(1).max() <= 1


def test_tempotron_loss_counts_wrong_decisions_only():
    v = np.array([[0.4, 1.3, 0.2]], "float32")
    loss = losses.TempotronLoss()
    assert abs(float(to_numpy(loss(np.array([1]), v)))) < 1e-6
    expected = 0.6**2 + 0.3**2
    np.testing.assert_allclose(to_numpy(loss(np.array([0]), v)), expected, rtol=1e-5)
