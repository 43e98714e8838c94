"""The generator by itself. It does not depend on the backend."""

import shutil
import subprocess

import numpy as np
import pytest
from backend import BACKEND

import keras_spiking
from keras_spiking import layers
from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.trace import Step

pytestmark = pytest.mark.skipif(
    BACKEND != "numpy", reason="the same on every backend: tested once, with NumPy"
)


def program(layer, features=(5,), **kwargs):
    layer.build((None, None, *features))
    return Program(Step(layer, features), **kwargs)


def saved(layer):
    return [node.op for node in program(layer).saved]


def test_lif_needs_one_value_of_a_step():
    # The membrane potential before the spike, from which not even x is needed.
    (node,) = program(layers.LIFLayer()).saved
    assert node.op != "input"


def test_parametric_lif_needs_one_value_besides_the_input():
    assert len(saved(layers.ParametricLIFLayer())) == 1


def test_leaky_integrator_needs_nothing():
    assert saved(layers.LILayer()) == []


def test_adaptive_neuron_needs_as_many_values_as_it_has_states():
    layer = layers.ALIFLayer()
    assert len(saved(layer)) <= len(program(layer).step.states)


def run(library, name, *inputs):
    batch, time, features = inputs[0].shape
    shapes = {"sequence": (batch, time, features), "neuron": (batch, features)}
    outputs = [np.empty(shapes[a.kind], "f4") for a in library.kernels[name].outputs]
    pointers = [[a.ctypes.data for a in group] for group in (inputs, outputs)]
    library.call(name, inputs[0].shape, *pointers)
    return outputs


def test_kernel_computes_the_equations():
    lif = program(layers.LIFLayer(tau=3.0))
    library = libraries.make(lif, "float32")
    x = np.random.default_rng(0).normal(1.0, 1.0, (2, 6, 5)).astype("f4")
    numbers = np.array(lif.step.scalars, "f4")
    spikes, final = run(library, "forward", x, np.zeros((2, 5), "f4"), numbers)
    v = np.zeros((2, 5), "f4")
    for t in range(6):
        h = v + (x[:, t] - v) / np.float32(3.0)
        np.testing.assert_array_equal(spikes[:, t], h >= 1.0)
        v = h * (h < 1.0)
    np.testing.assert_array_equal(final, v)


def exported_neurons():
    for name in sorted(dir(layers)):
        cls = getattr(layers, name)
        if isinstance(cls, type) and issubclass(cls, layers.TemporalLayer):
            try:
                yield program(cls())
            except Exception:  # abstract, or without a kernel: nothing to compile
                continue


def gpu_texts():
    for made in exported_neurons():
        for dtype in ("float32", "bfloat16"):
            yield cuda.source(made, dtype)
    for name in keras_spiking.surrogates.names():
        made = program(layers.LIFLayer(surrogate=name), masked=True)
        for dtype in ("float16", "float64"):
            yield cuda.source(made, dtype)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_cuda_text_of_all_neurons_and_surrogates_compiles(tmp_path):
    # One file for all: each text in a namespace of its own, macros undone.
    parts = []
    for i, text in enumerate(gpu_texts()):
        text = text.replace('extern "C" ', "")
        if i:  # loops that are not unrolled compile in a third of the time
            text = text.replace('"unroll"', '"unroll 1"')
        macros = [
            line.split()[1].split("(")[0]
            for line in text.splitlines()
            if line.startswith("#define")
        ]
        undo = "\n".join(f"#undef {macro}" for macro in macros)
        parts.append(f"namespace n{i} {{\n{text}\n}}\n{undo}\n")
    source = tmp_path / "kernels.cu"
    source.write_text("\n".join(parts))
    command = ["nvcc", "--ptx", "--gpu-architecture=sm_90", "-o", tmp_path / "out.ptx"]
    result = subprocess.run([*command, source], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[:3000]
    assert len(parts) > 30
