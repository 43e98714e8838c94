"""Pieces of C99 for networks that run on their own, as `texts` has them for servers."""

# With these no compiler may group or contract operations, or compute them in more
# digits, whatever its flags: membrane potentials are the same everywhere.
ARITHMETIC = """
#ifdef __FAST_MATH__
#error "Spikes depend on the order of additions: compile without -ffast-math"
#endif
#if defined(__i386__) && defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#define EXTENDED /* the processor's first unit for floats rounds to 64 bits */
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#ifdef EXTENDED
#pragma clang attribute push(__attribute__((target("sse2"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#ifdef EXTENDED
#pragma GCC target("sse2,fpmath=sse")
#endif
#else
#pragma STDC FP_CONTRACT OFF
#endif
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif
"""
ARITHMETIC_END = """
#if defined(__clang__) && defined(EXTENDED)
#pragma clang attribute pop
#endif
"""

PRELUDE = """
typedef float REAL;
typedef int32_t INDEX;
typedef int8_t BYTE;
typedef uint8_t WORD; /* of bits, which are spikes */
typedef EVENT_TYPE EVENT; /* a place in a memory */

#define R(x) x##f
#define INFINITE INFINITY
#define NOT_A_NUMBER NAN
#define RESTRICT restrict
#define ALWAYS_INLINE inline
#define ALIGNED
#define MAX_BLOCK WIDTH
#define EACH_NEURON for (int i = 0; i < n; i++)
"""

BLOCK = """
typedef struct {
    const REAL *const *inputs;
    REAL *const *outputs;
    int64_t step; /* since the start */
} BLOCK;
"""

# Each is printed if what follows uses its name.
HELPERS = {
    "least": """
static inline INDEX least(INDEX x, INDEX y) { return x < y ? x : y; }
""",
    "set": """
static inline void set(WORD *bits, INDEX place, unsigned value) {
    bits[place / 8] = (WORD)(bits[place / 8] | value << place % 8);
}
""",
    "bit": """
static inline unsigned bit(const WORD *bits, INDEX place) {
    return bits[place / 8] >> place % 8 & 1u;
}
""",
    "pack": """
/* Numbers to bits, which start at a multiple of 8. */
static inline void pack(WORD *bits, INDEX at, const REAL *x, int n) {
    for (int i = 0; i < n; i += 8) {
        unsigned found = 0;
        for (int k = 0; k < 8 && i + k < n; k++)
            found |= (unsigned)(x[i + k] != ZERO) << k;
        bits[(at + i) / 8] = (WORD)found;
    }
}
""",
    "pack_anywhere": """
/* The same, anywhere, among bits that are 0. */
static inline void pack_anywhere(WORD *bits, INDEX at, const REAL *x, int n) {
    for (int i = 0; i < n; i++) set(bits, at + i, x[i] != ZERO);
}
""",
    "unpack": """
static inline void unpack(const WORD *bits, INDEX at, INDEX n, REAL *x) {
    for (INDEX i = 0; i < n; i++) x[i] = (REAL)bit(bits, at + i);
}
""",
    "load": """
static inline void load(const REAL *from, INDEX at, int n, REAL *x) {
    memcpy(x, from + at, sizeof(REAL) * (size_t)n);
}
""",
    "store": """
static inline void store(REAL *place, const REAL *x, int n) {
    memcpy(place, x, sizeof(REAL) * (size_t)n);
}
""",
    "zero": """
static inline void zero(WORD *bits, INDEX words) {
    if (words) memset(bits, 0, (size_t)words);
}
""",
    "find_bits": """
/* Finds the events of an image, `starts[p]` of them before pixel p. */
static int find_bits(
    const WORD *bits, INDEX pixels, INDEX channels, EVENT *starts, EVENT *events
) {
    INDEX count = 0, pixel = 0, first = 0;
    for (INDEX at = 0; at < pixels * channels; at += 8) {
        INDEX place = at;
        for (unsigned found = bits[at / 8]; found; found >>= 1, place++) {
            if (!(found & 1u)) continue;
            for (; first <= place; first += channels) starts[pixel++] = (EVENT)count;
            events[count++] = (EVENT)place;
        }
    }
    while (pixel <= pixels) starts[pixel++] = (EVENT)count;
    return 1;
}
""",
    "find_numbers": """
/* The same of numbers that are not 0; returns whether all of these are 1. */
static int find_numbers(
    const REAL *x, INDEX pixels, INDEX channels, EVENT *starts, EVENT *events
) {
    INDEX count = 0, place = 0;
    int ones = 1;
    for (INDEX pixel = 0; pixel < pixels; pixel++) {
        starts[pixel] = (EVENT)count;
        for (INDEX channel = 0; channel < channels; channel++, place++) {
            if (x[place] == ZERO) continue;
            if (x[place] != ONE) ones = 0;
            events[count++] = (EVENT)place;
        }
    }
    starts[pixels] = (EVENT)count;
    return ones;
}
""",
}

