"""What is different on OpenVINO, and that nothing else is."""

import os
import subprocess
import sys

import keras
import layer_outputs
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from keras import ops

from keras_spiking import backends
from keras_spiking import conversion
from keras_spiking import layers
from keras_spiking.backends import __main__ as report_module
from keras_spiking.conversion import PoissonInput
from keras_spiking.ops import time_loop

pytestmark = pytest.mark.skipif(BACKEND != "openvino", reason="needs OpenVINO")


@pytest.fixture(scope="module")
def of_numpy(tmp_path_factory):
    """Outputs of all layers and networks on NumPy, by the same script."""
    path = tmp_path_factory.mktemp("numpy") / "outputs.npz"
    environment = {
        **os.environ,
        "KERAS_BACKEND": "numpy",
        "KERAS_SPIKING_FUSED": "never",
    }
    command = [sys.executable, layer_outputs.__file__, path]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    with np.load(path) as outputs:
        return dict(outputs)


@pytest.fixture(params=["unrolled", "loop"])
def loops(request, monkeypatch):
    if request.param == "loop":
        monkeypatch.setattr(type(backends.active()), "unrolled_steps", 0)


def assert_equal(name, outputs, of_numpy):
    for i, value in enumerate(outputs):
        expected = of_numpy[f"{name} {i}"]
        assert value.dtype == expected.dtype
        scale = np.abs(expected).max()
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", layer_outputs.LAYERS)
def test_layers_equal_numpy(name, of_numpy, loops):
    assert_equal(name, layer_outputs.of_layer(name), of_numpy)


@pytest.mark.parametrize("name", layer_outputs.NETWORKS)
def test_networks_equal_numpy(name, of_numpy):
    assert_equal(name, layer_outputs.of_network(name), of_numpy)


def draw(*shape):
    return np.random.default_rng(0).uniform(-0.5, 1.0, shape).astype("float32")


def predict(layer, x):
    """The outputs of a layer in a graph of unknown batch size."""
    inputs = keras.Input(x.shape[1:])
    return keras.Model(inputs, layer(inputs)).predict_on_batch(x)


def compiled(model, x):
    model.predict_on_batch(x)
    return model.ov_compiled_model


def test_float32_stays_float32():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), layers.DirectEncoder(2)]
    )
    hint = compiled(model, draw(2, 3)).get_property("INFERENCE_PRECISION_HINT")
    assert hint.to_string() == "f32"


def test_who_compiles_may_ask_for_another_precision():
    import openvino

    x = openvino.opset16.parameter([2], openvino.Type.f32)
    graph = openvino.Model([openvino.opset16.relu(x).output(0)], [x])
    hint = {"INFERENCE_PRECISION_HINT": "bf16"}
    found = openvino.compile_model(graph, "CPU", hint)
    assert found.get_property("INFERENCE_PRECISION_HINT").to_string() == "bf16"


def test_spikes_are_those_of_float64():
    """In bfloat16, 22 of 2,275 did."""
    weights = np.random.default_rng(1).normal(0.0, 0.3, (64, 64)).astype("float32")
    dense = keras.layers.Dense(64, use_bias=False)
    model = keras.Sequential(
        [keras.Input((20, 64)), layers.SeqToBatch(dense), layers.LIFLayer()]
    )
    dense.set_weights([weights])
    x = (draw(16, 20, 64) > 0.3).astype("float32")
    spikes = model.predict_on_batch(x)
    v, expected = np.zeros((16, 64)), []
    for t in range(20):
        v += (x[:, t] @ weights.astype("float64") - v) / 2.0
        expected.append(v >= 1.0)
        v[v >= 1.0] = 0.0
    np.testing.assert_array_equal(spikes, np.stack(expected, 1))
    assert 0.05 < spikes.mean() < 0.5


def test_graphs_do_not_grow_with_the_number_of_steps():
    sizes = set()
    for timesteps in (30, 300):
        layer = layers.IzhikevichLayer()
        model = keras.Sequential([keras.Input((timesteps, 3)), layer])
        graph = compiled(model, draw(1, timesteps, 3)).get_runtime_model()
        sizes.add(len(graph.get_ops()))
    assert len(sizes) == 1


def test_a_loop_over_an_unknown_number_of_steps():
    model = keras.Sequential([keras.Input((None, 3)), layers.LIFLayer()])
    for timesteps in (1, 2, 5, 40):
        x = 3.0 * draw(2, timesteps, 3)
        expected = to_numpy(layers.LIFLayer()(x))
        np.testing.assert_array_equal(model.predict_on_batch(x), expected)


