"""Prints a program as C for the host and as CUDA C for the GPU.

Both have the same text in their middle: what is done for one neuron before the
loop over time, in one step, and after it. Around it stand the loops of the host
over blocks of neurons, or the thread of the GPU.
"""

from collections import namedtuple

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.expression import inputs_of
from keras_spiking.backends.kernels.operations import OPERATIONS

# An array that a kernel reads or writes. `kind`: "sequence" (batch, time,
# features), "neuron" (batch, features) or "mask" (batch, time).
Array = namedtuple("Array", ["name", "kind"])


class Kernel:
    """One pass over time: its arrays, and what happens to one neuron.

    Attributes:
        name: `"infer"`, `"forward"` (which saves) or `"backward"`.
        inputs, outputs: Lists of `Array`s.
        setup, body, finish: Lines of C.
    """

    def __init__(self, name, program, inputs, outputs):
        self.name = name
        self.program = program
        self.inputs = inputs
        self.outputs = outputs
        if program.masked:
            self.inputs = [*inputs, Array("mask", "mask")]
        self.states = []
        self.setup, self.body, self.finish = [], [], []
        self._names = {}

    def state(self, name, initial):
        """A value that lives in a register over the whole loop."""
        self.states.append(name)
        self.setup.append(f"AT({name}) = {initial};")

    def compute(self, expressions):
        """Prints expressions into the body; returns their names."""
        known = list(self._names)
        for node in in_order(expressions, known):
            if node.op == "input" or node.is_constant():
                continue
            used = inputs_of([node])
            if used and all(name.startswith("parameter") for name in used):
                self._hoist(node)
            else:
                self._print(node)
        return [self.name_of(e) for e in expressions]

    def know(self, node, name):
        """Says that the body has the value of an expression under a name."""
        self._names[node] = name

    def name_of(self, node):
        if node.is_constant():
            return _literal(node.value)
        if node in self._names:
            return self._names[node]
        return node.value

    def _print(self, node):
        kind = "int" if node.is_bool else "REAL"
        name = f"a{len(self._names)}"
        self.body.append(f"const {kind} {name} = {self._code(node)};")
        self._names[node] = name

    def _hoist(self, node):
        # It does not change over time: it is computed before the loop.
        name = f"c{len(self._names)}"
        self.state(name, self._code(node))
        self._names[node] = f"AT({name})"

    def _code(self, node):
        return OPERATIONS[node.op].code.format(*map(self.name_of, node.args))


def _literal(value):
    if value != value:
        return "NOT_A_NUMBER"
    if value in (float("inf"), float("-inf")):
        return "INFINITE" if value > 0 else "(-INFINITE)"
    text = f"R({value!r})"
    return f"({text})" if value < 0 else text


def kernels(program):
    """The three kernels of a program."""
    return [
        _forward("infer", program, saved=[]),
        _forward("forward", program, saved=program.saved),
        _backward(program),
    ]


def _neurons(prefix, items):
    return [Array(f"{prefix}{i}", "neuron") for i, _ in enumerate(items)]


def _forward(name, program, saved):
    step = program.step
    inputs = [Array("x", "sequence")]
    inputs += _neurons("initial", step.states)
    inputs += _neurons("parameter", step.parameters)
    outputs = [Array("output", "sequence"), *_neurons("final", step.states)]
    outputs += [Array(f"saved{i}", "sequence") for i, _ in enumerate(saved)]
    kernel = Kernel(name, program, inputs, outputs)
    _read_parameters(kernel)
    for i, state in enumerate(step.states):
        kernel.state(f"s{i}", f"initial{i}[here]")
        kernel.finish.append(f"final{i}[here] = AT(s{i});")
        kernel.body.append(f"const REAL {state.value} = AT(s{i});")
    kernel.body.append("const REAL x = LOAD(x_row[i]);")
    output, *rest = kernel.compute([step.output, *step.new_states, *saved])
    kernel.body.append(f"STORE(output_row[i], {output});")
    for i, value in enumerate(rest[len(step.states) :]):
        kernel.body.append(f"STORE(saved{i}_row[i], {value});")
    for i, value in enumerate(rest[: len(step.states)]):
        kernel.body.append(f"AT(s{i}) = {value};")
    return kernel


def _backward(program):
    step = program.step
    known = {name: node for node, name in program.known.items()}
    inputs = [Array("grad_output", "sequence")]
    inputs += _neurons("grad_final", step.states)
    inputs += _neurons("parameter", step.parameters)
    inputs += [Array(name, "sequence") for name in known]
    outputs = [Array("grad_x", "sequence"), *_neurons("grad_initial", step.states)]
    outputs += _neurons("grad_parameter", step.parameters)
    kernel = Kernel("backward", program, inputs, outputs)
    _read_parameters(kernel)
    for i, _ in enumerate(step.states):
        kernel.state(f"g{i}", f"grad_final{i}[here]")
        kernel.finish.append(f"grad_initial{i}[here] = AT(g{i});")
        kernel.body.append(f"const REAL grad_state{i} = AT(g{i});")
    for i, _ in enumerate(step.parameters):
        kernel.state(f"w{i}", "ZERO")
        kernel.finish.append(f"grad_parameter{i}[here] = AT(w{i});")
    kernel.body.append("const REAL grad_output = LOAD(grad_output_row[i]);")
    for name, node in known.items():
        kernel.body.append(f"const REAL {name} = LOAD({name}_row[i]);")
        kernel.know(node, name)
    grads = [program.grad_x, *program.grad_states, *program.grad_parameters]
    grad_x, *rest = kernel.compute(grads)
    kernel.body.append(f"STORE(grad_x_row[i], {grad_x});")
    for i, value in enumerate(rest[: len(step.states)]):
        kernel.body.append(f"AT(g{i}) = {value};")
    for i, value in enumerate(rest[len(step.states) :]):
        kernel.body.append(f"AT(w{i}) += {value};")
    return kernel


