"""Pieces of C that `source` puts together. Words in capitals are filled in."""

MOST_VECTORS = """
int most_vectors(void) {
#ifdef __AVX512F__
    return 16;
#else
    return 4;
#endif
}
"""

PRELUDE = """
void *memcpy(void *, const void *, __SIZE_TYPE__);
void *memset(void *, int, __SIZE_TYPE__);
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(64)))
#define UNROLL _Pragma("GCC unroll 32")
#define MAX_BLOCK MOST
typedef unsigned long long WORD;
typedef signed char BYTE;
typedef int EVENT; /* a place in a memory */
typedef REAL VECTOR __attribute__((vector_size(64), aligned(4), may_alias));
typedef int INTS __attribute__((vector_size(64), aligned(4), may_alias));
/* Sums in them may wrap around. */
typedef unsigned short SHORTS __attribute__((vector_size(64), aligned(2), may_alias));
typedef short SIGNED_SHORTS __attribute__((vector_size(64), aligned(2), may_alias));
typedef short HALF_SHORTS __attribute__((vector_size(32), aligned(2), may_alias));
typedef unsigned short BITS16 __attribute__((may_alias));

/* Samples that one thread takes through a time step together. */
typedef struct {
    char *arena;
    INDEX capacity; /* samples that the arena has room for */
    const void *const *tables;
    const REAL *const *inputs; /* of the first sample, at this step */
    const INDEX *strides; /* of samples, in the inputs */
    REAL *const *outputs;
    INDEX first, samples; /* of the whole batch */
    INDEX step, row, time; /* since the start; of this call; steps of this call */
} BLOCK;

static ALWAYS_INLINE INDEX least(INDEX x, INDEX y) { return x < y ? x : y; }

static ALWAYS_INLINE SHORTS upper_of(SHORTS x) {
    return (SHORTS)((SIGNED_SHORTS)x >> 8);
}
static ALWAYS_INLINE VECTOR half_of(SHORTS x, int half) {
    const HALF_SHORTS *halves = (const HALF_SHORTS *)&x;
    return __builtin_convertvector(halves[half], VECTOR);
}

/* Which of 16 numbers differ from another one. */
static ALWAYS_INLINE unsigned differ16(const REAL *x, REAL from) {
    const VECTOR values = *(const VECTOR *)x;
#if defined(__AVX512F__) && !defined(__clang__)
    typedef REAL REALS __attribute__((vector_size(64)));
    return (unsigned short)__builtin_ia32_cmpps512_mask(
        (REALS)values, (REALS){0} + from, 4, -1, 4);
#else
    unsigned bits = 0;
    for (int i = 0; i < 16; i++) bits |= (unsigned)(values[i] != from) << i;
    return bits;
#endif
}

static ALWAYS_INLINE unsigned differ(const REAL *x, REAL from, int n) {
    if (n >= 16) return differ16(x, from);
    unsigned bits = 0;
    for (int i = 0; i < n; i++) bits |= (unsigned)(x[i] != from) << i;
    return bits;
}

static ALWAYS_INLINE void set(WORD *bits, INDEX place, WORD value) {
    bits[place / 64] |= value << place % 64;
}
static ALWAYS_INLINE WORD bit(const WORD *bits, INDEX place) {
    return bits[place / 64] >> place % 64 & 1;
}

/* Numbers to bits, which start at a multiple of 16. */
static ALWAYS_INLINE void pack(WORD *bits, INDEX at, const REAL *x, const int n) {
    BITS16 *place = (BITS16 *)bits + at / 16;
    for (int i = 0; i < n; i += 16) *place++ = differ(x + i, ZERO, n - i);
}

/* The same, anywhere, among bits that are 0. */
static ALWAYS_INLINE void pack_anywhere(
    WORD *bits, INDEX at, const REAL *x, const int n
) {
    for (int i = 0; i < n; i += 16) {
        const WORD found = differ(x + i, ZERO, n - i);
        const INDEX place = at + i;
        bits[place / 64] |= found << place % 64;
        if (place % 64 > 48) bits[place / 64 + 1] |= found >> (64 - place % 64);
    }
}

/* Bits, from a multiple of 16 on, to numbers. */
static ALWAYS_INLINE void unpack16(unsigned bits, REAL *x) {
#if defined(__AVX512F__) && !defined(__clang__)
    typedef REAL REALS __attribute__((vector_size(64)));
    *(VECTOR *)x = (VECTOR)__builtin_ia32_blendmps_512_mask(
        (REALS){0}, (REALS){0} + ONE, (unsigned short)bits);
#else
    for (int i = 0; i < 16; i++) x[i] = (REAL)(bits >> i & 1);
#endif
}
static ALWAYS_INLINE void unpack(const WORD *bits, INDEX at, INDEX n, REAL *x) {
    if (at % 16) {
        for (INDEX i = 0; i < n; i++) x[i] = (REAL)bit(bits, at + i);
        return;
    }
    const BITS16 *place = (const BITS16 *)bits + at / 16;
    INDEX i = 0;
    for (; i + 16 <= n; i += 16) unpack16(*place++, x + i);
    for (; i < n; i++) x[i] = (REAL)bit(bits, at + i);
}
static ALWAYS_INLINE void load(const REAL *from, INDEX at, int n, REAL *x) {
    memcpy(x, from + at, sizeof(REAL) * n);
}
static ALWAYS_INLINE void store(REAL *place, const REAL *x, int n) {
    memcpy(place, x, sizeof(REAL) * n);
}

/* Where bits are set, behind `events`, and up to eight numbers too many. */
static ALWAYS_INLINE int *indices(WORD bits, int base, int *events) {
    const int n = __builtin_popcountll(bits);
    for (int i = 0; i < n; i += 8)
        UNROLL for (int k = 0; k < 8; k++) {
            events[i + k] = base + (bits ? __builtin_ctzll(bits) : 64);
            bits &= bits - 1;
        }
    return events + n;
}

/* Finds the events of an image, `starts[p]` of them before pixel p. */
static ALWAYS_INLINE void find(
    const WORD *bits, const INDEX pixels, const INDEX channels, int *starts, int *events
) {
    int *end = events;
    INDEX pixel = 0;
    for (INDEX word = 0; word * 64 < pixels * channels; word++) {
        WORD found = bits[word];
        const INDEX rest = pixels * channels - word * 64;
        if (rest < 64) found &= ~0ULL >> (64 - rest);
        for (; pixel * channels < word * 64 + 64 && pixel < pixels; pixel++) {
            const WORD before = ((WORD)1 << (pixel * channels - word * 64)) - 1;
            starts[pixel] = (int)(end - events) + __builtin_popcountll(found & before);
        }
        end = indices(found, (int)(word * 64), end);
    }
    starts[pixels] = (int)(end - events);
}

/* Which of n numbers are not 0; whether all of these are 1. */
static ALWAYS_INLINE int to_bits(const REAL *x, const INDEX n, WORD *bits) {
    BITS16 *place = (BITS16 *)bits;
    unsigned others = 0;
    INDEX i = 0;
    for (; i + 16 <= n; i += 16) {
        const unsigned found = differ16(x + i, ZERO);
        others |= found & differ16(x + i, ONE);
        *place++ = found;
    }
    for (; i % 64 || i < n; i += 16) {
        const int rest = (int)(n - i);
        const unsigned found = rest > 0 ? differ(x + i, ZERO, rest) : 0;
        if (rest > 0) others |= found & differ(x + i, ONE, rest);
        *place++ = found;
    }
    return !others;
}

static ALWAYS_INLINE void zero(WORD *bits, INDEX words) {
    if (words) memset(bits, 0, 8 * words);
}
"""

