import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from golden import cases
from golden import load
from keras import ops

from keras_spiking import layers

ENCODERS = {
    "latency_linear": layers.LatencyEncoder,
    "latency_log": layers.LatencyEncoder,
    "weighted_phase": layers.WeightedPhaseEncoder,
}


@pytest.mark.parametrize("config, file", cases("encoders/"))
def test_spikes_equal_spikingjelly(request, config, file):
    golden = load(file)
    config = {"timesteps": golden["spikes"].shape[1], **config}
    encoder = ENCODERS[request.node.callspec.id](**config)
    np.testing.assert_array_equal(to_numpy(encoder(golden["x"])), golden["spikes"])


MAKERS = [
    lambda: layers.DirectEncoder(5),
    lambda: layers.PoissonEncoder(5),
    lambda: layers.LatencyEncoder(5),
    lambda: layers.LatencyEncoder(5, function="log"),
    lambda: layers.WeightedPhaseEncoder(5),
    lambda: layers.WeightedPhaseEncoder(5, bits=3),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("shape", [(2, 3), (2,), (2, 4, 3, 1)])
def test_encoders_add_the_time_axis(make, shape):
    x = np.random.default_rng(0).uniform(0, 1, shape).astype("float32")
    expected = (2, 5, *shape[1:])
    assert tuple(make()(x).shape) == expected
    assert make()(keras.Input(shape[1:])).shape == (None, *expected[1:])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_spikes_have_the_compute_dtype(make, policy):
    encoder = make()
    encoder.dtype_policy = policy
    y = encoder(np.full((2, 3), 0.5, "float32"))
    assert keras.backend.standardize_dtype(y.dtype) == encoder.compute_dtype


def test_poisson_rate_is_the_input():
    p = np.linspace(0.0, 1.0, 11).astype("float32")
    spikes = to_numpy(layers.PoissonEncoder(2000, seed=3)(p[None]))
    deviation = np.sqrt(p * (1 - p) / 2000)
    assert np.isin(spikes, [0.0, 1.0]).all()
    assert (np.abs(spikes.mean((0, 1)) - p) <= 4.5 * deviation).all()


def test_poisson_spikes_are_independent_over_time_and_samples():
    spikes = to_numpy(layers.PoissonEncoder(1000, seed=3)(np.full((8, 4), 0.5)))
    centred = spikes - 0.5
    over_time = np.mean(centred[:, 1:] * centred[:, :-1])
    over_samples = np.mean(centred[1:] * centred[:-1])
    over_features = np.mean(centred[..., 1:] * centred[..., :-1])
    bound = 4.5 * 0.25 / np.sqrt(0.75 * spikes.size)
    for correlation in (over_time, over_samples, over_features):
        assert abs(correlation) < bound


def test_poisson_differs_from_call_to_call_but_not_from_seed_to_seed():
    x = np.full((2, 50), 0.5, "float32")
    encoder = layers.PoissonEncoder(10, seed=5)
    first, second = to_numpy([encoder(x), encoder(x)])
    again = to_numpy(layers.PoissonEncoder(10, seed=5)(x))
    other = to_numpy(layers.PoissonEncoder(10, seed=6)(x))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any() and (first != other).any()
    assert (first[0] != first[1]).any()


def test_set_random_seed_makes_poisson_reproducible():
    x = np.full((2, 50), 0.5, "float32")

    def encode():
        keras.utils.set_random_seed(7)
        return to_numpy(layers.PoissonEncoder(10)(x))

    np.testing.assert_array_equal(encode(), encode())


def test_poisson_differs_between_batches_of_predict():
    model = keras.Sequential([layers.PoissonEncoder(10, seed=1)])
    spikes = model.predict(np.full((4, 50), 0.5), batch_size=2, verbose=0)
    assert (spikes[:2] != spikes[2:]).any()


def test_poisson_clips_and_never_fires_for_nan():
    x = np.float32([[-0.5, 1.5, np.nan, 0.0, 1.0]])
    spikes = to_numpy(layers.PoissonEncoder(50)(x))[0]
    np.testing.assert_array_equal(spikes.mean(0), [0, 1, 0, 0, 1])


@pytest.mark.parametrize("function", ["linear", "log"])
@pytest.mark.parametrize("timesteps", [1, 2, 20, 200])
def test_latency_gives_every_input_one_spike_and_larger_ones_an_earlier(
    function, timesteps
):
    x = np.linspace(0.0, 1.0, 33, dtype="float32")[None]
    spikes = to_numpy(layers.LatencyEncoder(timesteps, function=function)(x))[0]
    np.testing.assert_array_equal(spikes.sum(0), 1.0)
    times = spikes.argmax(0)
    assert (np.diff(times) <= 0).all()
    assert times[0] == timesteps - 1 and times[-1] == 0


@pytest.mark.parametrize("function", ["linear", "log"])
def test_latency_clips(function):
    encoder = layers.LatencyEncoder(8, function=function)
    outside, inside = encoder(np.float32([[-3.0, 2.0]])), encoder(np.float32([[0, 1]]))
    np.testing.assert_array_equal(to_numpy(outside), to_numpy(inside))


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_phases_add_up_to_the_input_and_repeat(bits):
    x = np.arange(2**bits, dtype="float32")[None] / 2**bits
    spikes = to_numpy(layers.WeightedPhaseEncoder(3 * bits, bits=bits)(x))[0]
    worth = 2.0 ** -(1 + np.arange(bits))
    for period in np.split(spikes, 3):
        np.testing.assert_array_equal(worth @ period, x[0])


def test_phases_of_one_are_all_spikes():
    spikes = to_numpy(layers.WeightedPhaseEncoder(64)(np.float32([[1.0, 2.0]])))
    assert spikes[0, :24].all() and spikes.shape == (1, 64, 2)


def test_periodic_encoder_repeats():
    pattern = np.random.default_rng(0).integers(0, 2, (2, 3, 4)).astype("float32")
    spikes = to_numpy(layers.PeriodicEncoder(8)(pattern))
    expected = np.concatenate([pattern, pattern, pattern], 1)[:, :8]
    np.testing.assert_array_equal(spikes, expected)
    assert layers.PeriodicEncoder(8)(keras.Input((3, 4))).shape == (None, 8, 4)


def test_direct_encoder_presents_the_input():
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    y = to_numpy(layers.DirectEncoder(4)(x))
    np.testing.assert_array_equal(y, np.stack([x] * 4, 1))


def responses(x, encoder):
    mean, std = to_numpy([encoder.mean.value, encoder.std.value])
    return np.exp(-((x[..., None] - mean) ** 2) / (2 * std**2)).reshape(
        *x.shape[:-1], -1
    )


def test_population_fires_in_proportion_to_the_gaussian_response():
    x = np.random.default_rng(0).uniform(-1, 1, (3, 2)).astype("float32")
    encoder = layers.PopulationEncoder(100, neurons=6, x_min=-1.0)
    spikes = to_numpy(encoder(x))
    assert spikes.shape == (3, 100, 12)
    np.testing.assert_allclose(spikes.mean(1), responses(x, encoder), atol=0.012)


def test_population_draws_in_proportion_to_the_gaussian_response():
    x = np.random.default_rng(0).uniform(0, 1, (2, 2)).astype("float32")
    encoder = layers.PopulationEncoder(2000, neurons=4, spikes="poisson", seed=2)
    encoder.build(x.shape)
    p = responses(x, encoder)
    error = np.abs(to_numpy(encoder(x)).mean(1) - p)
    assert (error <= 4.5 * np.sqrt(p * (1 - p) / 2000) + 1e-3).all()


def test_population_latency_fires_once_and_earlier_for_a_larger_response():
    x = np.random.default_rng(0).uniform(0, 1, (3, 2)).astype("float32")
    encoder = layers.PopulationEncoder(16, neurons=5, spikes="latency")
    spikes = to_numpy(encoder(x))
    times = np.round((1 - responses(x, encoder)) * 16)
    for t in range(16):
        np.testing.assert_array_equal(spikes[:, t], times == t)


@pytest.mark.trains
@pytest.mark.parametrize("spikes", ["deterministic", "poisson"])
def test_population_learns_its_receptive_fields(spikes):
    x = np.random.default_rng(0).uniform(0, 1, (4, 2)).astype("float32")
    encoder = layers.PopulationEncoder(8, neurons=4, spikes=spikes, seed=1)
    encoder.build(x.shape)
    _, *grads = gradients(
        lambda x: ops.sum(ops.square(encoder(x))), [x], encoder.trainable_weights
    )
    assert len(grads) == 2
    for gradient in grads:
        assert gradient.shape == (2, 4) and (gradient != 0).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("spikes", ["deterministic", "poisson", "latency"])
def test_population_runs_in_mixed_precision(policy, spikes):
    encoder = layers.PopulationEncoder(8, spikes=spikes, dtype=policy)
    y = encoder(np.full((2, 3), 0.5, "float32"))
    assert keras.backend.standardize_dtype(y.dtype) == encoder.compute_dtype
    assert set(np.unique(to_numpy(ops.cast(y, "float32")))) <= {0.0, 1.0}


def test_encoders_take_integers():
    x = np.array([[0, 1, 1, 0]])
    for make in MAKERS:
        expected = to_numpy(make()(x.astype("float32"))).shape
        assert to_numpy(make()(x)).shape == expected
    y = to_numpy(layers.LatencyEncoder(4)(x))
    np.testing.assert_array_equal(y, to_numpy(layers.LatencyEncoder(4)(x * 1.0)))


def test_own_encoder():
    class Negative(layers.Encoder):
        def encode(self, x):
            return ops.repeat(ops.expand_dims(-x, 1), self.timesteps, axis=1)

    np.testing.assert_array_equal(
        to_numpy(Negative(2)(np.ones((1, 1)))), -np.ones((1, 2, 1))
    )
    with pytest.raises(NotImplementedError):
        layers.Encoder(2)(np.ones((1, 1)))
