"""What only a GPU shows of the fused kernels. `test_fused` runs there as well."""

import gc

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import gpu
from backend import gradients
from backend import to_numpy

import keras_spiking
from keras_spiking import layers

pytestmark = [
    pytest.mark.skipif(not gpu(), reason="needs a GPU of PyTorch or JAX"),
    pytest.mark.usefixtures("always"),
]
only_torch = pytest.mark.skipif(BACKEND != "torch", reason="needs PyTorch")
only_jax = pytest.mark.skipif(BACKEND != "jax", reason="needs JAX")
NEURONS = ["LIFLayer", "ParametricLIFLayer", "ALIFLayer", "CubaLIFLayer"]


def sequence(timesteps=8, features=131):
    random = np.random.default_rng(0)
    return random.normal(0.5, 1.0, (3, timesteps, features)).astype("float32")


def lif(features=131, **kwargs):
    layer = layers.LIFLayer(**kwargs)
    layer.build((None, None, features))
    return layer


@pytest.mark.parametrize("timesteps", [1, 15, 16, 17, 32, 33, 100])
@pytest.mark.parametrize("neuron", NEURONS)
def test_kernel_equals_reference(neuron, timesteps):
    layer, x = getattr(layers, neuron)(), sequence(timesteps)
    layer.build(x.shape)
    weight = np.random.default_rng(1).normal(size=x.shape).astype("float32")

    def loss(x):
        return keras.ops.sum(keras.ops.multiply(layer(x), weight))

    results = {}
    for mode in ("always", "never"):
        keras_spiking.config.set_fused(mode)
        (gradient,) = gradients(loss, [x])
        results[mode] = to_numpy(layer(x)), gradient
    (spikes, gradient), (expected, expected_gradient) = results.values()
    # A potential within rounding of the threshold may fall on either side of it.
    same = np.all(spikes == expected, axis=1, keepdims=True)
    assert np.mean(same) > 0.97
    difference = np.abs(gradient - expected_gradient) * same
    assert np.max(difference) <= 1e-4 * np.max(np.abs(expected_gradient))


def test_many_neurons():
    x = keras.random.normal((2, 3, 5_000_001), mean=0.5, seed=0)
    layer = lif(5_000_001)
    spikes = layer(x)
    keras_spiking.config.set_fused("never")
    differ = keras.ops.sum(keras.ops.abs(layer(x) - spikes))
    assert float(differ) < 30


@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 4, 0)])
def test_empty_sequence(shape):
    assert lif(shape[-1])(np.zeros(shape, "float32")).shape == shape


@only_torch
def test_kernel_runs_in_the_stream_of_pytorch():
    import torch

    layer, stream = lif(4096), torch.cuda.Stream()
    ones = torch.ones(64, 64, 4096, device="cuda")
    expected = layer(ones * 3)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        x = ones.clone()
        for _ in range(200):  # so that a kernel in another stream comes too early
            x = x * 1.0
        spikes = layer(x * 3)
    stream.synchronize()
    assert torch.equal(spikes, expected)


@only_torch
def test_a_call_does_not_wait_for_the_gpu():
    import torch

    layer, x = lif(), torch.tensor(sequence(), device="cuda", requires_grad=True)
    layer(x).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        layer(x).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@only_torch
def test_cuda_graph_replays_kernels():
    import torch

    layer, x = lif(), torch.tensor(sequence(), device="cuda")
    with torch.no_grad():
        layer(x)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            spikes = layer(x)
        x.copy_(torch.tensor(sequence()).flip(1))
        graph.replay()
        assert torch.equal(spikes, layer(x))


@only_torch
def test_compiled_by_inductor():
    import torch

    layer = lif()
    compiled = torch.compile(lambda x: (layer(x * 2) * x).sum(), fullgraph=True)
    grads = []
    for function in (compiled, lambda x: (layer(x * 2) * x).sum()):
        x = torch.tensor(sequence(), device="cuda", requires_grad=True)
        function(x).backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads)


@only_jax
def test_kernels_in_a_loop_and_after_the_layer_has_gone():
    import jax

    def functions():
        layer = lif()

        def many(x):
            return jax.lax.fori_loop(0, 9, lambda _, y: layer(x + y), 0 * x)

        return jax.jit(lambda x: layer(x)), jax.jit(many)

    x, functions = sequence(), functions()
    expected = [to_numpy(function(x)) for function in functions]
    gc.collect()
    for _ in range(5):  # XLA makes a graph of CUDA of what runs often
        for function, value in zip(functions, expected):
            np.testing.assert_array_equal(function(x), value)


@only_jax
def test_xla_calls_the_target_of_the_device():
    import jax

    from keras_spiking.backends.jax import DEVICE

    text = jax.jit(lif()).lower(sequence()).compile().as_text()
    assert DEVICE in text
