"""How long the kernels of a GPU take by the steps of a chunk and the blocks at a time.

    KERAS_BACKEND=torch python benchmarks/gpu_chunks.py

`CHUNK` and `BLOCKS` of `keras_spiking/backends/kernels/cuda.py` are the best of them:
the last line of the output.
"""

import argparse
import functools
import statistics
from concurrent.futures import ThreadPoolExecutor

import timing
import torch

import keras_spiking
from keras_spiking.backends import fused
from keras_spiking.backends import gpu
from keras_spiking.backends import torch as kernels
from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels.library import shape_of

VARIANTS = [(4, 4), (4, 6), (8, 2), (8, 3), (8, 4), (8, 6), (16, 2), (16, 3), (16, 4)]
NEURONS = [
    ("LIFLayer", "float32"),
    ("LIFLayer", "bfloat16"),
    ("ALIFLayer", "float32"),
]


def library_of(name, dtype, features):
    layer = getattr(keras_spiking.layers, name)(dtype=dtype)
    layer.build((None, None, features))
    x = torch.zeros(1, 2, features, dtype=getattr(torch, dtype), device="cuda")
    return layer, fused.choose(layer, (features,), fresh=True, inputs=x)


def arrays_of(kernel, library, sizes):
    def draw(array):
        if array.kind == "scalars":
            return torch.tensor(library.program.step.scalars, device="cuda")
        x = torch.rand(shape_of(array, *sizes), device="cuda") * 2
        return x.to(getattr(torch, library.dtype_of(array)))

    return [draw(array) for array in kernel.inputs]


def milliseconds(function, rounds):
    times = []
    for _ in range(rounds + 2):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        function()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last))
    return statistics.median(times[2:])


def compiled(library):
    library.gpu_functions.clear()
    for name in library.kernels:
        gpu.address(library, name, 0)


def times_of(library, steps, options):
    """Milliseconds of each kernel."""
    sizes, times = (options.batch, steps, options.features), {}
    for name, kernel in library.kernels.items():
        arrays = arrays_of(kernel, library, sizes)
        run = functools.partial(kernels._run, library, name, arrays)
        times[name] = milliseconds(run, options.rounds)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--features", type=int, default=32768)
    parser.add_argument("--timesteps", type=int, nargs="+", default=[4, 16, 128])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(timing.setting())
    made = [library_of(*neuron, options.features) for neuron in NEURONS]
    libraries = [kernel.library for _, kernel in made]
    default = cuda.CHUNK, cuda.BLOCKS
    times = {}
    with ThreadPoolExecutor(len(libraries)) as pool:
        for variant in VARIANTS:
            cuda.CHUNK, cuda.BLOCKS = variant
            list(pool.map(compiled, libraries))
            for neuron, library in zip(NEURONS, libraries):
                for steps in options.timesteps:
                    for name, time in times_of(library, steps, options).items():
                        times[*neuron, steps, name, variant] = time
    cases = sorted({key[:-1] for key in times})
    rows = [[*case, *(times[*case, variant] for variant in VARIANTS)] for case in cases]
    columns = ["neuron", "dtype", "T", "kernel"]
    columns += [f"{chunk}, {blocks} (ms)" for chunk, blocks in VARIANTS]
    print("\n### Steps of a chunk, blocks at a time\n")
    print(timing.table(columns, rows))
    ratios = {
        variant: statistics.geometric_mean(
            times[*case, variant] / times[*case, default] for case in cases
        )
        for variant in VARIANTS
    }
    print({variant: round(ratio, 3) for variant, ratio in ratios.items()})
    print(*min(ratios, key=ratios.get))


if __name__ == "__main__":
    main()
