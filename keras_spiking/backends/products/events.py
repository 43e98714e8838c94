"""C text of the products that walk over the non-zeros of their input.

`forward` gathers: it finds the non-zeros of an image once, and adds for each output
the rows of weights that they meet, with the sums in registers. A row of a kernel
meets inputs that lie side by side, and so do their non-zeros: one loop serves them.
`weights` sorts the non-zeros by their channel and adds, for each row of the gradient,
the rows of the outputs' gradient that they meet.

Weights have the layout `(groups, kernel_rows, kernel_columns, channels, width)`, where
`width` is a multiple of a vector; of the last vector, filters that do not exist are
not stored.
"""

from keras_spiking.backends.products.geometry import LANES
from keras_spiking.backends.products.geometry import Geometry


def source(dtype):
    """The C text of the products of a dtype."""
    real = {"float32": "float", "float64": "double"}[dtype]
    word = {"float32": "int", "float64": "long long"}[dtype]
    bits = ", ".join(str(1 << lane) for lane in range(LANES[dtype]))
    names = ("images", *Geometry._fields, "limit")
    fields = "".join(f"    INDEX {name};\n" for name in names)
    return _PRELUDE % (real, word, LANES[dtype], bits, fields) + "".join(
        [
            *(_SCAN, _GATHER_TYPE, *_blocks(_GATHER), _FORWARD),
            *(_COLLECT_TYPE, *_blocks(_COLLECT), _WEIGHTS),
        ]
    )


def _blocks(text):
    """A function for blocks of each number of vectors, and the choice of one."""
    return [text.replace("BLOCK", str(block)) for block in (1, 2, 4, 8, 16)]


_PRELUDE = """
#include <stdlib.h>
#include <string.h>
typedef long long INDEX;
typedef %s REAL;
typedef %s WORD;
#define LANES %d
typedef REAL VECTOR __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
typedef WORD WORDS __attribute__((vector_size(64)));
#define LANE_BITS (WORDS){%s}

/* Sums that stay in registers, in vectors. */
#ifdef __AVX512F__
#define MAX_BLOCK 16
#else
#define MAX_BLOCK 4
#endif

/* Kernels that choose walk if at most `limit` of 65536 inputs are not zero. */
typedef struct {
%s} SIZES;

static INDEX least(INDEX x, INDEX y) { return x < y ? x : y; }

static int block_of(INDEX vectors) {
    int block = 1;
    while (2 * block <= vectors && 2 * block <= MAX_BLOCK) block *= 2;
    return block;
}

/* Where output `o` of an axis meets the input by a tap, or -1. */
static INDEX input_of(
    INDEX o, INDEX tap, INDEX stride, INDEX pad, INDEX dilation, INDEX transposed,
    INDEX inputs
) {
    INDEX i = transposed ? o + pad - tap * dilation : o * stride + tap * dilation - pad;
    if (transposed && i >= 0) i = i %% stride ? -1 : i / stride;
    return i < inputs ? i : -1;
}
"""

_SCAN = """
/* A non-zero of a row of inputs, at `index = column * channels + channel`. */
typedef struct {
    int index;
    REAL value;
} EVENT;

/* Writes the non-zeros of a row behind `events`; returns where they end. */
static inline EVENT *scan(const REAL *x, INDEX n, int index, EVENT *events) {
    INDEX i = 0;
    for (; i + LANES <= n; i += LANES) {
        const VECTOR values = *(const VECTOR *)(x + i);
        const WORDS found = (values != (VECTOR){0}) & LANE_BITS;
        unsigned bits = 0;
        #pragma GCC unroll 16
        for (int lane = 0; lane < LANES; lane++) bits |= found[lane];
        for (; bits; bits &= bits - 1) {
            const int lane = __builtin_ctz(bits);
            *events++ = (EVENT){index + (int)i + lane, x[i + lane]};
        }
    }
    for (; i < n; i++) {
        *events = (EVENT){index + (int)i, x[i]};
        events += x[i] != 0;
    }
    return events;
}

/* The numbers of non-zeros that parts of the input have. */
#define COUNTS 64

INDEX count_parts(const INDEX *sizes) {
    const SIZES *s = (const SIZES *)sizes;
    const INDEX n = s->images * s->in_rows * s->in_columns * s->channels;
    return 1 + least(n / 65536, COUNTS - 1);
}

int count_part(INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out) {
    const SIZES *s = (const SIZES *)sizes;
    const REAL *x = in[0];
    const INDEX n = s->images * s->in_rows * s->in_columns * s->channels;
    REAL *counts = out[0];
    for (INDEX i = part; i < COUNTS; i += parts) counts[i] = 0;
    const INDEX end = n * (part + 1) / parts;
    for (INDEX i = n * part / parts; i < end;) {
        const INDEX last = least(i + 65536, end);
        int total = 0; /* as wide as what is compared, for vectors */
        for (; i < last; i++) total += x[i] != 0;
        counts[part % COUNTS] += total;
    }
    return 0;
}
"""