PLACE = """
static ALWAYS_INLINE KIND *NAME(const BLOCK *b, INDEX s) {
    return (KIND *)(b->arena + OFFSETLL * b->capacity + SIZELL * s);
}
"""

ARGUMENT = """
static ALWAYS_INLINE const REAL *NAME(const BLOCK *b, INDEX s) {
    return b->inputs[INDEX_OF] + b->strides[INDEX_OF] * s;
}
"""

SCRATCH = """
static ALWAYS_INLINE char *scratch(const BLOCK *b, INDEX s) {
    const INDEX size = (SIZE + 63) / 64 * 64;
    return b->arena + OFFSETLL * b->capacity + size * s;
}
"""

LOAD = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    for (INDEX s = 0; s < b->samples; s++) {
        if (BITS) zero((WORD *)OUTPUT(b, s), BITS);
        REAL values[WIDTH] ALIGNED;
        INDEX at = 0;
        for (; at + WIDTH <= SIZE; at += WIDTH) {
            READ(INPUT(b, s), at, WIDTH, values);
            FINISH(b, s, at, at, values, WIDTH);
        }
        if (SIZE % WIDTH) {
            READ(INPUT(b, s), at, SIZE % WIDTH, values);
            FINISH(b, s, at, at, values, SIZE % WIDTH);
        }
    }
}
"""

# Sums of rows of weights, one for each non-zero that an output meets.
_LOOPS = """
    for (INDEX row = 0; row < OUT_ROWS; row++)
    for (INDEX column = 0; column < OUT_COLUMNS; column++) {
        DECLARE
        for (INDEX a = 0; a < KERNEL_ROWS; a++) {
            const INDEX r = row * STRIDE_ROWS + a * DILATION_ROWS - PAD_ROWS;
            if (r < 0 || r >= ROWS) continue;
            /* Taps that lie side by side meet inputs that do. */
            for (INDEX tap = 0; tap < (TOGETHER ? 1 : KERNEL_COLUMNS); tap++) {
                const INDEX c =
                    column * STRIDE_COLUMNS + tap * DILATION_COLUMNS - PAD_COLUMNS;
                const INDEX begin = c < 0 ? 0 : c;
                const INDEX end = least(c + (TOGETHER ? KERNEL_COLUMNS : 1), COLUMNS);
                if (end <= 0 || begin >= end || (c < 0 && !TOGETHER)) continue;
                const INDEX first = ((a * KERNEL_COLUMNS + tap - c)
                    - (g * ROWS + r) * COLUMNS) * CHANNELS;
                const EVENT *pixels = starts + r * COLUMNS;
                WALK
            }
        }
        const INDEX at =
            ((g * OUT_ROWS + row) * OUT_COLUMNS + column) * FILTERS + block * WIDTH;
        const INDEX channel = g * FILTERS + block * WIDTH;
        RESULT
    }
