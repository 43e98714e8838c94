import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import initializers
from keras_spiking import layers


@pytest.mark.parametrize(
    "options",
    [
        {"tau": 2.0},
        {"tau": 5.0, "decay_input": False, "firing_rate": 0.05},
        {"tau": 3.0, "tau_synapse": 4.0, "mean": 0.3, "xi": 2.0, "v_threshold": 1.5},
        {"tau": 1.0, "mean": -0.2, "share": 0.6},
    ],
)
def test_membrane_potentials_have_the_moments_that_were_asked_for(options):
    """A simulation in NumPy: Poisson spikes, a filter, a membrane without reset."""
    rng = np.random.default_rng(0)
    inputs, neurons, steps = 400, 500, 60
    initializer = initializers.FluctuationDriven(seed=1, **options)
    w = to_numpy(initializer((inputs, neurons))).astype("float64")
    rate = options.get("firing_rate", 0.1)
    tau, gain = options["tau"], 1.0
    if options.get("decay_input", True):
        gain = 1.0 / tau
    synapse = options.get("tau_synapse", 1.0)
    # The published equations are of Poisson spikes, several a step.
    current, potential = np.zeros(neurons), np.zeros(neurons)
    filtered, variances, means = np.zeros(inputs), [], []
    # Fluctuations in time around each neuron's own mean.
    potentials = []
    for _ in range(steps + 400):
        filtered = filtered * (1.0 - 1.0 / synapse) + rng.poisson(rate, inputs)
        current = filtered @ w
        potential = potential * (1.0 - 1.0 / tau) + gain * current
        potentials.append(potential)
    potentials = np.array(potentials[60:])
    means, variances = potentials.mean(0), potentials.var(0)
    mean = options.get("mean", 0.0)
    distance = (options.get("v_threshold", 1.0) - mean) / options.get("xi", 1.0)
    tolerance = 4.0 * means.std() / np.sqrt(neurons)
    assert abs(means.mean() - mean) < tolerance
    share = options.get("share", 1.0)
    np.testing.assert_allclose(variances.mean(), share * distance**2, rtol=0.1)


def test_kernels_of_convolutions_count_their_taps():
    initializer = initializers.FluctuationDriven(seed=0)
    kernel = to_numpy(initializer((3, 3, 8, 64)))
    dense = initializer.moments((72, 10))
    np.testing.assert_allclose(initializer.moments((3, 3, 8, 64)), dense)
    np.testing.assert_allclose(kernel.std(), dense[1], rtol=0.05)


def test_layers_behind_each_other_fire():
    x = np.random.default_rng(0).random((8, 20, 200)) < 0.1
    x = x.astype("float32")
    for seed in range(4):
        kernel = initializers.FluctuationDriven(tau=2.0, firing_rate=0.1, seed=seed)
        x = layers.LIFLayer(tau=2.0)(
            keras.layers.Dense(200, kernel_initializer=kernel)(x)
        )
        assert 0.03 < to_numpy(x).mean() < 0.3


def test_configurations_round_trip(tmp_path):
    kernel = initializers.FluctuationDriven(tau=3.0, mean=0.2, xi=2.0, seed=3)
    restored = initializers.FluctuationDriven.from_config(kernel.get_config())
    assert restored.get_config() == kernel.get_config()
    np.testing.assert_array_equal(to_numpy(kernel((9, 4))), to_numpy(restored((9, 4))))
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, kernel_initializer=kernel)]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    config = loaded.layers[0].kernel_initializer.get_config()
    assert config == kernel.get_config()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tau": 0.5}, "`tau` must be at least 1"),
        ({"firing_rate": 0.0}, "`firing_rate` must be greater than 0"),
        ({"mean": 1.0}, "`mean` must be less than 1"),
        ({"xi": -1.0}, "`xi` must be greater than 0"),
        ({"share": 1.5}, "`share` must be at most 1"),
        ({"tau_synapse": 0.0}, "`tau_synapse` must be at least 1"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        initializers.FluctuationDriven(**options)


def test_a_mean_that_leaves_no_room():
    kernel = initializers.FluctuationDriven(mean=0.9, xi=3.0)
    with pytest.raises(ValueError, match="leaves no room.*Received: mean=0.9"):
        kernel((2, 3))
