"""Prints the kernels of a program as C: loops over blocks of neurons and over time."""

from keras_spiking.backends.kernels.passes import kernels
from keras_spiking.backends.kernels.text import deeper
from keras_spiking.backends.kernels.text import fill
from keras_spiking.backends.kernels.text import indent
from keras_spiking.backends.kernels.text import mask_of_step
from keras_spiking.backends.kernels.text import pointer_name
from keras_spiking.backends.kernels.text import prelude
from keras_spiking.backends.kernels.text import type_of


def source(program, dtype):
    """The C text of a program's kernels, for sequences of a dtype."""
    functions = [_function(kernel) for kernel in kernels(program)]
    return "".join([prelude(dtype), BLOCK_SIZE, PRELUDE, *functions])


def _function(kernel):
    scratch, release = [], []
    if kernel.scratch:
        size = f"sizeof(REAL) * time * block * {len(kernel.scratch)}"
        scratch = [
            f"REAL *scratch = malloc({size});",
            "if (!scratch) return 1;",
        ]
        for k, array in enumerate(kernel.scratch):
            place = f"scratch + {k} * time * block"
            scratch.append(f"REAL *RESTRICT {array.name} = {place};")
        release = ["free(scratch);"]
    return fill(
        FUNCTION,
        name=kernel.name,
        pointers=indent(pointers_of(kernel) + kernel.constants.numbers, 1),
        pages=indent(pages_of(kernel), 1),
        scratch=indent(scratch, 1),
        constants=indent(_registers(kernel.constants.names), 2),
        compute_constants=indent(_each_neuron(kernel.constants.setup), 2),
        passes="\n".join(_pass(kernel, loop) for loop in kernel.passes),
        release=indent(release, 1),
    ) + TEAM.format(name=kernel.name)


def pointers_of(kernel):
    """Lines that find the arrays of a kernel."""
    return [
        f"{type_of(a, const)} *RESTRICT {pointer_name(a)} = {table}[{k}];"
        for arrays, table, const in (
            (kernel.inputs, "in", True),
            (kernel.outputs, "out", False),
        )
        for k, a in enumerate(arrays)
    ]


def pages_of(kernel):
    """Lines that ask for large pages for what a kernel writes."""
    of_sequence = "sizeof(STORED) * batch * time * features"
    return [
        f"if (part == 0) prefer_large_pages({array.name}, {of_sequence});"
        for array in kernel.outputs
        if array.kind == "sequence"
    ]


def _pass(kernel, loop):
    forth = "for (INDEX t = 0; t < time; t++) {"
    back = "for (INDEX t = time - 1; t >= 0; t--) {"
    return fill(
        PASS,
        registers=indent(_registers(loop.states), 3),
        setup=indent(_each_neuron(loop.setup), 3),
        loop=back if loop.back else forth,
        rows=indent(_rows(kernel, loop), 4),
        body=indent(loop.body, 5),
        finish=indent(_each_neuron(loop.finish), 3),
    )


def _registers(names):
    return [f"REAL {name}[MAX_BLOCK];" for name in names]


def _rows(kernel, loop):
    """Lines that find what a step reads and writes."""
    lines = ["const INDEX row = (b * time + t) * features + first;"]
    for array in loop.sequences:
        kind = type_of(array, const=array in kernel.inputs)
        row = "t * block" if array.kind == "scratch" else "row"
        lines.append(f"{kind} *{array.name}_row = {array.name} + {row};")
    return lines + mask_of_step(kernel, "t")


def _each_neuron(lines):
    """Lines outside of the loop over time, for all neurons of a block."""
    if not lines:
        return []
    here = "const INDEX here = b * features + first + i;"
    return ["EACH_NEURON {", *deeper([here, *lines]), "}"]


