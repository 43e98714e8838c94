import warnings

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import KERAS_VERSION
from backend import gradients
from backend import since_keras
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
    spikes = to_numpy(layers.PoissonEncoder(50, clip=True)(x))[0]
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
    encoder = layers.LatencyEncoder(8, function=function, clip=True)
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
    encoder = layers.WeightedPhaseEncoder(64, clip=True)
    spikes = to_numpy(encoder(np.float32([[1.0, 2.0]])))
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


def test_population_latency_fires_at_most_once_in_half_precision():
    x = np.random.default_rng(0).uniform(0, 1, (20, 3)).astype("float32")
    for policy in ("mixed_float16", "mixed_bfloat16"):
        for timesteps in (16, 300, 1000):
            encoder = layers.PopulationEncoder(
                timesteps, neurons=6, spikes="latency", dtype=policy
            )
            spikes = to_numpy(ops.cast(encoder(x), "float32"))
            assert spikes.sum(1).max() == 1.0


def test_population_takes_the_tuning_of_spikingjelly():
    spacing = 1.0 / (6 - 2)
    mean = (np.arange(6) - 0.5) * spacing
    encoder = layers.PopulationEncoder(8, neurons=6, mean=mean, std=spacing / 1.5)
    again = layers.PopulationEncoder.from_config(encoder.get_config())
    again.build((None, 3))
    np.testing.assert_allclose(to_numpy(again.mean)[1], np.linspace(-0.125, 1.125, 6))
    np.testing.assert_allclose(to_numpy(again.std), 1 / 6, rtol=1e-3)
    with pytest.raises(ValueError, match="`mean` must broadcast"):
        layers.PopulationEncoder(8, mean=[0.0, 1.0]).build((None, 3))
    with pytest.raises(ValueError, match="`std` must be greater than 0"):
        layers.PopulationEncoder(8, std=0.0)


UNIT_INTERVAL = [
    layers.PoissonEncoder,
    layers.LatencyEncoder,
    layers.WeightedPhaseEncoder,
]
unit_interval = pytest.mark.parametrize("encoder", UNIT_INTERVAL)
REMEDY = r"Rescaling\(1 / 255\).*clip=True"
IMAGE = np.arange(256, dtype="uint8").reshape(2, 128)


@pytest.mark.parametrize("encoder", [*UNIT_INTERVAL, layers.PopulationEncoder])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_integers_are_refused(encoder, dtype):
    with pytest.raises(ValueError, match=f"{dtype}.*{REMEDY}"):
        encoder(5)(IMAGE.astype(dtype))
    with pytest.raises(ValueError, match=f"{dtype}.*{REMEDY}"):
        encoder(5)(keras.Input((3,), dtype=dtype))


@unit_interval
@pytest.mark.parametrize("values", [[0.0, 255.0], [0.0, 1.5], [-0.5, 0.5], [2.0, 2.0]])
def test_values_out_of_range_are_refused(encoder, values):
    message = f"from {values[0]:g} to {values[1]:g}.*{REMEDY}"
    with pytest.raises(ValueError, match=message):
        encoder(5)(np.float32([values]))


@unit_interval
def test_images_of_0_to_255_are_refused_where_values_are_known(encoder):
    model = keras.Sequential([keras.Input((128,)), encoder(5)])
    if BACKEND == "jax":  # compiled functions cannot tell
        assert model.predict(IMAGE, verbose=0).shape == (2, 5, 128)
        return
    with pytest.raises(Exception, match=REMEDY):
        model.predict(IMAGE, verbose=0)
    scaled = [keras.Input((128,)), keras.layers.Rescaling(1 / 255), encoder(5)]
    assert keras.Sequential(scaled).predict(IMAGE, verbose=0).shape == (2, 5, 128)


@unit_interval
def test_what_is_in_range_is_taken(encoder):
    scaled = keras.layers.Rescaling(1 / 255, dtype="mixed_bfloat16")(IMAGE)
    for x in (
        scaled,
        np.array([[True, False]]),
        np.float32([[0.0, 1.0, np.nan]]),
        np.float64([[0.0, 1.0 + 1e-6, -1e-6]]),
        np.zeros((0, 3), "float32"),
    ):
        assert encoder(5)(x).shape == (x.shape[0], 5, x.shape[1])


