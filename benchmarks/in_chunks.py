"""Kernels over chunks of time side by side, against those that go step by step.

    KERAS_BACKEND=numpy python benchmarks/in_chunks.py

The C kernels are called directly, without a framework, and take turns. Outputs are
compared bit for bit.
"""

import argparse

import numpy as np
import timing
from keras import ops

from keras_spiking import layers
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.library import shape_of
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.trace import Step

NEURONS = {
    "LIF, hard reset, tau 2": dict(tau=2.0, decay_input=False),
    "LIF, soft reset, tau 2": dict(tau=2.0, v_reset=None, decay_input=False),
    "LIF, soft reset, tau 20": dict(tau=20.0, v_reset=None),
    "LIF, soft reset, tau 100": dict(tau=100.0, v_reset=None, decay_input=False),
    "PLIF, hard reset": layers.ParametricLIFLayer,
    "PLIF, soft reset": lambda **kwargs: layers.ParametricLIFLayer(
        v_reset=None, **kwargs
    ),
    "ALIF, hard reset": layers.ALIFLayer,
    "ALIF, soft reset": lambda **kwargs: layers.ALIFLayer(v_reset=None, **kwargs),
    "Izhikevich": layers.IzhikevichLayer,
    "IF, soft reset (never forgets)": lambda **kwargs: layers.IFLayer(
        v_reset=None, **kwargs
    ),
}


def make(name):
    neurons = NEURONS[name]
    if isinstance(neurons, dict):
        return layers.LIFLayer(surrogate="atan", **neurons)
    return neurons(surrogate="atan")


def arrays_of(kernel, layer, step, shape):
    """Inputs of a kernel, and a function that makes its outputs."""
    random = np.random.default_rng(0)
    neuron = (shape[0], shape[2])
    values = {
        "x": random.normal(0.5, 1.0, shape),
        "grad_output": random.normal(size=shape),
        "scalars": np.array(step.scalars),
    }
    for i, source in enumerate(step.parameters):
        own = isinstance(source, str)
        value = getattr(layer, source) if own else layer.variables[source]
        values[f"parameter{i}"] = np.broadcast_to(
            ops.convert_to_numpy(ops.convert_to_tensor(value)), neuron
        )
    inputs = [
        np.ascontiguousarray(values.get(array.name, np.zeros(neuron)), "float32")
        for array in kernel.inputs
    ]
    return inputs, lambda: [
        np.zeros(shape_of(array, *shape), "float32") for array in kernel.outputs
    ]


def compare(name, shape, rounds):
    """A row: the times of both kernels, both ways, and how many spikes differ."""
    layer = make(name)
    layer.build((None, None, shape[2]))
    step = Step(layer, (shape[2],))
    program = Program(step)
    runs, outputs = {}, {}
    for way in ("forward", "backward"):
        for in_chunks in (False, True):
            library = libraries.make(program, "float32", in_chunks=in_chunks)
            inputs, new = arrays_of(library.kernels[way], layer, step, shape)
            results = outputs[way, in_chunks] = new()
            addresses = [[a.ctypes.data for a in group] for group in (inputs, results)]

            def run(library=library, way=way, addresses=addresses, keep=inputs):
                library.call(way, shape, *addresses)

            runs[way, in_chunks] = timing.Run(run)
    times = timing.take_turns(runs, rounds)
    differ = sum(
        np.sum(a.view("int32") != b.view("int32"))
        for a, b in zip(outputs["forward", False], outputs["forward", True])
    )
    row = [name, " x ".join(map(str, shape)), float(outputs["forward", True][0].mean())]
    for way in ("forward", "backward"):
        loop, chunks = times[way, False], times[way, True]
        row += [loop, chunks, loop / chunks]
    return [*row, int(differ)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--timesteps", type=int, nargs="+", default=[])
    parser.add_argument("--features", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--neurons", nargs="+", default=list(NEURONS))
    options = parser.parse_args()
    columns = [
        "neuron",
        "batch x time x features",
        "rate",
        "forward, steps (ms)",
        "forward, chunks (ms)",
        "steps / chunks",
        "backward, steps (ms)",
        "backward, chunks (ms)",
        "steps / chunks",
        "values that differ",
    ]
    print(timing.setting(), "\n")
    rows = []
    for name in options.neurons:
        for features in options.features:
            least = 1024 * features
            for time in options.timesteps or [least, 8 * least, 100_000]:
                shape = (options.batch, time, features)
                rows.append(compare(name, shape, options.rounds))
    print(timing.table(columns, rows))


if __name__ == "__main__":
    main()
