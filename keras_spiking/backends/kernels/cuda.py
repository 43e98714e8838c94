"""Prints the kernels of a program as CUDA: a thread runs one neuron.

It takes the steps of time in chunks that it keeps in registers: all reads of a chunk
are under way before the first is waited for, and what the way back needs from every
step is not in memory. From there it only gets the states before each chunk but the
last, to go forward again.
"""

from keras_spiking.backends.kernels.passes import Array
from keras_spiking.backends.kernels.passes import kernels
from keras_spiking.backends.kernels.text import deeper
from keras_spiking.backends.kernels.text import fill
from keras_spiking.backends.kernels.text import indent
from keras_spiking.backends.kernels.text import mask_of_step
from keras_spiking.backends.kernels.text import pointer_name
from keras_spiking.backends.kernels.text import prelude
from keras_spiking.backends.kernels.text import type_of

CHUNK = 8  # steps
THREADS = 256  # of a block

# Four blocks at a time leave a thread 64 registers, room for four chunks. Measured:
# `benchmarks/gpu_chunks.py`.
BLOCKS = 4

# Longer steps are not written out one after another: that takes seconds to compile.
LONGEST_UNROLLED = 100  # lines


def source(program, dtype):
    """The CUDA text of a program's kernels, for sequences of a dtype."""
    functions = [_function(kernel) for kernel in kernels(program)]
    constants = CONSTANTS.format(chunk=CHUNK, threads=THREADS, blocks=BLOCKS)
    return "".join([prelude(dtype), constants, PRELUDE, *functions])


def checkpoints(kernel):
    """Arrays for the states before each chunk, `(batch, chunks - 1, features)`."""
    if not kernel.scratch:
        return []
    states = kernel.passes[0].states
    return [Array(f"checkpoint_{name}", "checkpoint") for name in states]


def _function(kernel):
    pointers = [
        f"    {type_of(a, const)} *RESTRICT {pointer_name(a)}"
        for arrays, const in (
            (kernel.inputs, True),
            (kernel.outputs + checkpoints(kernel), False),
        )
        for a in arrays
    ]
    constants = [
        *kernel.constants.numbers,
        *_registers(kernel.constants.names),
        *kernel.constants.setup,
    ]
    return fill(
        FUNCTION,
        name=kernel.name,
        unroll="unroll" if _is_short(kernel) else "unroll 1",
        pointers=",\n".join(pointers),
        constants=indent(constants, 1),
        body=indent(_back(kernel) if kernel.name == "backward" else _forth(kernel), 1),
    )


def _is_short(kernel):
    return sum(len(loop.body) for loop in kernel.passes) <= LONGEST_UNROLLED


def _forth(kernel):
    (loop,) = kernel.passes
    return [
        *_begin(loop),
        "for (INDEX start = 0; start < time; start += CHUNK) {",
        *deeper(_steps(kernel, [loop])),
        "}",
        *loop.finish,
    ]


def _back(kernel):
    *first, loop = kernel.passes
    replay, restore = _replay(kernel, *first) if first else ([], [])
    return [
        "const INDEX last = (time - 1) / CHUNK * CHUNK;",
        *replay,
        *_begin(loop),
        "for (INDEX start = last; start >= 0; start -= CHUNK) {",
        *deeper([*restore, *_steps(kernel, kernel.passes)]),
        "}",
        *loop.finish,
    ]


def _replay(kernel, loop):
    """Lines that keep the states before each chunk, and lines that restore them."""
    chunk = "(b * (last / CHUNK) + start / CHUNK)"
    place = f"const INDEX place = {chunk} * features + neuron;"
    names = loop.states
    keep = [place, *(f"checkpoint_{name}[place] = {name};" for name in names)]
    restore = [place, *(f"{name} = checkpoint_{name}[place];" for name in names)]
    replay = [
        *_begin(loop),
        "for (INDEX start = 0; start < last; start += CHUNK) {",
        *deeper([*keep, *_steps(kernel, [loop])]),
        "}",
    ]
    return replay, ["if (start < last) {", *deeper(restore), "}"]


def _begin(loop):
    return _registers(loop.states) + loop.setup


def _registers(names):
    return [f"REAL {name};" for name in names]


def _steps(kernel, passes):
    """The steps of one chunk: reads, passes, writes."""
    arrays = {a.name: a for loop in passes for a in loop.sequences}.values()
    reads = [a.name for a in arrays if a in kernel.inputs]
    writes = [a.name for a in arrays if a in kernel.outputs]
    lines = [
        "const INDEX left = time - start;",
        "const INDEX row = (b * time + start) * features + neuron;",
    ]
    lines += [f"{type_of(a, const=False)} {a.name}_row[CHUNK];" for a in arrays]
    lines += [f"EACH_STEP {a}_row[i] = {a}[row + i * features];" for a in reads]
    for loop in passes:
        lines.append("EACH_STEP_BACK {" if loop.back else "EACH_STEP {")
        lines += deeper(mask_of_step(kernel, "start + i") + loop.body)
        lines.append("}")
    lines += [f"EACH_STEP {a}[row + i * features] = {a}_row[i];" for a in writes]
    return lines


FUNCTION = """
#undef UNROLL
#define UNROLL _Pragma("{unroll}")
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) {name}(
    INDEX batch, INDEX time, INDEX features,
{pointers}
) {{
    const INDEX here = (INDEX)blockIdx.x * blockDim.x + threadIdx.x;
    if (here >= batch * features) return;
    const INDEX b = here / features, neuron = here % features;
{constants}
{body}
}}
"""

CONSTANTS = """
#define CHUNK {chunk}
#define THREADS {threads}
#define BLOCKS {blocks}
"""

PRELUDE = """
#define EACH_STEP UNROLL for (int i = 0; i < CHUNK; i++) if (i < left)
#define EACH_STEP_BACK UNROLL for (int i = CHUNK - 1; i >= 0; i--) if (i < left)
#define RESTRICT __restrict__
#define AT(v) v
typedef unsigned short HALF;
typedef unsigned short BFLOAT;
#if defined(STORED_FLOAT16)
static __device__ __forceinline__ float LOAD(HALF x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}
static __device__ __forceinline__ HALF to_stored(float x) {
    HALF y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
#define STORE(place, x) place = to_stored(x)
#elif defined(STORED_BFLOAT16)
static __device__ __forceinline__ float LOAD(BFLOAT x) {
    return __uint_as_float((unsigned)x << 16);
}
static __device__ __forceinline__ BFLOAT to_stored(float x) {
    const unsigned bits = __float_as_uint(x);
    const unsigned rounded = bits + 0x7fff + ((bits >> 16) & 1);
    return x != x ? 0x7fc0 : (BFLOAT)(rounded >> 16);
}
#define STORE(place, x) place = to_stored(x)
#else
#define LOAD(x) (x)
#define STORE(place, x) place = (x)
#endif
"""
