"""Time steps in parallel: everything as in the loop over time."""

import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

import keras_spiking
from keras_spiking import layers


@pytest.fixture(autouse=True)
def without_kernels():
    keras_spiking.config.set_fused("never")
    yield
    keras_spiking.config.set_fused("auto")


CONFIGURATIONS = {
    "default": {},
    "soft reset": dict(v_reset=None, tau=3.0, decay_input=False),
    "detached": dict(tau=4.0, detach_reset=True, decay_input=False),
    "integrates": dict(tau=1e9, decay_input=False),
    "slow": dict(tau=50.0, v_reset=-0.25, decay_input=False),
    "arrays": dict(tau=np.array([1.0, 2.0, 8.0]), v_threshold=np.ones(3) / 2),
}


def both(chunk_length=8, **arguments):
    arguments = dict(surrogate="atan", **arguments)
    parallel = layers.ParallelLIFLayer(chunk_length=chunk_length, **arguments)
    return parallel, layers.LIFLayer(**arguments)


def inputs(seed=0, timesteps=83, grid=None):
    x = np.random.default_rng(seed).normal(0.4, 1.0, (4, timesteps, 3))
    if grid is not None:
        x = np.round(x * grid) / grid
    return x.astype("float32")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_spikes_and_final_states_equal_the_sequential_ones(name, seed):
    parallel, sequential = both(return_state=True, **CONFIGURATIONS[name])
    x = inputs(seed)
    spikes, v = to_numpy(parallel(x))
    expected, expected_v = to_numpy(sequential(x))
    assert 0.02 < spikes.mean() < 0.9
    np.testing.assert_array_equal(spikes, expected)
    np.testing.assert_allclose(v, expected_v, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("v_reset", [0.0, None])
def test_potentials_exactly_at_the_threshold_fire(v_reset):
    parallel, sequential = both(tau=2.0, v_threshold=0.5, v_reset=v_reset)
    x = inputs(grid=2, timesteps=40)
    x[0, ::3] = 1.0  # from rest, that is exactly the threshold
    spikes = to_numpy(parallel(x))
    assert spikes[0, 0].all()
    np.testing.assert_array_equal(spikes, to_numpy(sequential(x)))


def test_initial_states_and_masks_are_those_of_the_loop():
    parallel, sequential = both(return_state=True, tau=5.0, decay_input=False)
    x = inputs()
    v = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    mask = np.random.default_rng(2).uniform(size=(4, 83)) < 0.7
    found = to_numpy(parallel(x, initial_state=v, mask=mask))
    expected = to_numpy(sequential(x, initial_state=v, mask=mask))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6, atol=1e-6)


@pytest.mark.trains
@pytest.mark.parametrize("name", ["default", "soft reset", "detached", "slow"])
def test_gradients_equal_those_of_backpropagation_through_time(name):
    configuration = {**CONFIGURATIONS[name], "learnable": {"tau": "channel"}}
    x = inputs()
    v = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    weight = ops.convert_to_tensor(inputs(seed=2))
    found = []
    for layer in both(return_state=True, **configuration):
        layer.build(x.shape)

        def loss(x, v, layer=layer):
            spikes, final = layer(x, initial_state=v)
            return ops.sum(spikes * weight) + ops.sum(ops.square(final))

        found.append(gradients(loss, [x, v], layer.trainable_weights))
    for parallel, sequential in zip(*found):
        scale = np.abs(sequential).max()
        assert scale > 1e-3
        np.testing.assert_allclose(parallel, sequential, rtol=1e-4, atol=1e-5 * scale)


def test_a_chunk_has_at_least_one_step():
    with pytest.raises(ValueError, match="Received: chunk_length=0"):
        layers.ParallelLIFLayer(chunk_length=0)


@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("overflow", [np.inf, -np.inf])
def test_overflows_are_as_in_the_loop(v_reset, overflow):
    parallel, sequential = both(v_reset=v_reset, return_state=True)
    x = inputs(timesteps=40)
    x[0, 13], x[1, 7, 1] = overflow, -overflow
    for found, expected in zip(to_numpy(parallel(x)), to_numpy(sequential(x))):
        np.testing.assert_array_equal(found, expected)
        assert np.all(np.isfinite(found))


@pytest.mark.parametrize("chunk_length", [2.5, True, "8"])
def test_chunks_have_a_whole_number_of_steps(chunk_length):
    with pytest.raises(TypeError, match="`chunk_length` must be an integer"):
        layers.ParallelLIFLayer(chunk_length=chunk_length)