_GATHER_TYPE = """
/* What a gather of one row of outputs needs. */
typedef struct {
    const SIZES *sizes;
    EVENT **starts; /* of each pixel of the image, one behind the other */
    INDEX channels, width, filters, row;
    const REAL *weights;
    REAL *y; /* the row */
} GATHER;
"""

_GATHER = """
static void gather_BLOCK(const GATHER *g) {
    const SIZES s = *g->sizes;
    /* Taps that lie side by side are one run. */
    const int together = s.dilation_columns == 1 && !s.transposed;
    const INDEX runs = together ? 1 : s.kernel_columns;
    const INDEX taps = together ? s.kernel_columns : 1;
    const INDEX size_of_tap = g->channels * g->width;
    for (INDEX column = 0; column < s.out_columns; column++) {
        VECTOR sums[BLOCK];
        for (int k = 0; k < BLOCK; k++) sums[k] = (VECTOR){0};
        for (INDEX a = 0; a < s.kernel_rows; a++) {
            const INDEX row = input_of(
                g->row, a, s.stride_rows, s.pad_rows, s.dilation_rows, s.transposed,
                s.in_rows);
            if (row < 0) continue;
            EVENT **starts = g->starts + row * s.in_columns;
            for (INDEX b = 0; b < runs; b++) {
                INDEX first = column * s.stride_columns - s.pad_columns;
                if (!together)
                    first = input_of(
                        column, b, s.stride_columns, s.pad_columns, s.dilation_columns,
                        s.transposed, s.in_columns);
                const INDEX begin = first < 0 && together ? 0 : first;
                const INDEX end = least(first + taps, s.in_columns);
                if (begin < 0 || begin >= end) continue;
                const REAL *weights =
                    g->weights + (a * s.kernel_columns + b) * size_of_tap
                    - first * size_of_tap;
                for (const EVENT *e = starts[begin]; e < starts[end]; e++) {
                    const VECTOR *w =
                        (const VECTOR *)(weights + e->index * g->width);
                    for (int k = 0; k < BLOCK; k++) sums[k] += e->value * w[k];
                }
            }
        }
        REAL *y = g->y + column * s.filters;
        if (g->filters < BLOCK * LANES)
            memcpy(y, sums, sizeof(REAL) * g->filters);
        else
            for (int k = 0; k < BLOCK; k++) ((VECTOR *)y)[k] = sums[k];
    }
}
"""