FUNCTION = """
int {name}_part(INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out) {{
    const INDEX batch = sizes[0], time = sizes[1], features = sizes[2];
{pointers}
{pages}
    const INDEX block = block_size(time), blocks = (features + block - 1) / block;
    const INDEX end = batch * blocks * (part + 1) / parts;
{scratch}
    for (INDEX item = batch * blocks * part / parts; item < end; item++) {{
        const INDEX b = item / blocks, first = item % blocks * block;
        const int n = (int)(features - first < block ? features - first : block);
{constants}
{compute_constants}
{passes}
    }}
{release}
    return 0;
}}

INDEX {name}_parts(const INDEX *sizes) {{ return parts_of(sizes); }}
"""

PASS = """        {{
{registers}
{setup}
            {loop}
{rows}
                EACH_NEURON {{
{body}
                }}
            }}
{finish}
        }}"""

# Neurons that the host runs together: few enough for a sequence of them to stay in
# the cache of a core.
BLOCK_SIZE = """
#define MAX_BLOCK 512
static inline INDEX block_size(INDEX time) {
    const INDEX n = 131072 / (time ? time : 1) / 16 * 16;
    return n < 16 ? 16 : n > MAX_BLOCK ? MAX_BLOCK : n;
}

/* A part should take longer than it takes to wake a thread. */
static INDEX parts_of(const INDEX *sizes) {
    const INDEX block = block_size(sizes[1]);
    const INDEX most = sizes[0] * ((sizes[2] + block - 1) / block);
    const INDEX parts = 1 + sizes[0] * sizes[1] * sizes[2] / 32768;
    return parts < most ? parts : most;
}
"""

# Runs a kernel on the threads of OpenMP.
TEAM = """
int omp_get_num_threads(void);
int omp_get_thread_num(void);
int {name}(const INDEX *sizes, void **in, void **out) {{
    int failed = 0;
    #pragma omp parallel reduction(|:failed) if ({name}_parts(sizes) > 1)
    failed = {name}_part(
        omp_get_thread_num(), omp_get_num_threads(), sizes, in, out);
    return failed;
}}
"""

PRELUDE = """
void *malloc(__SIZE_TYPE__);
void free(void *);
/* A large array is often memory that the system has yet to give, page by page, which
   takes longer than the neurons do. */
#ifdef __linux__
#include <sys/mman.h>
static void prefer_large_pages(void *array, INDEX bytes) {
    const INDEX page = 65536, first = ((INDEX)array + page - 1) / page * page;
    const INDEX last = ((INDEX)array + bytes) / page * page;
    if (bytes >= 4194304) madvise((void *)first, last - first, MADV_HUGEPAGE);
}
#else
#define prefer_large_pages(array, bytes)
#endif
#define RESTRICT restrict
#define AT(v) v[i]
#define EACH_NEURON _Pragma("omp simd") for (int i = 0; i < n; i++)
#ifdef VECTOR_MATH
#define MATH _Pragma("omp declare simd notinbranch")
#else
#define MATH
#endif
MATH REAL EXP(REAL); MATH REAL EXPM1(REAL); MATH REAL LOG(REAL);
MATH REAL LOG1P(REAL); MATH REAL SIN(REAL); MATH REAL COS(REAL);
MATH REAL ATAN(REAL); MATH REAL TANH(REAL); MATH REAL ERF(REAL);
MATH REAL POW(REAL, REAL);
REAL SQRT(REAL); REAL ABS(REAL); REAL FLOOR(REAL); REAL CEIL(REAL);
REAL RINT(REAL); REAL TRUNC(REAL);
typedef unsigned short BFLOAT;
#if defined(STORED_FLOAT16)
typedef _Float16 HALF;
#endif
#if defined(STORED_BFLOAT16)
static inline float LOAD(BFLOAT x) {
    union { unsigned u; float f; } bits = {(unsigned)x << 16};
    return bits.f;
}
static inline BFLOAT to_bfloat(float x) {
    union { float f; unsigned u; } bits = {x};
    const unsigned rounded = bits.u + 0x7fff + ((bits.u >> 16) & 1);
    return x != x ? 0x7fc0 : (BFLOAT)(rounded >> 16);
}
#define STORE(place, x) place = to_bfloat(x)
#else
#define LOAD(x) ((REAL)(x))
#define STORE(place, x) place = (STORED)(x)
#endif
"""