PLACE = {
    "REAL": "#define NAME (arena + OFFSET)\n",
    "WORD": "#define NAME ((WORD *)(arena + OFFSET))\n",
}
ARGUMENT = "#define NAME (b->inputs[INDEX_OF])\n"

# Rows of weights are added one by one, in the order of the inputs.
GATHER = (
    "SUM sums[WIDTH];\n        for (int k = 0; k < WIDTH; k++) sums[k] = 0;",
    """for (INDEX e = pixels[begin]; e < pixels[end]; e++) {
                    const WEIGHT *from = weights + (first + events[e]) * WIDTH;
                    for (int k = 0; k < WIDTH; k++) ADD
                }""",
    "for (int k = 0; k < WIDTH; k++) values[k] = (REAL)sums[k];",
)
ADD_ONES = "sums[k] += from[k];"
ADD_AMOUNTS = "sums[k] += amounts[events[e]] * (REAL)from[k];"

PRODUCT = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    enum { PIXELS = GROUPS * ROWS * COLUMNS };
    EVENT *starts = scratch, *events = scratch + PIXELS + 1;
    ZEROES
    FIND
    for (INDEX g = 0; g < GROUPS; g++)
    for (INDEX block = 0; block < BLOCKS; block++) {
        const WEIGHT *weights = TABLE
            + (g * BLOCKS + block) * KERNEL_ROWS * KERNEL_COLUMNS * CHANNELS * WIDTH;
        const EVENT *before = starts + g * ROWS * COLUMNS;
        const int n = block < BLOCKS - 1 ? WIDTH : LAST;
        CALLS
    }
}
"""
CALL = "GATHER_@(b, g, block, weights, events, AMOUNTS, before, n);"
CALLS = """if (ones)
            ONES
        else
            OTHERS"""

EMIT_HEAD = """
    {
        REAL *to = b->outputs[NUMBER];
"""

MAIN = """
static int64_t steps; /* so far */

static void start(void) {
START
}
static void once(const BLOCK *b) {
ONCE
}
static void each(const BLOCK *b) {
STEP_KERNELS
EMIT_STEP
}
static void end(const BLOCK *b) {
END_KERNELS
EMIT_END
}

void NAME_reset(void) { steps = 0; }

static int advance(const REAL *const *inputs, REAL *const *outputs, int last) {
    const BLOCK b = {inputs, outputs, steps};
    if (LIMIT) return 1;
    if (steps == 0) {
        start();
        once(&b);
    }
    each(&b);
    if (last) end(&b);
    steps++;
    return 0;
}

int NAME_step(PARAMETERS) {
    const REAL *const inputs[] = {INPUT_NAMES};
    REAL *const outputs[] = {OUTPUT_NAMES};
    return advance(inputs, outputs, 1);
}

int NAME_run(RUN_PARAMETERS) {
    NAME_reset();
    for (int t = 0; t < timesteps; t++) {
        const REAL *const inputs[] = {INPUTS_AT};
        REAL *const outputs[] = {OUTPUTS_AT};
        if (advance(inputs, outputs, t == timesteps - 1)) return 1;
    }
    return 0;
}
"""