_FORWARD = """
static void gather(int block, const GATHER *g) {
    if (block == 16) gather_16(g);
    else if (block == 8) gather_8(g);
    else if (block == 4) gather_4(g);
    else if (block == 2) gather_2(g);
    else gather_1(g);
}

/* Images whose non-zeros are found together: enough for weights to be used again. */
static INDEX images_together(const SIZES *s) {
    const INDEX pixels = s->in_rows * s->in_columns;
    return pixels < 256 ? 256 / pixels : 1;
}

INDEX forward_parts(const INDEX *sizes) {
    const SIZES *s = (const SIZES *)sizes;
    const INDEX images = images_together(s);
    return (s->images + images - 1) / images;
}

int forward_part(INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out) {
    const SIZES *s = (const SIZES *)sizes;
    const REAL *x = in[0], *weights = in[1];
    REAL *y = out[0];
    const INDEX pixels = s->in_rows * s->in_columns, together = images_together(s);
    const INDEX channels = s->channels / s->groups, filters = s->filters / s->groups;
    const INDEX vectors = (filters + LANES - 1) / LANES, width = vectors * LANES;
    const INDEX taps = s->kernel_rows * s->kernel_columns;
    EVENT *events = malloc(sizeof(EVENT) * (together * pixels * channels + 1));
    EVENT **starts = malloc(sizeof(EVENT *) * (together * pixels + 1));
    const INDEX last = s->images * (part + 1) / parts;
    for (INDEX first = s->images * part / parts; first < last; first += together) {
        if (!events || !starts) break;
        const INDEX images = least(last - first, together);
        for (INDEX group = 0; group < s->groups; group++) {
            EVENT *end = events;
            for (INDEX pixel = 0; pixel < images * pixels; pixel++) {
                const INDEX at = first * pixels + pixel;
                starts[pixel] = end;
                end = scan(
                    x + at * s->channels + group * channels, channels,
                    pixel % s->in_columns * channels, end);
            }
            starts[images * pixels] = end;
            for (INDEX v = 0; v < vectors;) {
                const int block = block_of(vectors - v);
                GATHER g = {
                    .sizes = s, .channels = channels, .width = width,
                    .filters = filters - v * LANES,
                    .weights = weights + group * taps * channels * width + v * LANES};
                for (INDEX image = 0; image < images; image++)
                    for (g.row = 0; g.row < s->out_rows; g.row++) {
                        const INDEX row = (first + image) * s->out_rows + g.row;
                        g.starts = starts + image * pixels;
                        g.y = y + row * s->out_columns * s->filters + group * filters
                            + v * LANES;
                        gather(block, &g);
                    }
                v += block;
            }
        }
    }
    const int failed = !events || !starts;
    free(events);
    free(starts);
    return failed;
}
"""

_COLLECT_TYPE = """
/* A non-zero of one channel. Rows are counted through a chunk of images. */
typedef struct {
    int row, column;
    REAL value;
} PLACE;

/* What a row of the gradient of the weights needs. */
typedef struct {
    const PLACE *begin, *end;
    const int *rows, *columns; /* which outputs meet them by this tap, or -1 */
    const REAL *gradient;      /* of the outputs of the chunk */
    INDEX out_columns, width;
    REAL *sums;
} COLLECT;
"""

_COLLECT = """
static void collect_BLOCK(const COLLECT *c) {
    VECTOR sums[BLOCK]; /* of this chunk: a sum of sums is more exact */
    for (int k = 0; k < BLOCK; k++) sums[k] = (VECTOR){0};
    for (const PLACE *p = c->begin; p < c->end; p++) {
        const INDEX row = c->rows[p->row], column = c->columns[p->column];
        if (row < 0 || column < 0) continue;
        const VECTOR *g =
            (const VECTOR *)(c->gradient + (row * c->out_columns + column) * c->width);
        for (int k = 0; k < BLOCK; k++) sums[k] += p->value * g[k];
    }
    for (int k = 0; k < BLOCK; k++) ((VECTOR *)c->sums)[k] += sums[k];
}
"""

