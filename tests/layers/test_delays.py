"""Delays of axons, dendrites and synapses: values, gradients, states, bad input."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import double_precision
from backend import float64
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking import utils


def inputs(*shape):
    return np.random.default_rng(0).normal(size=shape)


def kernel(delay, max_delay, kind, sigma=None):
    """The share of each step, `(max_delay + 1, ...)`, in float64."""
    steps = np.arange(max_delay + 1).reshape(-1, *(1,) * delay.ndim)
    if kind == "rounded":
        return 1.0 * (steps == np.rint(delay))
    if kind == "interpolated":
        return np.maximum(0.0, 1.0 - np.abs(steps - delay))
    gaussian = np.exp(-((steps - delay) ** 2) / (2.0 * sigma**2))
    return gaussian / gaussian.sum(0)


def delayed_dense(x, weights, bias, taps):
    y = np.zeros((*x.shape[:-1], weights.shape[1])) + bias
    for n, tap in enumerate(taps):
        y[:, n:] += x[:, : x.shape[1] - n] @ (weights * tap)
    return y


def built(shape, **options):
    layer = layers.DelayedDense(3, max_delay=4, bias_initializer="ones", **options)
    layer.build(shape)
    return layer


@pytest.mark.parametrize("kind", ["gaussian", "interpolated"])
@pytest.mark.parametrize("shape", [(2, 7, 5), (2, 5, 3, 2, 5)])
def test_synapses_delay_by_their_kernel(kind, shape):
    x = inputs(*shape)
    layer = built(shape, delay_kernel=kind)
    arrays = [to_numpy(w).astype("float64") for w in (layer.kernel, layer.bias)]
    delay = to_numpy(layer.delay).astype("float64")
    for training in (False, True):
        taps = kernel(delay, 4, kind if training else "rounded", sigma=2.0)
        np.testing.assert_allclose(
            to_numpy(layer(x.astype("float32"), training=training)),
            delayed_dense(x, *arrays, taps),
            rtol=1e-5,
            atol=1e-5,
        )


def test_gaussian_delays_of_channels():
    layer = layers.LearnableDelay(3, delay_kernel="gaussian", sigma=0.7)
    x = inputs(2, 6, 4)
    found = to_numpy(layer(x.astype("float32"), training=True))
    taps = kernel(to_numpy(layer.delay).astype("float64"), 3, "gaussian", 0.7)
    expected = np.zeros_like(x)
    for n, tap in enumerate(taps):
        expected[:, n:] += x[:, : 6 - n] * tap
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.trains
@pytest.mark.parametrize("kind", ["gaussian", "interpolated"])
def test_gradients_are_finite_differences(kind):
    x, w = inputs(2, 6, 3), inputs(2, 6, 3)
    with double_precision():
        layer = built(x.shape, delay_kernel=kind, dtype="float64")
        x, w_tensor = float64(x, w)
        found = gradients(
            lambda x: ops.sum(ops.sin(layer(x, training=True)) * w_tensor),
            [x],
            [layer.delay, layer.kernel],
        )
        x, delay, weights = (to_numpy(a) for a in (x, layer.delay, layer.kernel))

    def loss(x, delay, weights):
        y = delayed_dense(x, weights, 1.0, kernel(delay, 4, kind, 2.0))
        return np.sum(np.sin(y) * w)

    for i, gradient in enumerate(found):
        arrays = [x, delay, weights]
        for place in np.ndindex(gradient.shape):
            change = np.zeros_like(arrays[i])
            change[place] = 1e-6
            sides = [[*arrays], [*arrays]]
            sides[0][i], sides[1][i] = arrays[i] + change, arrays[i] - change
            expected = (loss(*sides[0]) - loss(*sides[1])) / 2e-6
            np.testing.assert_allclose(gradient[place], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.trains
@pytest.mark.parametrize("end", [0.0, 3.0, 2.0])
def test_whole_delays_and_those_at_the_ends_still_learn(end):
    layer = layers.LearnableDelay(3)
    x = inputs(1, 8, 1).astype("float32")
    layer.build(x.shape)
    layer.delay.assign([end])
    _, found = gradients(
        lambda x: ops.sum(layer(x, training=True) ** 2), [x], [layer.delay]
    )
    assert np.abs(found).min() > 0.1


@pytest.mark.trains
def test_delays_between_event_prop_neurons_shift_spike_times():
    """A spike that comes in later by so much makes a neuron fire later by as much."""
    with double_precision():
        options = {"tau": 12.0, "tau_s": 4.0, "dtype": "float64"}
        first, last = layers.EventPropLayer(**options), layers.EventPropLayer(**options)
        delay = layers.LearnableDelay(4, round_at_inference=False, dtype="float64")
        x = np.zeros((1, 24, 1))
        x[0, 1] = 9.0
        (x,) = float64(x)
        delay.build(x.shape)

        def time(x):
            y = last(12.0 * delay(first(x)))
            return ops.min(last.spike_times(y))

        times = []
        for steps in (1.3, 1.3 - 1e-5, 1.3 + 1e-5):
            delay.delay.assign([steps])
            times.append(float(to_numpy(time(x))))
        delay.delay.assign([1.3])
        _, found = gradients(time, [x], [delay.delay])
    np.testing.assert_allclose(found, (times[2] - times[1]) / 2e-5, rtol=1e-4)
    # In continuous time it is 1.
    np.testing.assert_allclose(found, 1.0, atol=0.1)


def test_recurrent_delays_come_a_step_later():
    x = (np.random.default_rng(0).uniform(size=(2, 12, 3)) < 0.5).astype("float32")
    back = layers.DelayedDense(3, max_delay=4, use_bias=False)
    network = layers.RecurrentGraph(
        {"neurons": layers.LIFLayer(2.0, v_threshold=0.4), "back": back},
        [
            ("input", "neurons"),
            ("neurons", "back"),
            ("back", "neurons"),
            ("neurons", "output"),
        ],
    )
    found = to_numpy(network(x))
    weights, delay = to_numpy(back.kernel), np.rint(to_numpy(back.delay)).astype(int)
    spikes, v = np.zeros((2, 12, 3)), np.zeros((2, 3))
    for t in range(12):
        current = x[:, t].astype("float64")
        for i, j in np.ndindex(3, 3):
            if t > delay[i, j]:
                current[:, j] += weights[i, j] * spikes[:, t - 1 - delay[i, j], i]
        v = v + (current - v) / 2.0
        spikes[:, t] = v >= 0.4
        v[v >= 0.4] = 0.0
    np.testing.assert_array_equal(found, spikes)


STREAMS = {
    "Delay": lambda **options: layers.Delay(3, **options),
    "LearnableDelay": lambda **options: layers.LearnableDelay(3, **options),
    "DelayedDense": lambda **options: layers.DelayedDense(2, max_delay=3, **options),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stateful_layer_goes_on_where_the_last_call_ended(name):
    x = inputs(2, 9, 4).astype("float32")
    layer = STREAMS[name](stateful=True)
    whole = to_numpy(layer(x))
    for parts in ([5, 9], [1, 3, 9]):
        layer.reset_state()
        starts = [0, *parts[:-1]]
        found = [to_numpy(layer(x[:, a:b])) for a, b in zip(starts, parts)]
        np.testing.assert_allclose(np.concatenate(found, 1), whole, atol=1e-6)
    with pytest.raises(ValueError, match="built for batches of 2"):
        layer(x[:1])
    with pytest.raises(ValueError, match="stateful=False"):
        STREAMS[name]().reset_state()
    with pytest.raises(ValueError, match="fixed batch size"):
        STREAMS[name](stateful=True)(keras.KerasTensor((None, 9, 4)))


@pytest.mark.parametrize("name", STREAMS)
def test_delays_longer_than_the_sequence_are_refused(name):
    with pytest.raises(ValueError, match="'late' delays by up to 3.*has 3"):
        STREAMS[name](name="late")(inputs(2, 3, 4))
    STREAMS[name]()(inputs(2, 4, 4))
    stepwise = layers.StepByStep([STREAMS[name]()])
    assert stepwise(inputs(2, 1, 4).astype("float32")).shape[1] == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16"])
def test_half_precision_delays_spikes_as_they_are(dtype):
    x = (np.random.default_rng(0).uniform(size=(2, 9, 4)) < 0.5).astype("float32")
    layer = layers.LearnableDelay(5, delay_kernel="gaussian", dtype=dtype)
    layer.build(x.shape)
    layer.delay.assign([2.4, 0.7, 1.0, 5.0])
    y = layer(ops.cast(x, layer.compute_dtype))
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    y = to_numpy(ops.cast(y, "float32"))
    for i, n in enumerate([2, 1, 1, 5]):
        np.testing.assert_array_equal(y[:, n:, i], x[:, : 9 - n, i])
    dense = layers.DelayedDense(3, max_delay=2, dtype=dtype)
    y = dense(ops.cast(x, dense.compute_dtype), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == dense.compute_dtype


def test_models_are_saved_with_their_delays_and_width(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((None, 4)),
            layers.DelayedDense(3, max_delay=4, sigma=1.5, kernel_constraint="non_neg"),
            layers.LearnableDelay(2, round_at_inference=False),
        ]
    )
    model.layers[0].sigma.assign(0.3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = inputs(2, 9, 4).astype("float32")
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(model(x)))
    first = again.layers[0]
    assert float(to_numpy(first.sigma)) == pytest.approx(0.3)
    assert first.get_config() == model.layers[0].get_config()
    assert first.initial_sigma == 1.5 and not again.layers[1].round_at_inference


def test_rounding_makes_training_and_inference_equal_and_reports():
    model = keras.Sequential(
        [
            keras.Input((9, 4)),
            layers.DelayedDense(3, max_delay=4, name="synapses"),
            layers.LearnableDelay(2, name="axons"),
        ]
    )
    x = inputs(5, 9, 4).astype("float32")
    for layer, seed in zip(model.layers, (1, 2)):
        delay = np.random.default_rng(seed).uniform(0, 2, layer.delay.shape)
        layer.delay.assign(delay)
    before = to_numpy(model(x, training=True))
    given = to_numpy(model.layers[0].delay)
    report = utils.round_delays(model, x, batch_size=2)
    after = to_numpy(model(x))
    np.testing.assert_array_equal(to_numpy(model.layers[0].delay), np.rint(given))
    np.testing.assert_allclose(to_numpy(model(x, training=True)), after, atol=1e-6)
    np.testing.assert_allclose(
        report.layers["synapses"], np.abs(given - np.rint(given)), atol=1e-6
    )
    assert report.output_change == pytest.approx(np.abs(before - after).max(), rel=1e-4)
    changed = np.mean(before.argmax(-1) != after.argmax(-1))
    assert report.changed_decisions == pytest.approx(changed)
    assert "synapses" in str(report) and "decisions that change" in str(report)
    again = utils.round_delays(model, x)
    assert again.output_change == again.changed_decisions == 0.0


def test_what_cannot_be_rounded_is_refused():
    with pytest.raises(ValueError, match="no learned delays"):
        utils.round_delays(keras.Sequential([keras.layers.Dense(3)]))
    layer = layers.DelayedDense(3, max_delay=2, name="synapses")
    with pytest.raises(ValueError, match="'synapses' has no delays yet"):
        utils.round_delays(layer)
    layer.build((None, None, 2))
    for value in float("nan"), -1.0, 2.5:
        layer.delay.assign(np.full((2, 3), value))
        with pytest.raises(
            ValueError, match="'synapses' must be from 0 to max_delay=2"
        ):
            utils.round_delays(layer)


@pytest.mark.trains
def test_gaussians_narrow_from_epoch_to_epoch_and_delays_are_rounded():
    model = keras.Sequential([keras.Input((6, 2)), layers.DelayedDense(2, max_delay=4)])
    model.compile("sgd", "mse")
    (layer,) = model.layers
    widths = []
    x = inputs(4, 6, 2).astype("float32")

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            widths.append(float(to_numpy(layer.sigma)))

    annealing = callbacks.DelayAnnealing(2, final_sigma=0.5)
    model.fit(x, x, epochs=4, callbacks=[annealing, Watch()], verbose=0)
    np.testing.assert_allclose(widths, [2.0, 1.0, 0.5, 0.5], rtol=1e-5)
    rounding = callbacks.DelayAnnealing(2, round_delays=True)
    model.fit(x, x, initial_epoch=2, epochs=3, callbacks=[rounding], verbose=0)
    delay = to_numpy(layer.delay)
    np.testing.assert_array_equal(delay, np.rint(delay))
    other = keras.Sequential([keras.Input((6, 2)), keras.layers.Dense(2)])
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match="nothing to anneal"):
        other.fit(x, x, callbacks=[annealing], verbose=0)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"units": 0}, ValueError, "`units` must be at least 1"),
        ({"max_delay": 0}, ValueError, "`max_delay` must be at least 1"),
        ({"max_delay": -3}, ValueError, "`max_delay` must be at least 1"),
        ({"max_delay": float("nan")}, TypeError, "`max_delay` must be an integer"),
        ({"sigma": 0.0}, ValueError, "`sigma` must be greater than 0"),
        ({"sigma": float("nan")}, ValueError, "`sigma` must be finite"),
        ({"delay_kernel": "box"}, ValueError, "'gaussian', 'interpolated'"),
        ({"delay_kernel": "interpolated", "sigma": 1.0}, ValueError, "has a width"),
        ({"round_at_inference": 1}, TypeError, "True or False"),
        ({"delays": 3}, TypeError, "no argument `delays`"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        layers.DelayedDense(**{"units": 2, **options})


def test_bad_inputs():
    with pytest.raises(ValueError, match="time"):
        layers.DelayedDense(2)(keras.KerasTensor((None, 4)))
    layer = layers.DelayedDense(2, max_delay=2)
    layer.build((None, None, 4))
    with pytest.raises(ValueError, match="axis -1"):
        layer(keras.KerasTensor((None, 9, 5)))


@pytest.mark.trains
def test_delays_stay_in_their_range_in_training():
    layer = layers.DelayedDense(1, max_delay=3)
    model = keras.Sequential([keras.Input((6, 2)), layer])
    model.compile(keras.optimizers.Adam(5.0), "mse")
    before = to_numpy(layer.delay)
    x = inputs(8, 6, 2).astype("float32")
    model.fit(x, x[..., :1], epochs=2, verbose=0)
    delay = to_numpy(layer.delay)
    assert np.all((delay >= 0.0) & (delay <= 3.0)) and np.all(delay != before)


def test_masks_and_sequences_of_other_lengths_pass():
    x = inputs(2, 9, 4).astype("float32")
    layer = layers.DelayedDense(2, max_delay=3)
    model = keras.Sequential([keras.Input((None, 4)), layer])
    np.testing.assert_allclose(
        to_numpy(model(x))[:, :5], to_numpy(model(x[:, :5])), atol=1e-6
    )
    mask = np.ones((2, 9), bool)
    assert layer.compute_mask(x, mask) is mask
    assert BACKEND == "numpy" or model.predict(x[:1], verbose=0).shape == (1, 9, 2)