"""
_VALUES = """REAL values[WIDTH] ALIGNED;
        SUMS
        SCALING
        FINISH(b, s, at, channel, values, n);"""


def _gather(name, declare, walk, result):
    head = """
static ALWAYS_INLINE void NAME_@(
    const BLOCK *b, INDEX s, INDEX g, INDEX block, const WEIGHT *weights,
    const EVENT *events, const REAL *amounts, const int graded, const EVENT *starts,
    const int n
) {
    enum { CONSTANTS };
"""
    loops = _LOOPS.replace("DECLARE", declare).replace("WALK", walk)
    loops = loops.replace("RESULT", _VALUES.replace("SUMS", result))
    return head.replace("NAME", name) + loops + "}\n"


GATHER = _gather(
    "gather",
    """VECTOR sums[PARALLEL * WIDTH / 16];
        UNROLL for (int k = 0; k < PARALLEL * WIDTH / 16; k++)
            sums[k] = (VECTOR){0};""",
    """int e = pixels[begin];
                const int last = pixels[end];
                if (PARALLEL > 1)
                    for (; e + PARALLEL <= last; e += PARALLEL)
                        UNROLL for (int way = 0; way < PARALLEL; way++)
                            ADD_@(way, e + way)
                for (; e < last; e++) ADD_@(0, e)""",
    """UNROLL for (int k = 0; k < WIDTH / 16; k++) {
            UNROLL for (int way = 1; way < PARALLEL; way++)
                sums[k] += sums[way * (WIDTH / 16) + k];
            *(VECTOR *)(values + 16 * k) = sums[k];
        }""",
)
# Float sums of non-zeros, in order if there is one way.
ADD = """
#define ADD_@(way, e) { \\
    const REAL *from = weights + (first + events[e]) * WIDTH; \\
    UNROLL for (int k = 0; k < WIDTH / 16; k++) { \\
        const VECTOR v = *(const VECTOR *)(from + 16 * k); \\
        if (graded) sums[(way) * (WIDTH / 16) + k] += amounts[e] * v; \\
        else sums[(way) * (WIDTH / 16) + k] += v; \\
    } \\
}
"""
# A vector of 16 bits holds the bytes of two outputs, the lower one plus 128. It is
# added as a whole, and so is its upper byte, from which both sums follow: three
# instructions for 64 weights. 16 bits hold the sums of 256.
GATHER_INT8 = _gather(
    "gather_int8",
    """SHORTS both[PARALLEL * WIDTH / 64], upper[PARALLEL * WIDTH / 64];
        UNROLL for (int k = 0; k < PARALLEL * WIDTH / 64; k++)
            both[k] = upper[k] = (SHORTS){0};
        int count = 0, spilled = 0, total[WIDTH] ALIGNED;""",
    """for (int e = pixels[begin], last = pixels[end]; e < last;) {
                    const int stop = SPILLS && last - e > 256 - count
                        ? e + 256 - count : last;
                    count += stop - e;
                    if (PARALLEL > 1)
                        for (; e + PARALLEL <= stop; e += PARALLEL)
                            UNROLL for (int way = 0; way < PARALLEL; way++)
                                ADD_INT8_@(way, e + way)
                    for (; e < stop; e++) ADD_INT8_@(0, e)
                    if (SPILLS && count == 256) {
                        JOIN
                        UNROLL for (int k = 0; k < PARALLEL * WIDTH / 64; k++)
                            both[k] = upper[k] = (SHORTS){0};
                        if (spilled++)
                            for (int i = 0; i < WIDTH; i++) total[i] += parts[i];
                        else
                            for (int i = 0; i < WIDTH; i++) total[i] = parts[i];
                        count = 0;
                    }
                }""",
    """JOIN
        if (SPILLS && spilled)
            for (int i = 0; i < WIDTH; i++) values[i] = (REAL)(total[i] + parts[i]);
        else
            for (int i = 0; i < WIDTH; i++) values[i] = (REAL)parts[i];""",
).replace(
    "JOIN",
    """short parts[WIDTH] ALIGNED;
        UNROLL for (int k = 0; k < WIDTH / 64; k++) {
            UNROLL for (int way = 1; way < PARALLEL; way++) {
                both[k] += both[way * (WIDTH / 64) + k];
                upper[k] += upper[way * (WIDTH / 64) + k];
            }
            *(SHORTS *)(parts + 64 * k) =
                both[k] - (upper[k] << 8) - (unsigned short)(128 * count);
            *(SHORTS *)(parts + 64 * k + 32) = upper[k];
        }""",
)
ADD_INTEGERS = """
#define ADD_INT8_@(way, e) { \\
    const BYTE *from = weights + (first + events[e]) * WIDTH; \\
    UNROLL for (int k = 0; k < WIDTH / 64; k++) { \\
        const SHORTS v = *(const SHORTS *)(from + 64 * k); \\
        both[(way) * (WIDTH / 64) + k] += v; \\
        upper[(way) * (WIDTH / 64) + k] += upper_of(v); \\
    } \\
}
"""
# The same bytes as numbers: 16 lower ones, 16 more, and the upper ones.
ADD_INT8 = """
#define ADD_@(way, e) { \\
    const BYTE *from = weights + (first + events[e]) * WIDTH; \\
    UNROLL for (int k = 0; k < WIDTH / 64; k++) { \\
        const SHORTS v = *(const SHORTS *)(from + 64 * k); \\
        const SHORTS lower = (v & 255) - 128, upper = upper_of(v); \\
        UNROLL for (int half = 0; half < 2; half++) { \\
            sums[4 * k + half] += amounts[e] * half_of(lower, half); \\
            sums[4 * k + 2 + half] += amounts[e] * half_of(upper, half); \\
        } \\
    } \\
}
"""
# The weights that are not 0, of which `w[i]` come before row i.
GATHER_SPARSE = """
static ALWAYS_INLINE void gather_@(
    const BLOCK *b, INDEX s, INDEX g, INDEX block, const WEIGHT *weights,
    const EVENT *events, const REAL *amounts, const int graded, const EVENT *starts,
    const int n
) {
    enum { CONSTANTS };
    const OUTPUTS *places = (const OUTPUTS *)PLACES_OF;
    const REAL *parts = (const REAL *)WEIGHTS_OF;
LOOPS}
""".replace(
    "LOOPS",
    _LOOPS.replace("DECLARE", "REAL values[WIDTH + 1] ALIGNED = {0};")
    .replace(
        "WALK",
        """for (int e = pixels[begin]; e < pixels[end]; e++) {
                    const INDEX at_row = first + events[e];
                    const int from = weights[at_row], to = weights[at_row + 1];
                    if (graded)
                        for (int k = from; k < to; k += PARTS)
                            UNROLL for (int i = k; i < k + PARTS; i++)
                                values[places[i]] += amounts[e] * parts[i];
                    else
                        for (int k = from; k < to; k += PARTS)
                            UNROLL for (int i = k; i < k + PARTS; i++)
                                values[places[i]] += parts[i];
                }""",
    )
    .replace(
        "RESULT",
        """INDEX i = 0;
        for (; i + SINK <= WIDTH; i += SINK)
            FINISH(b, s, at + i, channel + i, values + i, SINK);
        if (WIDTH % SINK)
            FINISH(b, s, at + i, channel + i, values + i, WIDTH % SINK);""",
    ),
)
SCALE = """const REAL *scale = (const REAL *)TABLE + channel;
        for (int i = 0; i < n; i++) values[i] = values[i] * scale[i];"""

_PRODUCT = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    enum { PIXELS = GROUPS * ROWS * COLUMNS, SAMPLE = PIXELS * CHANNELS };
    EVENTS
    for (INDEX g = 0; g < GROUPS; g++)
    for (INDEX block = 0; block < BLOCKS; block++) {
        const WEIGHT *weights = (const WEIGHT *)TABLE
            + (g * BLOCKS + block) * KERNEL_ROWS * KERNEL_COLUMNS * CHANNELS * ROW;
        for (INDEX s = 0; s < b->samples; s++) {
            const int *starts = (const int *)scratch(b, s) + g * ROWS * COLUMNS;
            const int *events = (const int *)scratch(b, s) + PIXELS + 1;
            CALLS
        }
    }
}
"""
_CALL = """
            if (LAST == WIDTH || block < BLOCKS - 1)
                GATHER_@(b, s, g, block, weights, events, AMOUNTS, starts, WIDTH);
            else
                GATHER_@(b, s, g, block, weights, events, AMOUNTS, starts, LAST);
"""
_ONES = _CALL.replace("AMOUNTS", "0, 0").replace("GATHER", "GATHER_ONES")

