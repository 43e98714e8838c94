import itertools

import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from golden import cases
from golden import load
from keras import ops
from reference import Neuron

from keras_spiking import layers
from keras_spiking import surrogates

NEURONS = {
    "if": layers.IFLayer,
    "lif": layers.LIFLayer,
    "plif": layers.ParametricLIFLayer,
}


def build(config, name, **kwargs):
    return NEURONS[name.split("_")[0]](**config, **kwargs)


def step_through(layer, x):
    """Outputs and first states of all steps, one `step` at a time."""
    states = layer.get_initial_state(ops.array(x[:, 0]))
    history = []
    for t in range(x.shape[1]):
        spikes, states = layer.step(ops.array(x[:, t]), states)
        history.append((to_numpy(spikes), to_numpy(states[0])))
    return [np.stack(a, 1) for a in zip(*history)]


def assert_close(value, expected, relative=1e-5):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(value, expected, rtol=relative, atol=relative * scale)


GOLDEN = cases("neurons/if") + cases("neurons/lif") + cases("neurons/plif")


@pytest.mark.parametrize("config, file", GOLDEN)
def test_spikes_and_potentials_equal_spikingjelly(request, config, file):
    layer = build(config, request.node.callspec.id)
    golden = load(file)
    np.testing.assert_array_equal(to_numpy(layer(golden["x"])), golden["spikes"])
    spikes, v_seq = step_through(layer, golden["x"])
    np.testing.assert_array_equal(spikes, golden["spikes"])
    assert_close(v_seq, golden["v_seq"])


@pytest.mark.trains
@pytest.mark.parametrize("config, file", GOLDEN)
def test_gradients_equal_spikingjelly(request, config, file):
    layer = build(config, request.node.callspec.id)
    golden = load(file)
    layer.build(golden["x"].shape)
    weights = layer.trainable_weights
    if weights:
        assert_close(to_numpy(weights[0].value), golden["param_w"])
    grad_x, *grad_w = gradients(
        lambda x: ops.sum(ops.multiply(layer(x), golden["weight"])),
        [golden["x"]],
        weights,
    )
    assert_close(grad_x, golden["grad_x"])
    if weights:
        assert_close(grad_w[0], golden["grad_w"])


REFERENCE = [
    pytest.param(
        name,
        decay_input,
        v_reset,
        detach_reset,
        surrogates.names()[i % len(surrogates.names())],
        timesteps,
        id=f"{name}-{'decay' if decay_input else 'full'}-{v_reset}-"
        f"{'detached' if detach_reset else 'attached'}-{timesteps}",
    )
    for i, ((name, decay_input), v_reset, (timesteps, detach_reset)) in enumerate(
        itertools.product(
            [("if", True), ("lif", True), ("lif", False), ("plif", False)],
            [0.0, -0.3, None],
            [(1, False), (2, True), (7, False), (33, True), (33, False)],
        )
    )
]


@pytest.mark.parametrize(
    "name, decay_input, v_reset, detach_reset, surrogate, timesteps", REFERENCE
)
def test_spikes_and_gradients_equal_the_reference(
    name, decay_input, v_reset, detach_reset, surrogate, timesteps
):
    reset = {"v_reset": v_reset, "detach_reset": detach_reset, "v_threshold": 0.9}
    tau = {"if": {}, "lif": {"tau": 3.0}, "plif": {"init_tau": 3.0}}[name]
    decay = {} if name == "if" else {"decay_input": decay_input}
    layer = NEURONS[name](surrogate=surrogate, **reset, **tau, **decay)
    surrogate = layer.surrogate
    reference = Neuron(
        lambda x: to_numpy(surrogate.derivative(ops.array(x, "float32"))),
        tau=None if name == "if" else 3.0,
        decay_input=decay_input,
        **reset,
    )
    x, weight = reference.draw_inputs((3, timesteps, 5))
    expected, _, _ = reference.forward(x)
    np.testing.assert_array_equal(to_numpy(layer(x)), expected)
    if keras.config.backend() == "numpy":
        return
    (gradient,) = gradients(lambda x: ops.sum(ops.multiply(layer(x), weight)), [x])
    # The reference sums in float64: what cancels out there leaves rounding here.
    assert_close(gradient, reference.gradient(x, weight), 1e-4)


