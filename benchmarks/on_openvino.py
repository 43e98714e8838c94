"""OpenVINO: what a loop over time costs, and what bfloat16 would do to spikes.

    python benchmarks/on_openvino.py

prints two tables in Markdown. Times are medians of calls of the compiled graph, which
take turns; "first" is the first `predict_on_batch`, which makes and compiles the graph.
"""

import argparse
import os
import statistics
import time

os.environ["KERAS_BACKEND"] = "openvino"

import keras
import numpy as np
import openvino

from keras_spiking import backends
from keras_spiking import layers

NEURONS = (layers.LIFLayer, layers.HodgkinHuxleyLayer)
STEPS = (16, 64, 256, 1024)
MOST_UNROLLED = 256


def loops(batch, units, repeats):
    """Rows of neuron, steps, and times of the unrolled graph and of the loop."""
    backend = type(backends.active())
    limit = backend.unrolled_steps
    for neuron in NEURONS:
        for steps in STEPS:
            x = np.random.default_rng(0).uniform(0.0, 3.0, (batch, steps, units))
            x = x.astype("float32")
            graphs, row = [], [neuron.__name__, steps]
            for backend.unrolled_steps in (10**9, 0):
                if backend.unrolled_steps and steps > MOST_UNROLLED:
                    row += ["", ""]
                    continue
                model = keras.Sequential([keras.Input((steps, units)), neuron()])
                start = time.perf_counter()
                model.predict_on_batch(x)
                row += [f"{time.perf_counter() - start:.2f} s", None]
                graphs.append(model.ov_compiled_model)
            times = [[] for _ in graphs]
            for _ in range(repeats):
                for graph, found in zip(graphs, times):
                    start = time.perf_counter()
                    graph([x])
                    found.append(time.perf_counter() - start)
            medians = iter([statistics.median(found) for found in times])
            yield [f"{1e3 * next(medians):.2f} ms" if c is None else c for c in row]
    backend.unrolled_steps = limit


def flips(hidden=256, steps=20):
    """Numbers of spikes of three layers, and of those that bfloat16 changes."""
    inputs = keras.Input((steps, hidden))
    outputs, x = [], inputs
    for _ in range(3):
        dense = keras.layers.Dense(hidden, use_bias=False)
        x = layers.LIFLayer()(layers.SeqToBatch(dense)(x))
        outputs.append(x)
    generator = np.random.default_rng(0)
    weights = [generator.normal(0.04, 0.25, (hidden, hidden)) for _ in range(3)]
    data = (generator.random((16, steps, hidden)) < 0.2).astype("float32")
    found = []
    compile_model = openvino.compile_model
    for hint in ("f32", "bf16"):
        model = keras.Model(inputs, outputs)
        model.set_weights(weights)
        config = {"INFERENCE_PRECISION_HINT": hint}
        openvino.compile_model = lambda graph, device: compile_model(
            graph,
            device,
            config,  # noqa: B023
        )
        found.append([y.copy() for y in model.predict_on_batch(data)])
    openvino.compile_model = compile_model
    for i, (exact, rounded) in enumerate(zip(*found)):
        yield [i + 1, f"{exact.sum():.0f}", f"{(exact != rounded).sum()}"]


def table(header, rows):
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    print(f"OpenVINO {openvino.__version__}, Keras {keras.__version__}\n")
    header = ["Neuron", "Steps", "Unrolled, first", "a call", "Loop, first", "a call"]
    table(header, loops(options.batch, options.units, options.repeats))
    table(["Layer", "Spikes", "Others in bfloat16"], flips())