PRODUCT_OF_BITS = _PRODUCT.replace(
    "EVENTS",
    """for (INDEX s = 0; s < b->samples; s++) {
        if (BITS) zero((WORD *)OUTPUT(b, s), BITS);
        int *starts = (int *)scratch(b, s);
        find(INPUT(b, s), PIXELS, CHANNELS, starts, starts + PIXELS + 1);
    }""",
).replace("CALLS", _ONES)

PRODUCT_OF_NUMBERS = _PRODUCT.replace(
    "EVENTS",
    """char ones[b->samples];
    for (INDEX s = 0; s < b->samples; s++) {
        if (BITS) zero((WORD *)OUTPUT(b, s), BITS);
        const REAL *x = INPUT(b, s);
        int *starts = (int *)scratch(b, s), *events = starts + PIXELS + 1;
        REAL *amounts = (REAL *)(events + SAMPLE + 64);
        WORD bits[SAMPLE / 64 + 1];
        ones[s] = to_bits(x, SAMPLE, bits);
        find(bits, PIXELS, CHANNELS, starts, events);
        if (!ones[s])
            for (int e = 0; e < starts[PIXELS]; e++) amounts[e] = x[events[e]];
    }""",
).replace(
    "CALLS",
    """const REAL *amounts = (const REAL *)(events + SAMPLE + 64);
            if (ones[s]) {
"""
    + _ONES
    + """
            } else {
"""
    + _CALL.replace("AMOUNTS", "amounts, 1").replace("GATHER", "gather")
    + "            }",
)