@unit_interval
def test_clip_takes_everything(encoder):
    made = encoder(5, clip=True)
    assert type(made).from_config(made.get_config()).clip
    extremes = to_numpy(encoder(5, clip=True)(IMAGE[:1, :2]))
    expected = to_numpy(encoder(5)(np.float32([[0.0, 1.0]])))
    np.testing.assert_array_equal(extremes, expected)
    assert made(keras.Input((3,), dtype="uint8")).shape == (None, 5, 3)


def test_population_takes_integers_in_its_range():
    encoder = layers.PopulationEncoder(5, x_max=255.0)
    assert to_numpy(encoder(IMAGE)).any()


@pytest.mark.trains
def test_layers_before_a_poisson_encoder_learn_on_request():
    x = np.float32([[0.2, 0.7]])
    weight = np.random.default_rng(0).normal(size=(1, 6, 2)).astype("float32")
    for straight_through in (True, False):
        encoder = layers.PoissonEncoder(6, seed=1, straight_through=straight_through)
        assert set(np.unique(to_numpy(encoder(x)))) <= {0.0, 1.0}

        def loss(x, encoder=encoder):
            return ops.sum(ops.multiply(encoder(x), weight)) + ops.sum(x)

        (found,) = gradients(loss, [x])
        passed = weight.sum(1) if straight_through else 0.0
        np.testing.assert_allclose(found, 1.0 + passed * np.ones((1, 2)), rtol=1e-5)


NO_GRADIENT = [
    lambda: layers.PoissonEncoder(4),
    lambda: layers.LatencyEncoder(4),
    lambda: layers.WeightedPhaseEncoder(4),
    lambda: layers.PopulationEncoder(4, spikes="latency"),
]


@pytest.mark.parametrize("make", NO_GRADIENT)
def test_weights_before_an_encoder_without_gradient_are_told_of_once(make):
    encoder, inputs = make(), keras.Input((3,))
    hidden = keras.layers.ReLU()(keras.layers.Dense(2)(inputs))
    with pytest.warns(UserWarning, match="will not learn") as told:
        encoder(hidden)
        encoder(hidden)
    assert len(told) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: [keras.layers.Rescaling(0.5), layers.PoissonEncoder(4)],
        lambda: [
            keras.layers.Dense(2, trainable=False),
            layers.LatencyEncoder(4),
            keras.layers.Dense(2),
        ],
        lambda: [
            keras.layers.Dense(2),
            layers.PoissonEncoder(4, straight_through=True),
        ],
        lambda: [keras.layers.Dense(2), layers.DirectEncoder(4)],
        lambda: [keras.layers.Dense(2), layers.PopulationEncoder(4)],
    ],
)
def test_no_warning_where_nothing_is_lost(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras.Sequential([keras.Input((3,)), *make()])


@pytest.mark.skipif(BACKEND != "torch", reason="others export random numbers")
@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.PoissonEncoder(4),
        lambda: layers.PopulationEncoder(4, spikes="poisson"),
    ],
)
def test_exports_of_random_encoders_say_why_not(make, tmp_path):
    pytest.importorskip("onnxscript")
    model = keras.Sequential([keras.Input((3,)), make(), layers.LIFLayer()])
    model(np.zeros((1, 3), "float32"))
    # Older Keras has PyTorch wrap the error in one of its own.
    kind = NotImplementedError if KERAS_VERSION >= (3, 14) else RuntimeError
    with pytest.raises(kind, match="draws random numbers.*exported"):
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)


@since_keras(3, 15)
@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile")
@pytest.mark.parametrize("make", [MAKERS[0], *MAKERS[2:]])
def test_encoders_are_whole_graphs(make):
    import torch

    encoder, x = make(), torch.rand(2, 3)
    expected = encoder(x)
    compiled = torch.compile(encoder, fullgraph=True, backend="eager")
    np.testing.assert_array_equal(to_numpy(compiled(x)), to_numpy(expected))


def test_own_encoder():
    class Negative(layers.Encoder):
        def encode(self, x):
            return ops.repeat(ops.expand_dims(-x, 1), self.timesteps, axis=1)

    np.testing.assert_array_equal(
        to_numpy(Negative(2)(np.ones((1, 1)))), -np.ones((1, 2, 1))
    )
    with pytest.raises(NotImplementedError):
        layers.Encoder(2)(np.ones((1, 1)))
