"""What is wrong with an argument, what it was, and what to do instead."""

import pathlib
import re
import tomllib

import keras
import numpy as np
import pytest
from backend import BACKEND

from keras_spiking import layers
from keras_spiking import surrogates

NEURONS = [layers.IFLayer, layers.LIFLayer, layers.ParametricLIFLayer, layers.LILayer]
ENCODERS = [
    layers.DirectEncoder,
    layers.PoissonEncoder,
    layers.LatencyEncoder,
    layers.WeightedPhaseEncoder,
    layers.PeriodicEncoder,
    layers.PopulationEncoder,
]


def draw(*shape):
    return np.random.default_rng(0).uniform(0.0, 1.0, shape).astype("float32")


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("symbolic", [True, False])
def test_inputs_without_a_time_axis(neuron, symbolic):
    x = keras.Input((3,)) if symbolic else draw(2, 3)
    message = r"time axis.*\((2|None), 3\).*DirectEncoder, PoissonEncoder"
    with pytest.raises(ValueError, match=message):
        neuron()(x)


@pytest.mark.parametrize("neuron", NEURONS)
def test_inputs_without_steps(neuron):
    with pytest.raises(ValueError, match=r"at least one time.*\(2, 0, 3\)"):
        neuron()(np.zeros((2, 0, 3), "float32"))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("timesteps", [0, -2])
def test_too_few_timesteps(encoder, timesteps):
    message = f"`timesteps` must be at least 1.*timesteps={timesteps}"
    with pytest.raises(ValueError, match=message):
        encoder(timesteps)


@pytest.mark.parametrize("timesteps", [2.5, "10", None, True])
def test_timesteps_that_are_no_integer(timesteps):
    with pytest.raises(TypeError, match=f"timesteps={timesteps!r}"):
        layers.PoissonEncoder(timesteps)


@pytest.mark.parametrize("tau", [0.5, 0.0, -1.0, [2.0, 0.5]])
@pytest.mark.parametrize("neuron", [layers.LIFLayer, layers.LILayer])
def test_time_constants_below_one(neuron, tau):
    with pytest.raises(ValueError, match=r"`tau` must be at least 1.*tau="):
        neuron(tau=tau)


@pytest.mark.parametrize("init_tau", [1.0, 0.5, [2.0, 1.0]])
def test_initial_time_constants_not_above_one(init_tau):
    with pytest.raises(ValueError, match=r"`init_tau` must be greater than 1"):
        layers.ParametricLIFLayer(init_tau)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["tau", "v_threshold", "v_reset"])