DEPTHWISE = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    const WEIGHT *weights = (const WEIGHT *)TABLE;
    for (INDEX s = 0; s < b->samples; s++) {
        if (BITS) zero((WORD *)OUTPUT(b, s), BITS);
        const REAL *x = INPUT(b, s);
        for (INDEX row = 0; row < OUT_ROWS; row++)
        for (INDEX column = 0; column < OUT_COLUMNS; column++)
        for (INDEX channel = 0; channel < FILTERS; channel += WIDTH) {
            const int n = (int)least(WIDTH, FILTERS - channel);
            REAL values[WIDTH] ALIGNED = {0};
            for (INDEX a = 0; a < KERNEL_ROWS; a++) {
                const INDEX r = row * STRIDE_ROWS + a * DILATION_ROWS - PAD_ROWS;
                if (r < 0 || r >= ROWS) continue;
                for (INDEX tap = 0; tap < KERNEL_COLUMNS; tap++) {
                    const INDEX c =
                        column * STRIDE_COLUMNS + tap * DILATION_COLUMNS - PAD_COLUMNS;
                    if (c < 0 || c >= COLUMNS) continue;
                    const REAL *from = x + (r * COLUMNS + c) * CHANNELS;
                    const WEIGHT *w =
                        weights + (a * KERNEL_COLUMNS + tap) * FILTERS + channel;
                    if (MULTIPLIER == 1)
                        for (int i = 0; i < n; i++)
                            values[i] += from[channel + i] * w[i];
                    else
                        for (int i = 0; i < n; i++)
                            values[i] += from[(channel + i) / MULTIPLIER] * w[i];
                }
            }
            const INDEX at = (row * OUT_COLUMNS + column) * FILTERS + channel;
            SCALING
            FINISH(b, s, at, channel, values, n);
        }
    }
}
"""

_WINDOW = """
            const INDEX first_row = row * STRIDE_ROWS - PAD_ROWS;
            const INDEX first_column = column * STRIDE_COLUMNS - PAD_COLUMNS;
            const INDEX end_row = least(first_row + WINDOW_ROWS, ROWS);
            const INDEX end_column = least(first_column + WINDOW_COLUMNS, COLUMNS);
            const INDEX from_row = first_row < 0 ? 0 : first_row;
            const INDEX from_column = first_column < 0 ? 0 : first_column;
