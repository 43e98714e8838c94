"""Runs the text of CUDA kernels on the host, one thread after another."""

import ctypes
import pathlib
import subprocess

PRELUDE = """
#include <math.h>
#include <string.h>
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads, blocks)
struct Place { int x; };
static Place blockIdx, blockDim, threadIdx;
static float __uint_as_float(unsigned x) { float y; memcpy(&y, &x, 4); return y; }
static unsigned __float_as_uint(float x) { unsigned y; memcpy(&y, &x, 4); return y; }
extern "C" void go_to(int block, int size, int thread) {
    blockIdx.x = block; blockDim.x = size; threadIdx.x = thread;
}
"""


class EmulatedKernels:
    """The kernels of a CUDA text."""

    def __init__(self, text, folder):
        assert "__builtin" not in text  # g++ would know them, NVRTC does not
        source, library = pathlib.Path(folder, "gpu.cc"), pathlib.Path(folder, "gpu.so")
        source.write_text(PRELUDE + text)
        flags = "-O1 -w -shared -fPIC -ffp-contract=off".split()
        subprocess.run(["g++", *flags, "-o", library, source], check=True)
        self.functions = ctypes.CDLL(str(library))

    def launch(self, name, blocks, threads, sizes, addresses):
        """What `cuLaunchKernel` does."""
        function = getattr(self.functions, name)
        arguments = [ctypes.c_longlong(n) for n in sizes]
        arguments += [ctypes.c_void_p(a) for a in addresses]
        for block in range(blocks):
            for thread in range(threads):
                self.functions.go_to(block, threads, thread)
                function(*arguments)