def test_parameters_that_are_not_finite(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be finite.*{name}={value}"):
        layers.LIFLayer(**{name: value})


@pytest.mark.parametrize("value", [-0.1, [0.5, -1.0]])
@pytest.mark.parametrize("neuron", NEURONS[:3])
def test_negative_thresholds(neuron, value):
    with pytest.raises(ValueError, match="`v_threshold` must be at least 0"):
        neuron(v_threshold=value)


@pytest.mark.parametrize("value", ["high", None, {}])
def test_parameters_that_are_no_numbers(value):
    with pytest.raises((TypeError, ValueError), match="v_threshold"):
        layers.LIFLayer(v_threshold=value)


def test_unknown_surrogates_list_those_that_exist():
    with pytest.raises(ValueError) as error:
        layers.LIFLayer(surrogate="sigmoidal")
    assert "surrogate='sigmoidal'" in str(error.value)
    assert all(name in str(error.value) for name in surrogates.names())


@pytest.mark.parametrize("surrogate", [3, None, 0.5, True, [], float])
def test_what_is_no_surrogate(surrogate):
    with pytest.raises(TypeError, match="surrogate="):
        layers.LIFLayer(surrogate=surrogate)


@pytest.mark.parametrize("surrogate", [{}, {"class_name": "Dense"}, {"alpha": 2.0}])
def test_configurations_of_no_surrogate(surrogate):
    with pytest.raises(ValueError, match="surrogate="):
        layers.LIFLayer(surrogate=surrogate)


@pytest.mark.parametrize("neuron", NEURONS)
def test_stateful_needs_a_fixed_batch(neuron):
    with pytest.raises(ValueError, match="fixed batch.*batch_shape.*stateful=False"):
        neuron(stateful=True)(keras.Input((5, 3)))


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_batch_of_another_size_for_a_stateful_layer(neuron):
    layer = neuron(stateful=True)
    layer(draw(4, 5, 3))
    with pytest.raises(ValueError, match="batches of 4.*batch of 3.*stateful=False"):
        layer(draw(3, 5, 3))


def test_a_smaller_last_batch_in_predict():
    inputs = keras.Input(batch_shape=(4, 5, 3))
    model = keras.Model(inputs, layers.LIFLayer(stateful=True)(inputs))
    # TensorFlow's graph has no batch size before it runs, and errors of its own.
    error = Exception if BACKEND == "tensorflow" else ValueError
    with pytest.raises(error, match="drop the last, smaller batch"):
        model.predict(draw(6, 5, 3), batch_size=4, verbose=0)


def test_reset_of_a_layer_without_state():
    with pytest.raises(ValueError, match="stateful=False"):
        layers.LIFLayer().reset_state()


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("shape", [(2, 4), (3, 5), (2, 5, 1), (2,)])
def test_masks_of_another_shape(neuron, shape):
    with pytest.raises(ValueError, match=r"`mask`.*\(2, 5\).*Received"):
        neuron()(draw(2, 5, 3), mask=np.ones(shape, bool))


@pytest.mark.parametrize("layer", [layers.FiringRate, layers.SpikeCount])
@pytest.mark.parametrize("shape", [(2, 4), (3, 5), (2,)])
def test_masks_of_another_shape_for_readouts(layer, shape):
    with pytest.raises(ValueError, match=r"`mask`.*\(2, 5\).*Received"):
        layer()(draw(2, 5, 3), mask=np.ones(shape, bool))


@pytest.mark.parametrize("layer", [layers.FiringRate, layers.SpikeCount])
def test_readouts_of_inputs_without_a_time_axis(layer):
    with pytest.raises(ValueError, match=r"\(batch, time.*\(2, 3\)"):
        layer()(draw(2, 3))


def test_masks_of_another_shape_for_step_by_step():
    network = layers.StepByStep(layers.LIFLayer())
    with pytest.raises(ValueError, match=r"`mask`.*\(2, 5\).*Received"):
        network(draw(2, 5, 3), mask=np.ones((2, 4), bool))


@pytest.mark.parametrize("states", [1, 3])
def test_initial_states_of_another_number_or_shape(states):
    x = draw(2, 5, 3)
    if states == 1:
        wrong = draw(2, 4)
    else:
        wrong = [draw(2, 3)] * states
    with pytest.raises(ValueError, match=r"`initial_state`.*\(2, 3\).*Received"):
        layers.LIFLayer()(x, initial_state=wrong)


@pytest.mark.parametrize("bits", [0, 65, 2.5])
def test_phases_of_bad_length(bits):
    with pytest.raises((TypeError, ValueError), match=f"`bits`.*bits={bits}"):
        layers.WeightedPhaseEncoder(8, bits=bits)


def test_bad_choices_list_the_good_ones():
    with pytest.raises(ValueError, match="'linear', 'log'.*function='cubic'"):
        layers.LatencyEncoder(8, function="cubic")
    with pytest.raises(ValueError, match="'max'.*reduce='median'"):
        layers.LILayer(reduce="median")
    with pytest.raises(ValueError, match="data_format='channels_middle'"):
        layers.LIFLayer(data_format="channels_middle")
    with pytest.raises(ValueError, match="'latency'.*spikes='burst'"):
        layers.PopulationEncoder(8, spikes="burst")


def test_population_ranges():
    with pytest.raises(ValueError, match="x_min=1.0, x_max=0.0"):
        layers.PopulationEncoder(8, x_min=1.0, x_max=0.0)
    with pytest.raises(ValueError, match="neurons=1"):
        layers.PopulationEncoder(8, neurons=1)


def test_a_period_of_unknown_length():
    with pytest.raises(ValueError, match=r"known.*\(None, None, 3\)"):
        layers.PeriodicEncoder(8)(keras.Input((None, 3)))


ROOT = pathlib.Path(__file__).parent.parent
# One of each kind is in an extra.
NO_EXTRA = {"tensorflow-cpu", "cupy-cuda13x", "openvino"}


@pytest.mark.once
def test_hints_name_packages_that_can_be_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {
        re.match(r"[\w-]+", requirement)[0].lower()
        for requirements in project["optional-dependencies"].values()
        for requirement in requirements
    }
    files = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.rglob("guides/*.py")]
    hinted = set()
    for path in [*files, *ROOT.glob("keras_spiking/**/*.py")]:
        text = path.read_text("utf-8")
        assert "keras3-spiking[" not in text, path
        text = re.sub(r'"\s+f?"', "", text)  # one string over two lines
        hinted |= set(re.findall(r"pip install ([a-z][\w-]+)", text))
    assert {"matplotlib", "jax", "nir", "tensorboard"} <= hinted
    assert hinted <= extras | NO_EXTRA
