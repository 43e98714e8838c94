"""Fused kernels inside of what TensorFlow does to functions."""

import concurrent.futures

import numpy as np
import pytest
from backend import BACKEND

import keras_spiking
from keras_spiking import layers
from keras_spiking.backends import explain

pytestmark = [
    pytest.mark.skipif(BACKEND != "tensorflow", reason="needs TensorFlow"),
    pytest.mark.usefixtures("always"),
]


def lif(features=5):
    layer = layers.LIFLayer()
    layer.build((None, None, features))
    return layer


def sequence(batch=3, features=5):
    import tensorflow as tf

    x = np.random.default_rng(0).normal(0.5, 1.0, (batch, 8, features))
    return tf.constant(x, "float32")


def spikes_and_gradient(layer):
    import tensorflow as tf

    def run(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            spikes = layer(x)
        return spikes, tape.gradient(spikes, x, upstream)

    return run


def operators(graph):
    functions = graph.as_graph_def().library.function
    nodes = [*graph.as_graph_def().node, *(n for f in functions for n in f.node_def)]
    return [node.op for node in nodes]


def test_graph_of_any_batch_and_time_equals_eager():
    import tensorflow as tf

    run = spikes_and_gradient(lif())
    spec = tf.TensorSpec((None, None, 5))
    graph = tf.function(run, input_signature=[spec, spec])
    shapes = graph.get_concrete_function().output_shapes
    assert [shape.as_list() for shape in shapes] == [[None, None, 5]] * 2
    for batch in (1, 3):
        x = sequence(batch)
        for ours, expected in zip(graph(x, x), run(x, x)):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("compiled", [False, True])
def test_upstream_gradient_that_is_still_needed_is_not_overwritten(compiled):
    import tensorflow as tf

    run = spikes_and_gradient(lif())

    def train(x):
        upstream = tf.cos(x)
        return upstream, *run(x, upstream)

    x = sequence()
    upstream = (tf.function(train) if compiled else train)(x)[0]
    np.testing.assert_allclose(upstream, np.cos(x), rtol=1e-5)


def test_threads_may_call_at_once():
    layer = lif(4096)
    inputs = [sequence(4, 4096) + i / 10 for i in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        together = list(pool.map(layer, inputs))
    for x, spikes in zip(inputs, together):
        np.testing.assert_array_equal(spikes, layer(x))


def test_second_derivative_is_refused():
    import tensorflow as tf

    x = sequence()
    with tf.GradientTape() as outer:
        outer.watch(x)
        _, gradient = spikes_and_gradient(lif())(x, x)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        outer.gradient(gradient, x)


def test_function_for_xla_runs_the_reference():
    import tensorflow as tf

    keras_spiking.config.set_fused("auto")
    layer, x = lif(), sequence()
    graph = tf.function(lambda x: layer(x), jit_compile=True)
    np.testing.assert_array_equal(graph(x), layer(x))


def test_saved_model_can_be_loaded_elsewhere(tmp_path):
    import tensorflow as tf

    keras_spiking.config.set_fused("auto")
    module = tf.Module()
    module.layer = lif()
    spec = tf.TensorSpec((None, 8, 5))
    module.call = tf.function(lambda x: module.layer(x), input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path)).call
    graph = loaded.get_concrete_function(spec).graph
    assert "KerasSpikingOverTime" not in operators(graph)
    np.testing.assert_array_equal(loaded(sequence()), module.layer(sequence()))


def test_kernel_of_another_process_is_an_error():
    import tensorflow as tf

    from keras_spiking.backends.tensorflow import _operators

    over_time = _operators()[0].keras_spiking_over_time
    with pytest.raises(tf.errors.NotFoundError, match="not made the kernel"):
        over_time([sequence()], ["float32"], library="", kernel=1, reusable=-1)


def test_operator_that_does_not_compile_means_reference(monkeypatch):
    from keras_spiking.backends import tensorflow

    monkeypatch.setattr(tensorflow, "OPERATOR_SOURCE", "this is not C")
    monkeypatch.setattr(tensorflow, "_operators", tensorflow._operators.__wrapped__)
    keras_spiking.config.set_fused("auto")

    class Unknown(layers.LIFLayer):  # of no other test: it has no kernel yet
        def charge(self, x, v):
            return 0.75 * super().charge(x, v)

    layer = Unknown()
    assert layer(sequence()).shape == (3, 8, 5)
    (row,) = explain(layer)
    assert row["implementation"] == "reference"
    assert "could not compile" in row["reason"]
