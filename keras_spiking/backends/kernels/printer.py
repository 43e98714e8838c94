"""Prints a program as C for the host and as CUDA C for the GPU.

Both have the same text in their middle, the passes over time of one neuron. Around
it stand the loops of the host over blocks of neurons, or the thread of the GPU.
"""

from keras_spiking.backends.kernels.passes import kernels


def _type(array, const):
    kind = {"sequence": "STORED", "mask": "unsigned char"}.get(array.kind, "REAL")
    return ("const " if const else "") + kind


def _rows(kernel, loop, scratch_row):
    lines = ["const INDEX row = (b * time + t) * features + first;"]
    for array in loop.sequences:
        kind = _type(array, const=array in kernel.inputs)
        row = scratch_row if array.kind == "scratch" else "row"
        lines.append(f"{kind} *{array.name}_row = {array.name} + {row};")
    if any(array.kind == "mask" for array in kernel.inputs):
        lines.append("const int mask = mask_rows[b * time + t];")
    return lines


def _loop(loop):
    if loop.back:
        return "for (INDEX t = time - 1; t >= 0; t--) {"
    return "for (INDEX t = 0; t < time; t++) {"


def _each_neuron(lines):
    """Lines outside of the loop over time, for all neurons that the host has."""
    if not lines:
        return []
    here = "    const INDEX here = b * features + first + i;"
    return ["EACH_NEURON {", here, *("    " + line for line in lines), "}"]


def _indent(lines, depth):
    return "\n".join("    " * depth + line for line in lines)


def _fill(template, **parts):
    """A template with its parts, each on lines of its own, if it has any."""
    for name, part in parts.items():
        line = f"{{{name}}}\n"
        if not part and line in template:
            template = template.replace(line, "")
    return template.format(**parts)


def _pointer_name(array):
    return "mask_rows" if array.kind == "mask" else array.name


HOST_FUNCTION = """
int {name}_part(
    INDEX begin, INDEX end, INDEX batch, INDEX time, INDEX features,
    void **in, void **out
) {{
{pointers}
{pages}
    const INDEX block = block_size(time), blocks = (features + block - 1) / block;
{scratch}
    for (INDEX item = begin; item < end; item++) {{
        const INDEX b = item / blocks, first = item % blocks * block;
        const int n = (int)(features - first < block ? features - first : block);
{passes}
    }}
{release}
    return 0;
}}

int {name}(INDEX batch, INDEX time, INDEX features, void **in, void **out) {{
    const INDEX block = block_size(time);
    const INDEX items = batch * ((features + block - 1) / block);
    int failed = 0;
    #pragma omp parallel reduction(|:failed) if (batch * time * features > 32768)
    {{
        const INDEX threads = omp_get_num_threads(), me = omp_get_thread_num();
        failed = {name}_part(
            items * me / threads, items * (me + 1) / threads,
            batch, time, features, in, out);
    }}
    return failed;
}}
"""

HOST_PASS = """        {{
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

GPU_FUNCTION = """
extern "C" __global__ void {name}(INDEX batch, INDEX time, INDEX features,
{pointers}) {{
    const INDEX here = (INDEX)blockIdx.x * blockDim.x + threadIdx.x;
    if (here >= batch * features) return;
    const INDEX b = here / features, i = here % features, first = 0;
{passes}
}}
"""

GPU_PASS = """    {{
{registers}
{setup}
        {loop}
{rows}
{body}
        }}
{finish}
    }}"""


def host_source(program, dtype):
    """The C text of a program's kernels, for sequences of a dtype."""
    text = _prelude(dtype) + BLOCK_SIZE + HOST_PRELUDE
    for kernel in kernels(program):
        pointers = [
            f"{_type(a, const)} *RESTRICT {_pointer_name(a)} = {table}[{k}];"
            for arrays, table, const in (
                (kernel.inputs, "in", True),
                (kernel.outputs, "out", False),
            )
            for k, a in enumerate(arrays)
        ]
        of_sequence = "sizeof(STORED) * batch * time * features"
        pages = [
            f"if (begin == 0) prefer_large_pages({array.name}, {of_sequence});"
            for array in kernel.outputs
            if array.kind == "sequence"
        ]
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
        passes = [
            _fill(
                HOST_PASS,
                registers=_indent([f"REAL {s}[MAX_BLOCK];" for s in p.states], 3),
                setup=_indent(_each_neuron(p.setup), 3),
                loop=_loop(p),
                rows=_indent(_rows(kernel, p, "t * block"), 4),
                body=_indent(p.body, 5),
                finish=_indent(_each_neuron(p.finish), 3),
            )
            for p in kernel.passes
        ]
        text += _fill(
            HOST_FUNCTION,
            name=kernel.name,
            pointers=_indent(pointers, 1),
            pages=_indent(pages, 1),
            scratch=_indent(scratch, 1),
            passes="\n".join(passes),
            release=_indent(release, 1),
        )
    return text