@pytest.mark.parametrize("neuron", [layers.IFLayer, layers.LIFLayer])
@pytest.mark.parametrize("v_threshold", [0.0, 0.5, 1.0])
def test_neurons_fire_at_the_threshold(neuron, v_threshold):
    layer = neuron(v_threshold=v_threshold)
    gain = 1.0 if neuron is layers.IFLayer else 2.0
    at = np.full((1, 1, 1), gain * v_threshold, "float32")
    below = at - np.float32(1e-6)
    assert to_numpy(layer(at)) == 1.0
    assert to_numpy(layer(below)) == 0.0


def test_inputs_that_sum_up_to_the_threshold_fire():
    x = np.full((2, 12, 3), 0.25, "float32")
    spikes = to_numpy(layers.IFLayer()(x))
    np.testing.assert_array_equal(spikes[0, :, 0], [0, 0, 0, 1] * 3)


ALL = [
    (layers.IFLayer, {}),
    (layers.LIFLayer, {}),
    (layers.LIFLayer, {"decay_input": False, "v_reset": None, "tau": 5.0}),
    (layers.ParametricLIFLayer, {"v_reset": -0.2}),
    (layers.LILayer, {}),
]


@pytest.fixture(params=ALL, ids=lambda p: p[0].__name__)
def make(request):
    cls, config = request.param
    return lambda **kwargs: cls(**config, **kwargs)


def draw(*shape):
    return np.random.default_rng(0).uniform(-0.5, 2.0, shape).astype("float32")


@pytest.mark.parametrize(
    "shape", [(2, 3, 5), (1, 40, 3), (2, 4, 3, 2), (2, 3, 3, 2, 2)]
)
def test_steps_equal_the_call_exactly(make, shape):
    layer = make(return_state=True)
    x = draw(*shape)
    outputs, v = to_numpy(layer(x))
    stepped, potentials = step_through(layer, x)
    np.testing.assert_array_equal(outputs, stepped)
    np.testing.assert_array_equal(v, potentials[:, -1])
    assert outputs.shape == x.shape and outputs.any()


def test_last_output_is_the_last_of_the_sequence(make):
    x = draw(2, 6, 4)
    if isinstance(make(), layers.LILayer):
        last = make(reduce="last")
    else:
        last = make(return_sequences=False)
    np.testing.assert_array_equal(to_numpy(last(x)), to_numpy(make()(x))[:, -1])


def test_state_hands_a_sequence_on(make):
    x = draw(2, 9, 4)
    first, v = make(return_state=True)(x[:, :4])
    second = make()(x[:, 4:], initial_state=v)
    listed = make()(x[:, 4:], initial_state=[v])
    whole = to_numpy(make()(x))
    np.testing.assert_array_equal(to_numpy(first), whole[:, :4])
    np.testing.assert_array_equal(to_numpy(second), whole[:, 4:])
    np.testing.assert_array_equal(to_numpy(listed), whole[:, 4:])


def test_calls_start_afresh(make):
    layer = make()
    x = draw(2, 5, 4)
    np.testing.assert_array_equal(to_numpy(layer(x)), to_numpy(layer(x)))


MASK = np.array([[1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0]], bool)


@pytest.mark.parametrize("repeat", [1, 7])
def test_masked_steps_are_left_out(make, repeat):
    """A masked sequence gives what the sequence of its unmasked steps gives."""
    mask = np.tile(MASK, repeat)
    x = draw(2, mask.shape[1], 4)
    outputs, v = to_numpy(make(return_state=True)(x, mask=ops.array(mask)))
    assert not outputs[~mask].any()
    for i in range(2):
        alone, v_alone = to_numpy(make(return_state=True)(x[i : i + 1, mask[i]]))
        np.testing.assert_array_equal(outputs[i, mask[i]], alone[0])
        np.testing.assert_array_equal(v[i], v_alone[0])


