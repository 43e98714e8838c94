"""Kernels over chunks of time side by side do what those over all steps do."""

import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers
from keras_spiking.backends import explain
from keras_spiking.backends.kernels import in_chunks
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.library import shape_of
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.trace import Step

NEURONS = {
    "hard reset": lambda: layers.LIFLayer(tau=3.0, surrogate="atan"),
    "parametric, soft reset": lambda: layers.ParametricLIFLayer(
        v_reset=None, surrogate="atan"
    ),
    "adaptive": lambda: layers.ALIFLayer(surrogate="atan"),
    "integrates": lambda: layers.IFLayer(v_reset=None, surrogate="atan"),
}


def both(layer, features, dtype="float32"):
    layer.build((None, None, features))
    program = Program(Step(layer, (features,)))
    return [libraries.make(program, dtype, in_chunks=chunks) for chunks in (0, 1)]


def run(library, name, layer, x, g=None):
    """Outputs of a kernel, as NumPy arrays."""
    # Layers with other numbers share the library.
    step, kernel = Step(layer, x.shape[2:]), library.kernels[name]
    arrays = {"x": x, "grad_output": g, "scalars": np.array(step.scalars)}
    for i, source in enumerate(step.parameters):
        own = isinstance(source, str)
        value = getattr(layer, source) if own else layer.variables[source]
        arrays[f"parameter{i}"] = np.broadcast_to(to_numpy(value), x[:, 0].shape)
    random = np.random.default_rng(1)
    inputs = [
        np.ascontiguousarray(
            arrays.get(a.name, random.normal(size=x[:, 0].shape)),
            library.dtype_of(a),
        )
        for a in kernel.inputs
    ]
    outputs = [
        np.full(shape_of(a, *x.shape), np.nan, library.dtype_of(a))
        for a in kernel.outputs
    ]
    addresses = [[a.ctypes.data for a in group] for group in (inputs, outputs)]
    library.call(name, x.shape, *addresses)
    return outputs


def sequence(shape, seed=0, mean=0.5):
    return np.random.default_rng(seed).normal(mean, 1.0, shape)


@pytest.mark.parametrize("shape", [(2, 9031, 1), (1, 4096, 4), (2, 777, 3), (1, 1, 2)])
@pytest.mark.parametrize("name", NEURONS)
def test_bits_are_those_of_the_loop_over_time(name, shape):
    layer = NEURONS[name]()
    loop, chunks = both(layer, shape[-1])
    assert in_chunks.refusal(chunks.program) is None
    x, g = sequence(shape, mean=0.7), sequence(shape, seed=1)
    expected, found = (run(k, "forward", layer, x, g) for k in (loop, chunks))
    if shape[1] > 1:
        assert 0.001 < expected[0].mean() < 0.99
    for a, b in zip(expected, found):
        np.testing.assert_array_equal(a.view("int32"), b.view("int32"))
    expected, found = (run(k, "backward", layer, x, g) for k in (loop, chunks))
    for a, b in zip(expected, found):
        scale = np.abs(a).max() + 1e-30
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-5 * scale)


def silence(x):
    x[:, 200:3500] = 0.0


def constant(x):
    x[:] = 0.9


def overflows(x):
    x[:, 777], x[:, 2001] = np.inf, -np.inf


def not_a_number(x):
    x[:, 1500] = np.nan


@pytest.mark.parametrize("change", [silence, constant, overflows, not_a_number])
@pytest.mark.parametrize("name", ["hard reset", "adaptive"])
def test_inputs_that_a_neuron_hardly_forgets(name, change):
    layer = NEURONS[name]()
    x = sequence((1, 4100, 2))
    change(x)
    loop, chunks = (run(k, "forward", layer, x) for k in both(layer, 2))
    for a, b in zip(loop, chunks):
        np.testing.assert_array_equal(a, b)


def test_half_precision():
    layer = NEURONS["hard reset"]()
    x, g = sequence((1, 2500, 2)), sequence((1, 2500, 2), seed=1)
    loop, chunks = both(layer, 2, "float16")
    for name in loop.kernels:
        for a, b in zip(*(run(k, name, layer, x, g) for k in (loop, chunks))):
            np.testing.assert_array_equal(a, b)


def test_what_may_differ_does_not_run_in_chunks():
    layer = layers.AdExLayer()
    layer.build((None, None, 1))
    program = Program(Step(layer, (1,)))
    assert "how exp is rounded" in in_chunks.refusal(program)
    layer = NEURONS["hard reset"]()
    layer.build((None, None, 1))
    program = Program(Step(layer, (1,)), masked=True)
    assert "a mask" in in_chunks.refusal(program)


def kernel_of(layer, steps):
    """Whether a layer's call with so many steps has run in chunks."""
    layer(ops.zeros((1, steps, 2)))
    *_, kernel = layer.kernels.values()
    return kernel.library.in_chunks


def test_long_sequences_of_few_neurons_run_in_chunks():
    layer = layers.LIFLayer()
    assert not kernel_of(layer, 2047)
    assert kernel_of(layer, 2048)
    (row,) = explain(layer)
    assert row["implementation"] == "fused"
    assert "from 2048 steps on, chunks of them run side by side" in row["reason"]
    for many in (layers.LIFLayer(), layers.AdExLayer()):
        many.build((None, None, 5))
        assert "chunks" not in explain(many)[0]["reason"]


@pytest.mark.trains
def test_layers_have_the_gradients_of_the_loop_over_time():
    x = sequence((2, 1100, 1)).astype("float32")
    weight = ops.convert_to_tensor(sequence(x.shape, seed=1), "float32")
    layer = NEURONS["parametric, soft reset"]()
    layer.build(x.shape)
    everything = ops.ones(x.shape[:2], "bool")  # under a mask there are no chunks
    expected, found = (
        gradients(
            lambda x, mask=mask: ops.sum(layer(x, mask=mask) * weight),
            [x],
            layer.trainable_weights,
        )
        for mask in (everything, None)
    )
    used = [kernel.library.in_chunks for kernel in layer.kernels.values()]
    assert True in used and False in used
    for a, b in zip(expected, found):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4 * np.abs(a).max())
