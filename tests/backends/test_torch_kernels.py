"""Fused kernels inside of what PyTorch does to functions."""

import contextlib
import ctypes
import shutil
import sys
import types

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import since_keras
from emulated_gpu import EmulatedKernels

from keras_spiking import layers
from keras_spiking.backends import fused
from keras_spiking.backends import gpu

pytestmark = [
    pytest.mark.skipif(BACKEND != "torch", reason="needs PyTorch"),
    pytest.mark.usefixtures("always"),
]


def lif():
    layer = layers.LIFLayer()
    layer.build((None, None, 5))
    return layer


def kernels_of_torch():
    from keras_spiking.backends import torch

    return torch


def sequence(requires_grad=False):
    import torch

    x = np.random.default_rng(0).normal(0.5, 1.0, (3, 8, 5)).astype("float32")
    device = keras.ops.zeros(()).device  # Keras chooses it
    return torch.tensor(x, device=device, requires_grad=requires_grad)


def test_operator_passes_the_checks_of_pytorch():
    import torch

    kernel = fused.choose(lif(), (5,))
    x = sequence(True)
    others = [torch.zeros(3, 5), torch.tensor(kernel.step.scalars)]
    library, inputs = kernel.library, [x, *(other.to(x.device) for other in others)]
    torch.library.opcheck(
        torch.ops.keras_spiking.over_time.default, (library.key, "forward", inputs)
    )


def test_a_second_derivative_says_what_to_do():
    import torch

    x = sequence(requires_grad=True)
    (gradient,) = torch.autograd.grad((lif()(x) * x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r'set_fused\("never"\)'):
        gradient.sum().backward()


@since_keras(3, 15)
def test_torch_compile_keeps_one_graph():
    import torch

    layer = lif()

    def run(x, state):
        kernel = fused.choose(layer, (5,))
        return fused.run(kernel, layer, x, (state,), None)[0].sum()

    x = sequence()
    state = torch.zeros(3, 5, device=x.device)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert compiled(x, state) == run(x, state)


@since_keras(3, 15)
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


def test_tensors_on_several_devices_are_named():
    import torch

    kernel = fused.choose(lif(), (5,))
    inputs = [sequence(), torch.zeros(3, 5, device="meta"), torch.zeros(1)]
    with pytest.raises(ValueError, match="on one device.*meta"):
        kernels_of_torch()._run(kernel.library, "forward", inputs)


def test_functions_and_operators_are_the_same():
    import torch

    x = sequence(requires_grad=True)
    kernel = fused.choose(lif(), (5,), fresh=True, inputs=x)
    inputs = [x, torch.tensor(kernel.step.scalars, device=x.device)]
    found = []
    for spikes in (
        kernels_of_torch().run(kernel.library, "forward", inputs)[0],
        kernels_of_torch().over_time(kernel.library.key, "forward", inputs)[0],
    ):
        (gradient,) = torch.autograd.grad(spikes.sum(), x)
        found.append((spikes, gradient))
    for a, b in zip(*found):
        assert torch.equal(a, b) and a.any()


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
def test_launching_on_a_gpu_with_a_driver_that_runs_on_the_host(
    timesteps, monkeypatch, tmp_path
):
    import torch

    from keras_spiking.backends import torch as kernels

    class Device(contextlib.nullcontext):
        pass

    def raw_module(code, options):
        emulated = EmulatedKernels(code, tmp_path)

        def function(name):
            kernels_of_the_driver[len(kernels_of_the_driver) + 1] = emulated, name
            kernel = types.SimpleNamespace(ptr=len(kernels_of_the_driver))
            return types.SimpleNamespace(kernel=kernel)

        return types.SimpleNamespace(get_function=function)

    def launch(function, bx, by, bz, tx, ty, tz, shared, stream, pointers, extra):
        assert (by, bz, ty, tz, shared, stream.value, extra) == (1, 1, 1, 1, 0, 7, None)
        numbers = [ctypes.c_uint64.from_address(place).value for place in pointers]
        emulated, name = kernels_of_the_driver[function.value]
        emulated.launch(name, bx, tx, numbers[:3], numbers[3:])
        return failure

    kernels_of_the_driver, failure = {}, 0
    cupy = types.ModuleType("cupy")
    cupy.RawModule = raw_module
    cupy.cuda = types.SimpleNamespace(Device=Device)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    stream = types.SimpleNamespace(cuda_stream=7)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    driver = types.SimpleNamespace(cuLaunchKernel=launch)
    monkeypatch.setattr(gpu, "driver", lambda: driver)

    layer = layers.ParametricLIFLayer()
    layer.build((None, None, 300))  # more than a block of threads
    kernel = fused.choose(layer, (300,))
    library, numbers = kernel.library, torch.tensor(kernel.step.scalars)
    monkeypatch.setattr(library, "gpu_functions", {})
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
    failure = 2
    with pytest.raises(RuntimeError, match="could not start a kernel: error 2"):
        kernels._launch(library, name, inputs, outputs)