def test_last_output_under_a_mask_is_the_last_unmasked_one(make):
    x = draw(2, 6, 4)
    kwargs = {"return_sequences": False}
    if isinstance(make(), layers.LILayer):
        kwargs = {"reduce": "last"}
    last = to_numpy(make(**kwargs)(x, mask=ops.array(MASK)))
    outputs = to_numpy(make()(x, mask=ops.array(MASK)))
    np.testing.assert_array_equal(last, outputs[[0, 1], [5, 4]])


@pytest.mark.masks
def test_masks_of_a_masking_layer_arrive(make):
    x = draw(2, 6, 4)
    x[~MASK] = 0.0
    inputs = keras.Input((6, 4))
    y = make()(keras.layers.Masking()(inputs))
    outputs = keras.layers.GlobalAveragePooling1D()(y)  # takes the mask, too
    model = keras.Model(inputs, [y, outputs])
    spikes, mean = to_numpy(model(x))
    expected = to_numpy(make()(x, mask=ops.array(MASK)))
    np.testing.assert_array_equal(spikes, expected)
    counts = MASK.sum(1, keepdims=True)
    np.testing.assert_allclose(mean, expected.sum(1) / counts, rtol=1e-6)


def test_a_sequence_that_is_masked_throughout_is_silent(make):
    mask = np.zeros((2, 6), bool)
    outputs, v = make(return_state=True)(draw(2, 6, 4), mask=ops.array(mask))
    assert not to_numpy(outputs).any()
    initial = make().get_initial_state(ops.zeros((2, 4)))[0]
    np.testing.assert_array_equal(to_numpy(v), to_numpy(initial))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_states_are_float32_in_lower_precision(make, policy):
    layer = make(return_state=True, dtype=policy)
    x = np.round(draw(2, 20, 4) * 64) / 64  # exact in every dtype
    outputs, v = layer(x)
    assert keras.backend.standardize_dtype(v.dtype) == "float32"
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    expected, v_expected = to_numpy(make(return_state=True)(x))
    np.testing.assert_array_equal(to_numpy(v), v_expected)
    tolerance = 0 if isinstance(layer, layers.SpikingLayer) else 1e-2
    outputs = to_numpy(ops.cast(outputs, "float32"))
    np.testing.assert_allclose(outputs, expected, atol=tolerance)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float64", "float16"])
def test_inputs_of_any_dtype(make, dtype):
    x = np.random.default_rng(0).integers(0, 2, (2, 6, 4))
    expected = to_numpy(make()(x.astype("float32")))
    outputs = make()(x.astype(dtype))
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    np.testing.assert_array_equal(to_numpy(outputs), expected)
    layer = make()
    states = layer.get_initial_state(ops.convert_to_tensor(x[:, 0].astype(dtype)))
    stepped, _ = layer.step(x[:, 0].astype(dtype), states)
    np.testing.assert_array_equal(to_numpy(stepped), expected[:, 0])


def test_functional_models_with_states(make):
    x, v0 = draw(2, 5, 4), draw(2, 4)
    inputs, state = keras.Input((5, 4)), keras.Input((4,))
    outputs, v = make(return_state=True)(inputs, initial_state=state)
    assert outputs.shape == (None, 5, 4) and v.shape == (None, 4)
    model = keras.Model([inputs, state], [outputs, v])
    expected = make(return_state=True)(x, initial_state=ops.array(v0))
    for value, e in zip(to_numpy(model([x, v0])), to_numpy(expected)):
        np.testing.assert_array_equal(value, e)


def test_unknown_batch_and_time(make):
    layer = make()
    inputs = keras.Input((None, 4))
    assert layer(inputs).shape == (None, None, 4)
    model = keras.Model(inputs, layer(inputs))
    for shape in [(2, 5, 4), (3, 1, 4), (1, 20, 4)]:
        np.testing.assert_array_equal(
            to_numpy(model.predict(draw(*shape), verbose=0)),
            to_numpy(layer(draw(*shape))),
        )