"""

POOL = (
    """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    for (INDEX s = 0; s < b->samples; s++) {
        if (BITS) zero((WORD *)OUTPUT(b, s), BITS);
        const REAL *x = INPUT(b, s);
        for (INDEX row = 0; row < OUT_ROWS; row++)
        for (INDEX column = 0; column < OUT_COLUMNS; column++) {
"""
    + _WINDOW
    + """
            for (INDEX channel = 0; channel < CHANNELS; channel += WIDTH) {
                const int n = (int)least(WIDTH, CHANNELS - channel);
                REAL values[WIDTH] ALIGNED;
                for (int i = 0; i < n; i++) values[i] = START;
                for (INDEX r = from_row; r < end_row; r++)
                for (INDEX c = from_column; c < end_column; c++) {
                    const REAL *from = x + (r * COLUMNS + c) * CHANNELS + channel;
                    for (int i = 0; i < n; i++) values[i] = TAKE;
                }
                DIVIDE
                const INDEX at = (row * OUT_COLUMNS + column) * CHANNELS + channel;
                FINISH(b, s, at, at, values, n);
            }
        }
    }
}
"""
)
_SUM = "values[i] + from[i]"
POOL_START = {"max": "-INFINITE", "mean": "ZERO", "sum": "ZERO"}
POOL_TAKE = {"max": "MAXIMUM(from[i], values[i])", "mean": _SUM, "sum": _SUM}
POOL_END = {
    "max": "",
    "sum": "",
    "mean": """const REAL count = (REAL)(
                    (end_row - from_row) * (end_column - from_column));
                for (int i = 0; i < n; i++) values[i] = values[i] / count;""",
}

ELEMENTS = {
    64: "unsigned long long",
    32: "unsigned int",
    16: "unsigned short",
    8: "unsigned char",
}
POOL_BITS = (
    """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    typedef ELEMENT PART __attribute__((may_alias));
    for (INDEX s = 0; s < b->samples; s++) {
        const PART *x = (const PART *)INPUT(b, s);
        PART *y = (PART *)OUTPUT(b, s);
        for (INDEX row = 0; row < OUT_ROWS; row++)
        for (INDEX column = 0; column < OUT_COLUMNS; column++) {
"""
    + _WINDOW
    + """
            for (INDEX channel = 0; channel < CHANNELS; channel++) {
                PART any = 0;
                for (INDEX r = from_row; r < end_row; r++)
                    for (INDEX c = from_column; c < end_column; c++)
                        any |= x[(r * COLUMNS + c) * CHANNELS + channel];
                *y++ = any;
            }
        }
    }
}
"""
)

COPY = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    for (INDEX s = 0; s < b->samples; s++) {
        KIND *to = OUTPUT(b, s);
        memset(to, 0, BYTES);
MOVES
    }
}
"""
MOVE = """
        {
            const EVENT *sources = (const EVENT *)TABLE, *places = sources + COUNT;
            const KIND *from = INPUT(b, s);
            for (INDEX i = 0; i < COUNT; i++) {
                const INDEX source = sources[i], place = places[i];
                COPY
            }
        }
"""