class Outside(keras.layers.Layer):
    """A step that reads what was computed before the loop, and a loop inside of it."""

    def call(self, x):
        gain = ops.sum(x, axis=(1, 2), keepdims=True)[:, 0]

        def inner(_, total):
            return (), total + gain

        def step(x, v):
            _, total = time_loop(inner, (), v, 3, unroll=False)
            return (x + total, gain), total

        (y, gains), last = time_loop(step, x, ops.zeros_like(x[:, 0]), unroll=False)
        return y + gains, last


def test_loops_read_what_is_outside():
    x = draw(2, 5, 3)
    y, last = predict(Outside(), x)
    gain = x.sum((1, 2))[:, None, None]
    steps = np.arange(1, 6)[:, None]
    np.testing.assert_allclose(y, x + gain * (3 * steps + 1), rtol=1e-5)
    np.testing.assert_allclose(last, np.tile(15 * gain[:, 0], 3), rtol=1e-5)


def test_a_graph_draws_other_spikes_in_every_call():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.PoissonEncoder(100, seed=1)(inputs))
    x = np.tile(np.array([0.0, 0.3, 1.0], "float32"), (50, 1))
    first, second = model.predict_on_batch(x), model.predict_on_batch(x)
    for spikes in (first, second):
        np.testing.assert_allclose(spikes.mean((0, 1)), [0.0, 0.3, 1.0], atol=0.03)
    different = (first != second)[..., 1].mean()
    assert different == pytest.approx(2 * 0.3 * 0.7, abs=0.05)


@pytest.mark.parametrize("run", [predict, lambda layer, x: to_numpy(layer(x))])
def test_a_loop_draws_other_spikes_in_every_step(run):
    x = np.full((50, 3), 0.3, "float32")
    spikes = run(layers.StepByStep(PoissonInput(seed=1), timesteps=100), x)
    different = (spikes[:, 1:] != spikes[:, :-1]).mean()
    assert different == pytest.approx(2 * 0.3 * 0.7, abs=0.03)


def test_noise_has_the_variance_that_was_asked_for():
    layer = layers.NoisyLIFLayer(std=0.5, v_threshold=1e6, return_state=True, seed=3)
    _, v = predict(layer, np.zeros((100, 1, 200), "float32"))
    assert v.mean() == pytest.approx(0.0, abs=0.01)
    assert v.std() == pytest.approx(0.25, rel=0.02)
    assert np.mean((v / v.std()) ** 4) == pytest.approx(3.0, abs=0.15)


def test_encoders_refuse_values_out_of_range_where_they_are_known():
    with pytest.raises(ValueError, match="values from 0 to 2"):
        layers.LatencyEncoder(4)(ops.array([[0.0, 2.0]]))
    assert predict(layers.LatencyEncoder(4), draw(2, 3)).shape == (2, 4, 3)


@pytest.mark.parametrize(
    "make", [lambda **k: layers.LIFLayer(**k), lambda **k: layers.Delay(2, **k)]
)
def test_stateful_layers_go_on_from_call_to_call(make):
    x, layer = 3.0 * draw(2, 24, 3), make(stateful=True)
    pieces = [to_numpy(layer(x[:, i : i + 8])) for i in (0, 8, 16)]
    np.testing.assert_array_equal(np.concatenate(pieces, 1), to_numpy(make()(x)))


def test_stateful_layers_are_refused_where_nothing_is_kept():
    layer = layers.LIFLayer(stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 4, 3)), layer])
    with pytest.raises(NotImplementedError, match="return_state=True"):
        model.predict_on_batch(draw(2, 4, 3))
    np.testing.assert_array_equal(to_numpy(layer.states[0]), np.zeros((2, 3)))


def network():
    inputs = keras.Input((4, 3))
    outputs = layers.FiringRate()(layers.LIFLayer()(keras.layers.Dense(2)(inputs)))
    return inputs, outputs


def test_training_is_refused():
    model = keras.Model(*network())
    model.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match="openvino"):
        model.fit(draw(2, 4, 3), draw(2, 2), verbose=0)
    with pytest.raises(NotImplementedError, match="Use jax, tensorflow or torch"):
        backends.active().value_and_gradients(ops.sum, [ops.ones(3)])


def test_says_what_serves():
    rows = dict(report_module.report())
    assert rows["backend"].startswith("openvino 20")
    assert "float32" in rows["kernel calls"]
    assert "16 steps" in rows["kernel calls"]
    assert rows["LIFLayer"].startswith("reference: ")
    assert "does not train" in rows["optimizers"]


def test_changed_networks_are_compiled_anew():
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, activation="relu")(inputs)
    ann = keras.Model(inputs, keras.layers.Dense(2)(outputs))
    x = draw(8, 4)
    snn = conversion.convert(ann, x, 3)
    short = snn.predict_on_batch(x).copy()
    snn.timesteps = 400
    long = snn.predict_on_batch(x)
    exact = ann.predict_on_batch(x)
    assert np.abs(long - exact).max() < 0.1 * np.abs(short - exact).max()