def _read_parameters(kernel):
    for i, _ in enumerate(kernel.program.step.parameters):
        kernel.state(f"p{i}", f"parameter{i}[here]")
        node = kernel.program.step.graph.input(f"parameter{i}")
        kernel.know(node, f"AT(p{i})")


def _type(array, const):
    kind = {"sequence": "STORED", "neuron": "REAL", "mask": "unsigned char"}
    return ("const " if const else "") + kind[array.kind]


def _rows(kernel, indent):
    lines = ["const INDEX row = (b * time + t) * features + first;"]
    for array in [*kernel.inputs, *kernel.outputs]:
        if array.kind == "sequence":
            kind = _type(array, array in kernel.inputs)
            lines.append(f"{kind} *{array.name}_row = {array.name} + row;")
        elif array.kind == "mask":
            lines.append("const int mask = mask_rows[b * time + t];")
    return _indent(lines, indent)


def _indent(lines, depth):
    return "\n".join("    " * depth + line for line in lines)


def _loop(kernel):
    if kernel.name == "backward":
        return "for (INDEX t = time - 1; t >= 0; t--) {"
    return "for (INDEX t = 0; t < time; t++) {"


def _pointer_name(array):
    return "mask_rows" if array.kind == "mask" else array.name


HOST_FUNCTION = """
void {name}_part(
    INDEX begin, INDEX end, INDEX batch, INDEX time, INDEX features,
    void **in, void **out
) {{
{pointers}
    const INDEX blocks = (features + BLOCK - 1) / BLOCK;
    for (INDEX item = begin; item < end; item++) {{
        const INDEX b = item / blocks, first = item % blocks * BLOCK;
        const int n = (int)(features - first < BLOCK ? features - first : BLOCK);
{registers}
        EACH_NEURON {{
            const INDEX here = b * features + first + i;
{setup}
        }}
        {loop}
{rows}
            EACH_NEURON {{
{body}
            }}
        }}
        EACH_NEURON {{
            const INDEX here = b * features + first + i;
{finish}
        }}
    }}
}}

void {name}(INDEX batch, INDEX time, INDEX features, void **in, void **out) {{
    const INDEX items = batch * ((features + BLOCK - 1) / BLOCK);
    #pragma omp parallel for schedule(static) if (batch * time * features > 32768)
    for (INDEX item = 0; item < items; item++)
        {name}_part(item, item + 1, batch, time, features, in, out);
}}
"""

GPU_FUNCTION = """
extern "C" __global__ void {name}(INDEX batch, INDEX time, INDEX features,
{pointers}) {{
    const INDEX here = (INDEX)blockIdx.x * blockDim.x + threadIdx.x;
    if (here >= batch * features) return;
    const INDEX b = here / features, i = here % features, first = 0;
{registers}
    {{
{setup}
    }}
    {loop}
{rows}
        {{
{body}
        }}
    }}
    {{
{finish}
    }}
}}
"""


def host_source(program, dtype):
    """The C text of a program's three kernels, for sequences of a dtype."""
    text = _prelude(dtype) + f"\n#define BLOCK {BLOCK}" + HOST_PRELUDE
    for kernel in kernels(program):
        pointers = [
            f"{_type(a, const)} *RESTRICT {_pointer_name(a)} = {table}[{k}];"
            for arrays, table, const in (
                (kernel.inputs, "in", True),
                (kernel.outputs, "out", False),
            )
            for k, a in enumerate(arrays)
        ]
        text += HOST_FUNCTION.format(
            name=kernel.name,
            pointers=_indent(pointers, 1),
            registers=_indent([f"REAL {s}[BLOCK];" for s in kernel.states], 2),
            setup=_indent(kernel.setup, 3),
            loop=_loop(kernel),
            rows=_rows(kernel, 3),
            body=_indent(kernel.body, 4),
            finish=_indent(kernel.finish, 3),
        )
    return text


def gpu_source(program, dtype):
    """The CUDA text of a program's three kernels, for sequences of a dtype."""
    text = _prelude(dtype) + GPU_PRELUDE
    for kernel in kernels(program):
        pointers = [
            f"    {_type(a, const)} *RESTRICT {_pointer_name(a)}"
            for arrays, const in ((kernel.inputs, True), (kernel.outputs, False))
            for a in arrays
        ]
        text += GPU_FUNCTION.format(
            name=kernel.name,
            pointers=",\n".join(pointers),
            registers=_indent([f"REAL {s};" for s in kernel.states], 1),
            setup=_indent(kernel.setup, 2),
            loop=_loop(kernel),
            rows=_rows(kernel, 2),
            body=_indent(kernel.body, 3),
            finish=_indent(kernel.finish, 2),
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

# Neurons that the host runs together: their states fit into its fastest cache.
BLOCK = 512

HOST_PRELUDE = """
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
