"""What the C text of the host and the CUDA text have in common."""


def type_of(array, const):
    """C type of the elements of an array."""
    kind = {"sequence": "STORED", "mask": "unsigned char"}.get(array.kind, "REAL")
    return ("const " if const else "") + kind


def pointer_name(array):
    """Name of an array of a kernel; `mask` is what one step has."""
    return "mask_rows" if array.kind == "mask" else array.name


def indent(lines, depth):
    """Lines as a text, `depth` levels deep."""
    return "\n".join("    " * depth + line for line in lines)


def deeper(lines):
    """Lines one level deeper."""
    return ["    " + line for line in lines]


def mask_of_step(kernel, step):
    """Lines that read the mask of a step, if the kernel has one."""
    masked = any(array.kind == "mask" for array in kernel.inputs)
    return [f"const int mask = mask_rows[b * time + {step}];"] * masked


def fill(template, **parts):
    """A template with its parts, each on lines of its own, if it has any."""
    for name, part in parts.items():
        line = f"{{{name}}}\n"
        if not part and line in template:
            template = template.replace(line, "")
    return template.format(**parts)


_FUNCTIONS = "exp expm1 log log1p sqrt sin cos atan tanh erf floor ceil rint trunc pow"


def prelude(dtype):
    """Types, functions and macros for sequences of a dtype."""
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
    lines += functions(suffix)
    return "\n".join(lines) + COMMON_PRELUDE


def functions(suffix):
    """Macros that name the functions of a type, by the suffix that C gives them."""
    lines = [f"#define {f.upper()} {f}{suffix}" for f in _FUNCTIONS.split()]
    return [*lines, f"#define ABS fabs{suffix}"]


# Of C and CUDA alike: no header, no function that only one of their compilers has.
COMMON_PRELUDE = """
#define ZERO R(0.0)
#define ONE R(1.0)
#define INFINITE (ONE / ZERO)
#define NOT_A_NUMBER (INFINITE - INFINITE)
#define SIGMOID(x) (ONE / (ONE + EXP(-(x))))
#define SOFTPLUS(x) (MAXIMUM(x, ZERO) + LOG1P(EXP(-ABS(x))))
#define SIGN(x) ((x) > ZERO ? ONE : (x) < ZERO ? -ONE : (x))
/* As `ops.bounded`: two instructions, which let NaN pass. */
#define AT_MOST(limit, x) ((limit) < (x) ? (limit) : (x))
#define AT_LEAST(limit, x) ((limit) > (x) ? (limit) : (x))
/* NaN wins, as it does in Keras. */
#define MAXIMUM(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))
#define MINIMUM(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
"""