def test_symbolic_shapes_and_dtypes_match_the_call():
    for kwargs in (
        {},
        {"return_sequences": False},
        {"return_state": True},
        {"return_state": True, "return_sequences": False, "dtype": "mixed_float16"},
    ):
        layer = layers.LIFLayer(**kwargs)
        symbolic = keras.tree.flatten(layer(keras.Input((5, 4, 3), batch_size=2)))
        concrete = keras.tree.flatten(layer(draw(2, 5, 4, 3)))
        assert len(symbolic) == len(concrete)
        for s, c in zip(symbolic, concrete):
            assert tuple(s.shape) == tuple(c.shape)
            assert s.dtype == keras.backend.standardize_dtype(c.dtype)


class SquareIF(layers.SpikingLayer):
    def charge(self, x, v):
        return v + ops.square(x)


class Adaptive(layers.SpikingLayer):
    """A neuron with two states of different kinds."""

    def get_initial_state(self, x):
        return (*super().get_initial_state(x), ops.zeros_like(x, dtype="float32"))

    def step(self, x, states):
        v, a = states
        h = v + x - 0.5 * a
        spikes = self.fire(h)
        return spikes, (self.reset(h, spikes), 0.5 * a + spikes)


def test_own_charge():
    x = draw(2, 6, 4)
    expected = to_numpy(layers.IFLayer()(x**2))
    np.testing.assert_array_equal(to_numpy(SquareIF()(x)), expected)


@pytest.mark.parametrize("timesteps", [5, 40])
def test_own_step_with_two_states(timesteps):
    x = draw(2, timesteps, 3)
    v, a = np.zeros((2, 2, 3), "float32")
    expected = []
    for t in range(timesteps):
        h = v + x[:, t] - np.float32(0.5) * a
        s = (h >= 1).astype("float32")
        v, a = h * (1 - s), np.float32(0.5) * a + s
        expected.append(s)
    outputs, v_last, a_last = to_numpy(Adaptive(return_state=True)(x))
    np.testing.assert_array_equal(outputs, np.stack(expected, 1))
    np.testing.assert_allclose(v_last, v, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(a_last, a, rtol=1e-6)


def test_a_neuron_without_equations_says_what_to_implement():
    with pytest.raises(NotImplementedError, match="charge"):
        layers.SpikingLayer()(draw(2, 3, 4))


@pytest.mark.parametrize("reduce, function", [("max", np.max), ("mean", np.mean)])
def test_leaky_integrator_reduces_over_time(reduce, function):
    x = draw(3, 20, 4)
    v = to_numpy(layers.LILayer(tau=4.0)(x))
    outputs = to_numpy(layers.LILayer(tau=4.0, reduce=reduce)(x))
    np.testing.assert_allclose(outputs, function(v, axis=1), rtol=1e-6)


def test_leaky_integrator_potential_furthest_from_zero():
    x = np.random.default_rng(0).normal(size=(3, 20, 4)).astype("float32")
    v = to_numpy(layers.LILayer()(x))
    outputs = to_numpy(layers.LILayer(reduce="max_abs")(x))
    index = np.abs(v).argmax(1)[:, None]
    np.testing.assert_array_equal(outputs, np.take_along_axis(v, index, 1)[:, 0])
    assert (outputs < 0).any()


@pytest.mark.parametrize("decay_input", [True, False])
def test_leaky_integrator_is_a_low_pass_filter(decay_input):
    x = draw(2, 10, 3)
    tau, v = 4.0, 0.0
    for t in range(10):
        v = v + (x[:, t] - v) / tau if decay_input else v - v / tau + x[:, t]
    layer = layers.LILayer(tau=tau, decay_input=decay_input, reduce="last")
    np.testing.assert_allclose(to_numpy(layer(x)), v, rtol=1e-5)