DELAY = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    for (INDEX s = 0; s < b->samples; s++) {
        KIND *past = PAST(b, s) + b->step % SLOTS * STRIDE;
        memcpy(OUTPUT(b, s), past, sizeof(KIND) * SIZE);
        memcpy(past, INPUT(b, s), sizeof(KIND) * SIZE);
    }
}
"""
DELAYS = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    const EVENT *delays = (const EVENT *)TABLE;
    const INDEX now = (INDEX)(b->step % SLOTS);
    for (INDEX s = 0; s < b->samples; s++) {
        KIND *past = PAST(b, s), *to = OUTPUT(b, s);
        memcpy(past + now * STRIDE, INPUT(b, s), sizeof(KIND) * SIZE);
        memset(to, 0, sizeof(KIND) * SIZE);
        for (INDEX place = 0; place < COUNT; place++) {
            const INDEX slot = now - delays[place];
            const KIND *from = past + (slot < 0 ? slot + SLOTS : slot) * STRIDE;
            const INDEX source = place;
            COPY
        }
    }
}
"""

SOFTMAX = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    for (INDEX s = 0; s < b->samples; s++)
        for (INDEX at = 0; at < SIZE; at += LENGTH) {
            const REAL *x = INPUT(b, s) + at;
            REAL *y = OUTPUT(b, s) + at;
            REAL largest = x[0], total = ZERO;
            for (int i = 1; i < LENGTH; i++) largest = MAXIMUM(x[i], largest);
            for (int i = 0; i < LENGTH; i++) y[i] = EXP(x[i] - largest);
            for (int i = 0; i < LENGTH; i++) total += y[i];
            for (int i = 0; i < LENGTH; i++) y[i] = y[i] / total;
        }
}
"""

# Most queries and keys are 0.
ATTENTION = """
/* LABEL */
static void kernel_@(const BLOCK *b) {
    enum { CONSTANTS };
    const INDEX width = HEADS * (2 * CHANNELS + VALUES);
    REAL context[CHANNELS * VALUES] ALIGNED;
    for (INDEX s = 0; s < b->samples; s++)
    for (INDEX head = 0; head < HEADS; head++) {
        const REAL *q = INPUT(b, s) + head * CHANNELS;
        const REAL *k = q + HEADS * CHANNELS;
        const REAL *v = INPUT(b, s) + 2 * HEADS * CHANNELS + head * VALUES;
        REAL *y = OUTPUT(b, s) + head * VALUES;
        memset(context, 0, sizeof(context));
        for (INDEX t = 0; t < TOKENS; t++)
            for (INDEX c = 0; c < CHANNELS; c++) {
                const REAL key = k[t * width + c];
                if (key == ZERO) continue;
                for (INDEX d = 0; d < VALUES; d++)
                    context[c * VALUES + d] += key * v[t * width + d];
            }
        for (INDEX i = 0; i < CHANNELS * VALUES; i++) context[i] *= SCALE;
        for (INDEX t = 0; t < TOKENS; t++) {
            REAL *to = y + t * HEADS * VALUES;
            for (INDEX d = 0; d < VALUES; d++) to[d] = ZERO;
            for (INDEX c = 0; c < CHANNELS; c++) {
                const REAL query = q[t * width + c];
                if (query == ZERO) continue;
                for (INDEX d = 0; d < VALUES; d++)
                    to[d] += query * context[c * VALUES + d];
            }
        }
    }
}
"""

START_NUMBER = """    for (INDEX s = 0; s < b->samples; s++) {
        REAL *state = PLACE(b, s);
        for (INDEX i = 0; i < LENGTH; i++) state[i] = NUMBER;
    }"""
START_TABLE = """    for (INDEX s = 0; s < b->samples; s++)
        memcpy(PLACE(b, s), TABLE, sizeof(REAL) * LENGTH);"""

START_ZEROS = """    for (INDEX s = 0; s < b->samples; s++)
        memset(PLACE(b, s), 0, LENGTH);"""

EMIT_HEAD = """
    for (INDEX s = 0; s < b->samples; s++) {
        REAL *to = b->outputs[NUMBER]
            + ((b->first + s) * STEPS_OF + AT_STEP) * COUNT;
"""
EMIT = "        memcpy(to, INPUT(b, s), sizeof(REAL) * COUNT);\n    }\n"
EMIT_BITS = "        unpack(INPUT(b, s), 0, COUNT, to);\n    }\n"
EMIT_TABLE = """        const EVENT *sources = (const EVENT *)TABLE;
        const KIND *from = INPUT(b, s);
        for (INDEX place = 0; place < COUNT; place++) {
            const INDEX source = sources[place];
            COPY
        }
    }
