"""How long a neuron with many states waits for its kernel, and what that gives.

    KERAS_BACKEND=torch python benchmarks/many_states.py

N states that all act on each other, and the four of Hodgkin and Huxley. Tracing,
differentiating and planning are Python's work, compiling that of the C compiler; the
reference and the kernel then take turns in one process, forward and backward on a
backend with gradients.
"""

import argparse
import pathlib
import sys
import time

import keras
import neurons
import timing
import zoo_neurons

from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.trace import Step
from keras_spiking.layers import HodgkinHuxleyLayer

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))

from backends.many_states import Coupled  # noqa: E402


def making(layer, features):
    """Seconds to plan and to compile a kernel, and how many values it keeps."""
    layer.build((None, None, features))
    started = time.perf_counter()
    program = Program(Step(layer, (features,)))
    planned = time.perf_counter()
    libraries.make(program, "float32")
    return planned - started, time.perf_counter() - planned, len(program.saved)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--states", type=int, nargs="+", default=[1, 2, 3, 4, 6, 8])
    parser.add_argument("--shape", type=int, nargs=3, default=[32, 32, 1024])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    layers = {f"{n} coupled states": Coupled(n) for n in arguments.states}
    layers["Hodgkin-Huxley"] = HodgkinHuxleyLayer()
    x, g = neurons.random_sequences(arguments.shape)
    rows = []
    for name, layer in layers.items():
        plan, build, saved = making(layer, arguments.shape[-1])
        times = zoo_neurons.compare(layer, x, g, arguments.rounds)
        rows.append([name, saved, plan, build, *times[3:]])
    columns = "neuron, values kept, plan (s), compile (s), fused (ms), reference (ms)"
    print(timing.setting())
    shape = " x ".join(map(str, arguments.shape))
    print(f"\n### {keras.config.backend()}, {shape}, forward and backward\n")
    print(timing.table([*columns.split(", "), "fused / reference"], rows))


if __name__ == "__main__":
    main()
