import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking.ops import time_loop
from keras_spiking.ops.reduce import reduce_time
from keras_spiking.ops.time_loop import hold

# Below, at and beyond where backends stop unrolling.
STEPS = [1, 2, 8, 9, 16, 17, 40]


def decay(x, states):
    (v,) = states
    v = 0.5 * v + x
    return 2.0 * v, (v,)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("timesteps", STEPS)
def test_steps_follow_each_other(timesteps, unroll):
    x, v = draw(2, timesteps, 3), draw(2, 3)
    outputs, (last,) = time_loop(decay, ops.array(x), (ops.array(v),), unroll=unroll)
    expected = []
    for t in range(timesteps):
        v = 0.5 * v + x[:, t]
        expected.append(2.0 * v)
    np.testing.assert_allclose(to_numpy(outputs), np.stack(expected, 1), rtol=1e-6)
    np.testing.assert_allclose(to_numpy(last), v, rtol=1e-6)


@pytest.mark.trains
@pytest.mark.parametrize("timesteps", STEPS)
def test_gradient_of_a_linear_loop(timesteps):
    weight = draw(2, timesteps, 3)

    def loss(x):
        outputs, _ = time_loop(decay, x, (ops.zeros((2, 3)),))
        return ops.sum(ops.multiply(outputs, weight))

    (gradient,) = gradients(loss, [draw(2, timesteps, 3)])
    expected, later = np.zeros_like(gradient), 0.0
    for t in reversed(range(timesteps)):
        later = 2.0 * weight[:, t] + 0.5 * later
        expected[:, t] = later
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("timesteps", [3, 40])
def test_structures_of_inputs_states_and_outputs(timesteps):
    a, b = draw(2, timesteps, 3), np.arange(2 * timesteps).reshape(2, timesteps)

    def step(x, states):
        return {"a": x["a"], "b": x["b"] + 1}, {"sum": states["sum"] + x["a"]}

    outputs, states = time_loop(
        step,
        {"a": ops.array(a), "b": ops.array(b, "int32")},
        {"sum": ops.zeros((2, 3))},
    )
    np.testing.assert_array_equal(to_numpy(outputs["a"]), a)
    np.testing.assert_array_equal(to_numpy(outputs["b"]), b + 1)
    np.testing.assert_allclose(to_numpy(states["sum"]), a.sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("timesteps", [1, 3, 40])
def test_without_inputs_the_number_of_steps_is_told(timesteps):
    def step(_, count):
        return count, count + 1

    outputs, count = time_loop(step, (), ops.zeros((2,), "int32"), timesteps)
    np.testing.assert_array_equal(to_numpy(outputs), [range(timesteps)] * 2)
    assert (to_numpy(count) == timesteps).all()


def test_steps_may_return_nothing():
    _, total = time_loop(
        lambda x, total: ((), total + x), ops.ones((2, 40, 3)), ops.zeros((2, 3))
    )
    assert (to_numpy(total) == 40).all()


@pytest.mark.trains
@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("timesteps", [5, 40])
def test_loops_train_with_known_and_unknown_lengths(timesteps, jit_compile):
    if keras.config.backend() == "torch" and jit_compile:
        pytest.skip("TorchInductor takes long: tests/test_training.py has one case")

    class Loop(keras.layers.Layer):
        def build(self, shape):
            self.rate = self.add_weight(shape=(3,), initializer="ones")

        def call(self, x):
            rate = ops.convert_to_tensor(self.rate)
            return time_loop(
                lambda x, v: (v * rate + x,) * 2, x, ops.zeros_like(x[:, 0])
            )[0]

        def compute_output_shape(self, shape):
            return shape

    results = []
    for steps in (timesteps, None):
        model = keras.Sequential([keras.Input((steps, 3)), Loop()])
        model.compile("sgd", "mse", jit_compile=jit_compile)
        x = draw(4, timesteps, 3) / timesteps
        history = model.fit(x, x, epochs=2, verbose=0)
        results.append(history.history["loss"])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)
    assert results[0][1] < results[0][0]


def test_hold_selects_samples():
    new, old = draw(3, 2, 2), draw(3, 2, 2) + 1
    mask = np.array([True, False, True])
    (held,) = to_numpy(hold(ops.array(mask), (ops.array(new),), (ops.array(old),)))
    np.testing.assert_array_equal(held, np.where(mask[:, None, None], new, old))


REDUCTIONS = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "last": lambda x, axis: x[-1],
    "max_abs": lambda x, axis: np.take_along_axis(x, np.abs(x).argmax(0)[None], 0)[0],
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_reductions_over_the_unmasked_steps(reduce, masked):
    x = draw(3, 8, 4)
    mask = np.random.default_rng(0).integers(0, 2, (3, 8)).astype(bool)
    mask[:, 4] = True
    given = ops.array(mask) if masked else None
    result = to_numpy(reduce_time(ops.array(x), reduce, given))
    for i in range(3):
        kept = x[i, mask[i]] if masked else x[i]
        expected = REDUCTIONS[reduce](kept, axis=0)
        np.testing.assert_allclose(result[i], expected, rtol=1e-5, atol=1e-6)
