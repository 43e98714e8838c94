"""Fused kernels inside of what PyTorch does to functions."""

import shutil
import sys
import types

import numpy as np
import pytest
from backend import BACKEND
from emulated_gpu import EmulatedKernels

from keras_spiking import layers
from keras_spiking.backends import fused

pytestmark = [
    pytest.mark.skipif(BACKEND != "torch", reason="needs PyTorch"),
    pytest.mark.usefixtures("always"),
]


def lif():
    layer = layers.LIFLayer()
    layer.build((None, None, 5))
    return layer


def sequence(requires_grad=False):
    import torch

    x = np.random.default_rng(0).normal(0.5, 1.0, (3, 8, 5)).astype("float32")
    return torch.tensor(x, requires_grad=requires_grad)


def test_operator_passes_the_checks_of_pytorch():
    import torch

    kernel = fused.choose(lif(), (5,))
    numbers = torch.tensor(kernel.step.scalars)
    library, inputs = kernel.library, [sequence(True), torch.zeros(3, 5), numbers]
    torch.library.opcheck(
        torch.ops.keras_spiking.over_time.default, (library.key, "forward", inputs)
    )


def test_a_second_derivative_says_what_to_do():
    import torch

    x = sequence(requires_grad=True)
    (gradient,) = torch.autograd.grad((lif()(x) * x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r'set_fused\("never"\)'):
        gradient.sum().backward()


def test_torch_compile_keeps_one_graph():
    import torch

    layer = lif()

    def run(x, state):
        kernel = fused.choose(layer, (5,))
        return fused.run(kernel, layer, x, (state,), None)[0].sum()

    x, state = sequence(), torch.zeros(3, 5)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert compiled(x, state) == run(x, state)


def test_whole_model_compiles_without_a_break():
    import torch

    layer = lif()
    explained = torch._dynamo.explain(lambda x: layer(x).sum())(sequence())
    assert explained.graph_break_count == 0, explained.break_reasons


def test_numbers_are_sent_to_a_gpu_once():
    import torch

    from keras_spiking.backends.torch import _kept

    key = ((0.25, 3.0), "float32", torch.device("cpu"))
    with torch.inference_mode():
        numbers = _kept(*key)
    assert numbers is _kept(*key) and not numbers.is_inference()
    np.testing.assert_array_equal(numbers, key[0])


def test_input_may_have_any_strides():
    import torch

    layer = lif()
    plain = sequence()
    strided = plain.transpose(0, 2).contiguous().transpose(0, 2)
    assert not strided.is_contiguous()
    assert torch.equal(layer(strided), layer(plain))


def test_distributed_data_parallel_trains(tmp_path):
    import torch
    from torch.nn.parallel import DistributedDataParallel

    layer = layers.ParametricLIFLayer()
    layer.build((None, None, 5))
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        parallel = DistributedDataParallel(layer)
        parallel(sequence()).sum().backward()
        (weight,) = parallel.parameters()
        assert weight.grad is not None and torch.isfinite(weight.grad).all()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("timesteps", [8, 40])
def test_launching_on_a_gpu_with_a_cupy_that_runs_on_the_host(
    timesteps, monkeypatch, tmp_path
):
    import torch

    from keras_spiking.backends import torch as kernels

    class Context(types.SimpleNamespace):
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    def raw_module(code, options):
        emulated = EmulatedKernels(code, tmp_path)

        def function(name):
            def call(grid, block, arguments):
                numbers = [int(argument) for argument in arguments]
                sizes, addresses = numbers[:3], numbers[3:]
                emulated.launch(name, *grid, *block, sizes, addresses)

            return call

        return types.SimpleNamespace(get_function=function)

    cupy = types.ModuleType("cupy")
    cupy.RawModule = raw_module
    cupy.cuda = types.SimpleNamespace(
        Device=lambda number: Context(), ExternalStream=lambda address: Context()
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    stream = types.SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)

    layer = layers.ParametricLIFLayer()
    layer.build((None, None, 300))  # more than a block of threads
    kernel = fused.choose(layer, (300,))
    library, numbers = kernel.library, torch.tensor(kernel.step.scalars)
    x, grad = torch.rand(2, 2, timesteps, 300) * 2
    zeros, weight = torch.zeros(2, 300), torch.full((2, 300), 0.3)
    for name, inputs in {
        "forward": [x, zeros, weight, numbers],
        "backward": [x, zeros, weight, numbers, grad, zeros],
    }.items():
        expected = kernels.over_time(library.key, name, inputs)
        outputs = [torch.full_like(y, float("nan")) for y in expected]
        kernels._launch(library, name, inputs, outputs)
        for output, value in zip(outputs, expected):
            torch.testing.assert_close(output, value, rtol=1e-4, atol=1e-5)
