import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking.layers import ElementwiseRecurrent
from keras_spiking.layers import IFLayer
from keras_spiking.layers import RecurrentGraph


def loop(feedback="feedback"):
    return RecurrentGraph(
        nodes={"neurons": IFLayer(), feedback: keras.layers.Dense(3)},
        edges=[
            ("input", "neurons"),
            ("neurons", feedback),
            (feedback, "neurons"),
            ("neurons", "output"),
        ],
    )


def test_a_loop_equals_its_equations():
    graph = loop()
    x = np.random.default_rng(0).uniform(size=(2, 20, 3)).astype("float32")
    spikes = to_numpy(graph(x))
    dense = graph.nodes["feedback"][0]
    dense.bias.assign([0.1, 0.0, -0.1])
    spikes = to_numpy(graph(x))
    kernel, bias = to_numpy([dense.kernel.value, dense.bias.value])
    v, s = np.zeros((2, 3)), np.zeros((2, 3))
    for t in range(20):
        v = v + x[:, t] + s @ kernel + bias
        s = (v >= 1).astype(float)
        v = v * (1 - s)
        np.testing.assert_array_equal(spikes[:, t], s)


def test_equals_elementwise_recurrent():
    dense, neurons = keras.layers.Dense(3), IFLayer(v_threshold=0.5)
    x = np.random.default_rng(0).uniform(size=(2, 10, 3)).astype("float32")
    expected = to_numpy(ElementwiseRecurrent([dense, neurons])(x))
    graph = RecurrentGraph(
        {"node": [dense, neurons]},
        [("input", "node"), ("node", "node"), ("node", "output")],
    )
    np.testing.assert_array_equal(to_numpy(graph(x)), expected)


def test_parallel_paths_are_summed():
    graph = RecurrentGraph(
        {"a": keras.layers.Rescaling(2.0), "b": keras.layers.Rescaling(3.0)},
        [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")],
    )
    np.testing.assert_allclose(to_numpy(graph(np.ones((1, 2, 3)))), 5.0)


def test_saving(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), loop()])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).uniform(size=(2, 10, 3)).astype("float32")
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(model(x)))


def test_refuses_edges_without_nodes_and_unreachable_nodes():
    nodes = {"a": keras.layers.Dense(2), "b": keras.layers.Dense(2)}
    with pytest.raises(ValueError, match="'c'"):
        RecurrentGraph(nodes, [("input", "c")])
    with pytest.raises(ValueError, match=r"\['b'\]"):
        RecurrentGraph(nodes, [("input", "a"), ("a", "output")])