_WEIGHTS = """
static void collect(int block, const COLLECT *c) {
    if (block == 16) collect_16(c);
    else if (block == 8) collect_8(c);
    else if (block == 4) collect_4(c);
    else if (block == 2) collect_2(c);
    else collect_1(c);
}

/* Images whose gradients stay in a core's cache. */
static INDEX images_of_chunk(const SIZES *s, INDEX width) {
    const INDEX bytes = s->out_rows * s->out_columns * width * sizeof(REAL);
    const INDEX images = 1048576 / (bytes ? bytes : 1);
    return images < 1 ? 1 : least(images, s->images);
}

/* Where inputs of an axis meet an output by each tap, or -1. */
static void meet(
    int *outputs, INDEX taps, INDEX inputs, INDEX size, INDEX stride, INDEX pad,
    INDEX dilation, INDEX transposed
) {
    for (INDEX tap = 0; tap < taps; tap++)
        for (INDEX i = 0; i < inputs; i++)
            /* An input is met as an output of the transposed product is. */
            outputs[tap * inputs + i] =
                input_of(i, tap, stride, pad, dilation, !transposed, size);
}

INDEX weights_parts(const INDEX *sizes) {
    const SIZES *s = (const SIZES *)sizes;
    return (s->channels + 7) / 8;
}

/* A part is a range of channels, of which it finds the non-zeros by itself. */
int weights_part(INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out) {
    const SIZES *s = (const SIZES *)sizes;
    const REAL *x = in[0], *gradient = in[1];
    const INDEX channels = s->channels / s->groups, filters = s->filters / s->groups;
    const INDEX vectors = (filters + LANES - 1) / LANES, width = vectors * LANES;
    const INDEX taps = s->kernel_rows * s->kernel_columns;
    const INDEX first = s->channels * part / parts;
    const INDEX n = s->channels * (part + 1) / parts - first;
    const INDEX chunk = images_of_chunk(s, s->groups * width);
    const INDEX pixels = chunk * s->in_rows * s->in_columns;
    const INDEX rows = chunk * s->in_rows;

    int *row_of = malloc(sizeof(int) * (s->kernel_rows * s->in_rows + 1));
    int *rows_of = malloc(sizeof(int) * (s->kernel_rows * rows + 1));
    int *columns_of = malloc(sizeof(int) * (s->kernel_columns * s->in_columns + 1));
    EVENT *found = malloc(sizeof(EVENT) * (n + 1));
    PLACE *places = malloc(sizeof(PLACE) * (n * pixels + 1));
    INDEX *counts = malloc(sizeof(INDEX) * (n + 1));
    const int failed =
        !row_of || !rows_of || !columns_of || !found || !places || !counts;
    for (INDEX c = 0; c < n && !failed; c++)
        for (INDEX tap = 0; tap < taps; tap++) {
            const INDEX group = (first + c) / channels;
            const INDEX row = (group * taps + tap) * channels + (first + c) % channels;
            memset((REAL *)out[0] + row * width, 0, sizeof(REAL) * width);
        }
    if (!failed) {
        meet(row_of, s->kernel_rows, s->in_rows, s->out_rows, s->stride_rows,
             s->pad_rows, s->dilation_rows, s->transposed);
        meet(columns_of, s->kernel_columns, s->in_columns, s->out_columns,
             s->stride_columns, s->pad_columns, s->dilation_columns, s->transposed);
        for (INDEX a = 0; a < s->kernel_rows; a++)
            for (INDEX row = 0; row < rows; row++) {
                const int o = row_of[a * s->in_rows + row % s->in_rows];
                rows_of[a * rows + row] =
                    o < 0 ? -1 : o + (int)(row / s->in_rows * s->out_rows);
            }
    }

    for (INDEX image = 0; image < s->images && !failed; image += chunk) {
        memset(counts, 0, sizeof(INDEX) * n);
        const INDEX here = least(chunk, s->images - image) * s->in_rows;
        for (INDEX row = 0; row < here; row++)
            for (INDEX column = 0; column < s->in_columns; column++) {
                const INDEX pixel =
                    (image * s->in_rows + row) * s->in_columns + column;
                const EVENT *end = scan(x + pixel * s->channels + first, n, 0, found);
                for (const EVENT *e = found; e < end; e++)
                    places[e->index * pixels + counts[e->index]++] =
                        (PLACE){(int)row, (int)column, e->value};
            }
        const REAL *of_chunk =
            gradient
            + image * s->out_rows * s->out_columns * s->groups * width;
        for (INDEX v = 0; v < vectors;) {
            const int block = block_of(vectors - v);
            for (INDEX c = 0; c < n; c++) {
                const INDEX group = (first + c) / channels;
                for (INDEX tap = 0; tap < taps; tap++) {
                    const INDEX row =
                        (group * taps + tap) * channels + (first + c) % channels;
                    const COLLECT work = {
                        .begin = places + c * pixels,
                        .end = places + c * pixels + counts[c],
                        .rows = rows_of + tap / s->kernel_columns * rows,
                        .columns =
                            columns_of + tap % s->kernel_columns * s->in_columns,
                        .gradient = of_chunk + group * width + v * LANES,
                        .out_columns = s->out_columns,
                        .width = s->groups * width,
                        .sums = (REAL *)out[0] + row * width + v * LANES};
                    collect(block, &work);
                }
            }
            v += block;
        }
    }
    free(row_of);
    free(rows_of);
    free(columns_of);
    free(found);
    free(places);
    free(counts);
    return failed;
}
"""