"""

MAIN = """
static void start(const BLOCK *b) {
START
}
static void once(const BLOCK *b) {
ONCE
}
static void step(const BLOCK *b) {
STEP_KERNELS
EMIT_STEP
}
static void end(const BLOCK *b) {
END_KERNELS
EMIT_END
}

int omp_get_thread_num(void);

/* sizes: batch, steps, samples of a block, threads, steps before, whether blocks have
   arenas of their own (or threads), then for each input its strides of samples and of
   steps. */
int run(
    const INDEX *sizes, char *const *arena, const void *const *tables,
    const REAL *const *inputs, REAL *const *outputs
) {
    const INDEX batch = sizes[0], time = sizes[1], capacity = sizes[2];
    const INDEX threads = sizes[3], before = sizes[4], keeps = sizes[5];
    const INDEX blocks = (batch + capacity - 1) / capacity;
    #pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (INDEX block = 0; block < blocks; block++) {
        const REAL *now[INPUTS];
        INDEX strides[INPUTS];
        const INDEX place = keeps ? block : threads > 1 ? omp_get_thread_num() : 0;
        const INDEX first = block * capacity;
        BLOCK b = {
            *arena + place * capacity * SAMPLE_BYTESLL, capacity, tables, now, strides,
            outputs, first, least(capacity, batch - first), before, 0, time};
        for (int i = 0; i < INPUTS; i++) {
            strides[i] = sizes[6 + 2 * i];
            now[i] = inputs[i] + first * strides[i];
        }
        if (before == 0) start(&b);
        once(&b);
        for (INDEX t = 0; t < time; t++) {
            b.step = before + t;
            b.row = t;
            step(&b);
            for (int i = 0; i < INPUTS; i++) now[i] += sizes[7 + 2 * i];
        }
        end(&b);
    }
    return 0;
}
"""