def gpu_source(program, dtype):
    """The CUDA text of a program's kernels, for sequences of a dtype."""
    text = _prelude(dtype) + GPU_PRELUDE
    for kernel in kernels(program):
        pointers = [
            f"    {_type(a, const)} *RESTRICT {_pointer_name(a)}"
            for arrays, const in (
                (kernel.inputs, True),
                (kernel.outputs + kernel.scratch, False),
            )
            for a in arrays
        ]
        passes = [
            _fill(
                GPU_PASS,
                registers=_indent([f"REAL {s};" for s in p.states], 2),
                setup=_indent(p.setup, 2),
                loop=_loop(p),
                rows=_indent(_rows(kernel, p, "row"), 3),
                body=_indent(p.body, 3),
                finish=_indent(p.finish, 2),
            )
            for p in kernel.passes
        ]
        text += _fill(
            GPU_FUNCTION,
            name=kernel.name,
            pointers=",\n".join(pointers),
            passes="\n".join(passes),
        )
    return text


_FUNCTIONS = "exp expm1 log log1p sqrt sin cos atan tanh erf floor ceil rint trunc pow"


def _prelude(dtype):
    real = "double" if dtype == "float64" else "float"
    suffix = "" if dtype == "float64" else "f"
    stored = {"float16": "HALF", "bfloat16": "BFLOAT"}.get(dtype, real)
    lines = [
        "typedef long long INDEX;",
        f"typedef {real} REAL;",
        f"#define STORED {stored}",
        f"#define STORED_{dtype.upper()}",
        "#define R(x) x##f" if suffix else "#define R(x) ((REAL)x)",
    ]
    for function in _FUNCTIONS.split():
        lines.append(f"#define {function.upper()} {function}{suffix}")
    lines.append(f"#define ABS fabs{suffix}")
    return "\n".join(lines) + COMMON_PRELUDE


COMMON_PRELUDE = """
#define ZERO R(0.0)
#define ONE R(1.0)
#define INFINITE ((REAL)__builtin_huge_val())
#define NOT_A_NUMBER ((REAL)__builtin_nan(""))
#define SIGMOID(x) (ONE / (ONE + EXP(-(x))))
#define SOFTPLUS(x) (MAXIMUM(x, ZERO) + LOG1P(EXP(-ABS(x))))
#define SIGN(x) ((x) > ZERO ? ONE : (x) < ZERO ? -ONE : (x))
/* NaN wins, as it does in Keras. */
#define MAXIMUM(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))
#define MINIMUM(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
"""

# Neurons that the host runs together: few enough for a sequence of them to stay in
# the cache of a core.
BLOCK_SIZE = """
#define MAX_BLOCK 512
static inline long long block_size(long long time) {
    const long long n = 131072 / (time ? time : 1) / 16 * 16;
    return n < 16 ? 16 : n > MAX_BLOCK ? MAX_BLOCK : n;
}
"""

HOST_PRELUDE = """
int omp_get_num_threads(void);
int omp_get_thread_num(void);
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

GPU_PRELUDE = """
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
