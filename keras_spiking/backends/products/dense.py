"""C text of the dense products, which follows that of the products that skip zeros.

Both are products of small blocks whose sums stay in registers: `ROWS` outputs (or
channels) times a panel of filters. What blocks read often is copied first into the
order in which they read it. The inputs of `forward` are not: a block has pointers to
them for each tap. An input outside of the image is a row of zeros, and a tap by which
no output of a block meets an input is left out. That is why outputs that meet inputs
by the same taps follow each other (`steps_of`): a transposed product with a stride
takes no longer than its multiplications, and an image of a few pixels does not
multiply its border.
"""

_PRELUDE = """
/* A vector of the machine, and the sums that its registers hold: `ROWS` times `PANEL`
   vectors of `LANES`. */
#if defined(__AVX512F__)
#define UNIT_BYTES 64
#define ROWS 8
#define PANEL 2
#elif defined(__AVX__)
#define UNIT_BYTES 32
#define ROWS 6
#define PANEL 1
#else
#define UNIT_BYTES 16
#ifdef __aarch64__
#define ROWS 6
#else
#define ROWS 2
#endif
#define PANEL 1
#endif
#define UNITS (64 / UNIT_BYTES)
typedef REAL UNIT
    __attribute__((vector_size(UNIT_BYTES), aligned(sizeof(REAL)), may_alias));

static INDEX most(INDEX x, INDEX y) { return x > y ? x : y; }
static INDEX pieces(INDEX n, INDEX size) { return (n + size - 1) / size; }

/* The largest number of equal shares that divides `parts`, at most `n`. */
static INDEX shares(INDEX parts, INDEX n) {
    INDEX share = least(parts, most(n, 1));
    while (parts % share) share--;
    return share;
}

/* A part should take longer than it takes to wake a thread. */
static INDEX parts_of(const SIZES *s, INDEX most_parts) {
    const INDEX taps = s->kernel_rows * s->kernel_columns;
    const INDEX outputs = s->images * s->out_rows * s->out_columns;
    const INDEX work = outputs * taps * s->channels / s->groups * s->filters;
    INDEX parts = 1;
    while (parts < 16 && 2 * parts <= most_parts && work / parts > 4000000) parts *= 2;
    return parts;
}

static void copy(REAL *to, const REAL *from, INDEX vectors) {
    for (INDEX i = 0; i < vectors * UNITS; i++) ((UNIT *)to)[i] = ((UNIT *)from)[i];
}

/* Memory that vectors of 64 bytes can be read from without crossing a line. */
static void *aligned(void *memory) {
    return (void *)(((size_t)memory + 63) / 64 * 64);
}

#define NONE (-((INDEX)1 << 60)) /* a sum with it is negative, too */

/* What a product reads: the sizes of one group, and where outputs meet inputs. */
typedef struct {
    SIZES s;
    const REAL *x;
    INDEX pixel;         /* from one input to the next */
    INDEX filters, width;
    const REAL *end;
    INDEX *rows, *columns; /* the input of each tap and output of an axis, or NONE */
    REAL *copy;
} VIEW;

static INDEX *meet_outputs(
    INDEX taps, INDEX outputs, INDEX stride, INDEX pad, INDEX dilation,
    INDEX transposed, INDEX size
) {
    INDEX *inputs = malloc(sizeof(INDEX) * (taps * outputs + 1));
    for (INDEX i = 0; inputs && i < taps * outputs; i++) {
        inputs[i] = input_of(
            i % outputs, i / outputs, stride, pad, dilation, transposed, size);
        if (inputs[i] < 0) inputs[i] = NONE;
    }
    return inputs;
}

/* Few channels: the taps of a row of the kernel become channels of one tap, which lie
   side by side in a copy with a border of zeros. Only `first` to `last` is copied. */
static int fold(VIEW *v, INDEX first, INDEX last) {
    SIZES *s = &v->s;
    if (s->groups > 1 || s->transposed || s->dilation_columns > 1 ||
        s->kernel_columns == 1 || s->channels > 8)
        return 0;
    const INDEX rows = most(
        s->in_rows + s->pad_rows,
        (s->out_rows - 1) * s->stride_rows + (s->kernel_rows - 1) * s->dilation_rows
        + 1);
    const INDEX columns = most(
        s->in_columns + s->pad_columns,
        (s->out_columns - 1) * s->stride_columns + s->kernel_columns);
    v->copy = calloc((last - first) * rows * columns * s->channels + 1, sizeof(REAL));
    if (!v->copy) return 1;
    const INDEX row = s->in_columns * s->channels;
    for (INDEX i = first; i < last; i++)
        for (INDEX r = 0; r < s->in_rows; r++)
            memcpy(
                v->copy + (((i - first) * rows + r + s->pad_rows) * columns
                + s->pad_columns) * s->channels,
                v->x + (i * s->in_rows + r) * row, sizeof(REAL) * row);
    v->x = v->copy - first * rows * columns * s->channels;
    s->in_rows = rows;
    s->in_columns = columns;
    s->pad_rows = s->pad_columns = 0;
    s->channels *= s->kernel_columns;
    s->kernel_columns = 1;
    return 0;
}

/* Returns whether memory was missing. `can_fold` lets it change channels and taps. */
static int open_view(
    VIEW *v, const SIZES *s, const REAL *x, INDEX first, INDEX last, int can_fold
) {
    *v = (VIEW){.s = *s, .x = x, .pixel = s->channels};
    v->filters = s->filters / s->groups;
    v->width = pieces(v->filters, LANES) * LANES;
    const int failed = can_fold && fold(v, first, last);
    s = &v->s;
    v->s.channels /= s->groups;
    v->end = v->x + last * s->in_rows * s->in_columns * v->pixel;
    v->rows = meet_outputs(
        s->kernel_rows, s->out_rows, s->stride_rows, s->pad_rows, s->dilation_rows,
        s->transposed, s->in_rows);
    v->columns = meet_outputs(
        s->kernel_columns, s->out_columns, s->stride_columns, s->pad_columns,
        s->dilation_columns, s->transposed, s->in_columns);
    return failed || !v->rows || !v->columns;
}

static void close_view(VIEW *v) {
    free(v->rows);
    free(v->columns);
    free(v->copy);
}
"""

_MULTIPLY = """
/* Sums of `ROWS` outputs over runs of inputs that lie side by side. */
static void multiply_COUNT(
    const REAL *const *x, const INDEX *taps, INDEX runs, INDEX length,
    const REAL *weights, REAL *const *results
) {
    UNIT sums[ROWS][COUNT * UNITS] = {0};
    for (INDEX run = 0; run < runs; run++) {
        const REAL *p[ROWS];
        for (int m = 0; m < ROWS; m++) p[m] = x[run * ROWS + m];
        const UNIT *w = (const UNIT *)(weights + taps[run] * length * (COUNT * LANES));
        for (INDEX c = 0; c < length; c++, w += COUNT * UNITS)
            #pragma GCC unroll 16
            for (int m = 0; m < ROWS; m++)
                #pragma GCC unroll 16
                for (int k = 0; k < COUNT * UNITS; k++) sums[m][k] += p[m][c] * w[k];
    }
    for (int m = 0; m < ROWS; m++)
        for (int k = 0; k < COUNT * UNITS; k++)
            ((UNIT *)results[m])[k] = sums[m][k];
}
"""

_FORWARD = """
/* Writes or adds `n` of the filters of a panel. */
static void deliver(const REAL *sums, REAL *y, INDEX n, int add) {
    if (add) for (INDEX i = 0; i < n; i++) y[i] += sums[i];
    else for (INDEX i = 0; i < n; i++) y[i] = sums[i];
}

/* Copies channels `begin` to `end`, vectors `first` to `last`, into panels. */
static void pack(
    const VIEW *v, const REAL *weights, INDEX begin, INDEX end, INDEX first, INDEX last,
    REAL *panels
) {
    const INDEX taps = v->s.kernel_rows * v->s.kernel_columns, n = end - begin;
    for (INDEX tap = 0; tap < taps; tap++)
        for (INDEX c = 0; c < n; c++) {
            const REAL *row = weights + (tap * v->s.channels + begin + c) * v->width;
            for (INDEX k = first; k < last; k += PANEL) {
                const INDEX count = least(PANEL, last - k);
                const INDEX at = (k - first) * taps * n + (tap * n + c) * count;
                copy(panels + at * LANES, row + k * LANES, count);
            }
        }
}

/* The same from weights of the product whose inputs have this gradient: there filters
   lie where channels do here. */
static void pack_turned(
    const VIEW *v, const REAL *weights, INDEX begin, INDEX end, INDEX first, INDEX last,
    REAL *panels
) {
    const INDEX taps = v->s.kernel_rows * v->s.kernel_columns, n = end - begin;
    const INDEX width = pieces(v->s.channels, LANES) * LANES;
    for (INDEX k = first; k < last; k++) {
        const INDEX panel = (k - first) / PANEL * PANEL, lanes = (k - first) % PANEL;
        const INDEX count = least(PANEL, last - first - panel);
        const INDEX filters = least(LANES, v->filters - k * LANES);
        for (INDEX tap = 0; tap < taps; tap++) {
            const REAL *from = weights + (tap * v->filters + k * LANES) * width + begin;
            REAL *to = panels + (panel * taps * n + tap * n * count + lanes) * LANES;
            for (INDEX c = 0; c < n; c++, to += count * LANES)
                for (INDEX f = 0; f < LANES; f++)
                    to[f] = f < filters ? from[f * width + c] : 0;
        }
    }
}

/* The share of multiplications that an axis does not leave to its border. */
static double within(const INDEX *inputs, INDEX n, INDEX stride) {
    INDEX met = 0;
    for (INDEX i = 0; i < n; i++) met += inputs[i] >= 0;
    return (double)(met * stride) / (n ? n : 1);
}

/* Outputs that follow each other: every `steps`th row and column of all images. */
static void steps_of(const VIEW *v, INDEX *rows, INDEX *columns) {
    const SIZES *s = &v->s;
    *rows = s->transposed ? least(s->stride_rows, s->out_rows) : 1;
    *columns = s->transposed ? least(s->stride_columns, s->out_columns) : 1;
    const double share =
        within(v->rows, s->kernel_rows * s->out_rows, *rows)
        * within(v->columns, s->kernel_columns * s->out_columns, *columns);
    if (s->images >= ROWS && share < 0.9) {
        *rows = s->out_rows;
        *columns = s->out_columns;
    }
}

/* Weights that stay in a core's cache: rows, and vectors of each. */
#define DEPTH 768
#define BREADTH 8

/* Weights that do not stay there are shared out, smaller ones are read by all. */
static INDEX shares_of_filters(const SIZES *s, INDEX parts) {
    const INDEX vectors = pieces(s->filters / s->groups, LANES);
    const INDEX depth = s->kernel_rows * s->kernel_columns * s->channels / s->groups;
    if (depth * vectors < DEPTH * BREADTH) return 1;
    return shares(parts, pieces(vectors, PANEL));
}

INDEX dense_forward_parts(const INDEX *sizes) {
    const SIZES *s = (const SIZES *)sizes;
    const INDEX outputs = s->images * s->out_rows * s->out_columns;
    return parts_of(s, pieces(outputs, ROWS));
}

/* What a block of outputs needs. */
typedef struct {
    const REAL *images[ROWS];
    INDEX rows[ROWS], columns[ROWS];
    REAL *y[ROWS];
} BLOCK;

/* Makes offsets of a view's rows and columns. */
static void measure(VIEW *v) {
    const SIZES *s = &v->s;
    for (INDEX i = 0; i < s->kernel_rows * s->out_rows; i++)
        if (v->rows[i] >= 0) v->rows[i] *= s->in_columns * v->pixel;
    for (INDEX i = 0; i < s->kernel_columns * s->out_columns; i++)
        if (v->columns[i] >= 0) v->columns[i] *= v->pixel;
}

/* Fills in where the outputs of a block find their inputs; returns the taps. */
static INDEX find_inputs(
    const VIEW *v, const BLOCK *block, const REAL *zeros, const REAL **x, INDEX *taps
) {
    const SIZES *s = &v->s;
    INDEX runs = 0;
    for (INDEX a = 0; a < s->kernel_rows; a++) {
        INDEX rows[ROWS], any = 0;
        for (int m = 0; m < ROWS; m++) {
            rows[m] = v->rows[a * s->out_rows + block->rows[m]];
            any |= rows[m] >= 0;
        }
        if (!any) continue;
        for (INDEX b = 0; b < s->kernel_columns; b++) {
            const INDEX *columns = v->columns + b * s->out_columns;
            INDEX met = 0;
            for (int m = 0; m < ROWS; m++) {
                const INDEX offset = rows[m] + columns[block->columns[m]];
                x[runs * ROWS + m] = offset < 0 ? zeros : block->images[m] + offset;
                met |= offset >= 0;
            }
            taps[runs] = a * s->kernel_columns + b;
            runs += met;
        }
    }
    return runs;
}

static int multiply_part(
    INDEX part, INDEX parts, const SIZES *s, void **in, void **out, int turned
) {
    if (s->groups > 1 && s->groups == s->channels)
        return depthwise_part(part, parts, s, in, out);
    const INDEX of_image = s->out_rows * s->out_columns;
    const INDEX shared = shares_of_filters(s, parts), others = parts / shared;
    const INDEX begin = s->images * of_image * (part % others) / others;
    const INDEX end = s->images * of_image * (part % others + 1) / others;
    if (begin == end) return 0;

    VIEW view;
    int failed = open_view(
        &view, s, in[0], begin / of_image, pieces(end, of_image), !turned);
    s = &view.s;
    const INDEX panels = pieces(view.width / LANES, PANEL);
    const INDEX first = part / others * panels / shared * PANEL;
    const INDEX last =
        least((part / others + 1) * panels / shared * PANEL, view.width / LANES);
    const INDEX taps = s->kernel_rows * s->kernel_columns;
    const INDEX depth = pieces(s->channels, pieces(taps * s->channels, DEPTH));
    REAL *zeros = calloc(depth, sizeof(REAL));
    const REAL **x = malloc(sizeof(REAL *) * ROWS * taps);
    INDEX *met = malloc(sizeof(INDEX) * taps);
    REAL *weights = malloc(sizeof(REAL) * taps * depth * BREADTH * LANES + 64);
    REAL *packed = aligned(weights);
    REAL sums[ROWS * PANEL * LANES] __attribute__((aligned(64)));
    failed |= !zeros || !x || !met || !weights;
    INDEX step_rows = 1, step_columns = 1;
    if (!failed) steps_of(&view, &step_rows, &step_columns);
    if (!failed) measure(&view);

    for (INDEX group = 0; group < s->groups && !failed; group++)
    for (INDEX c = 0; c < s->channels; c += depth)
    for (INDEX k = first; k < last; k += BREADTH) {
        const INDEX length = least(depth, s->channels - c);
        const INDEX stop = least(k + BREADTH, last);
        const INDEX of_group = turned
            ? view.filters * pieces(s->channels, LANES) * LANES
            : s->channels * view.width;
        (turned ? pack_turned : pack)(
            &view, (const REAL *)in[1] + group * taps * of_group, c, c + length, k,
            stop, packed);
        INDEX at = 0; /* the first output of a segment */
        for (INDEX row = 0; row < step_rows; row++)
        for (INDEX column = 0; column < step_columns; column++) {
            const INDEX columns = pieces(s->out_columns - column, step_columns);
            const INDEX rows = pieces(s->out_rows - row, step_rows);
            const INDEX n = s->images * rows * columns;
            for (INDEX i = most(begin - at, 0); i < least(end - at, n); i += ROWS) {
                BLOCK block;
                INDEX image = i / (rows * columns);
                INDEX down = i / columns % rows, right = i % columns;
                const INDEX valid = least(ROWS, least(end - at, n) - i);
                for (INDEX m = 0; m < ROWS; m++) {
                    block.images[m] =
                        view.x + image * s->in_rows * s->in_columns * view.pixel
                        + group * s->channels + c;
                    block.rows[m] = row + down * step_rows;
                    block.columns[m] = column + right * step_columns;
                    block.y[m] = (REAL *)out[0]
                        + ((image * s->out_rows + block.rows[m]) * s->out_columns
                        + block.columns[m]) * s->filters + group * view.filters;
                    if (m + 1 >= valid) continue; /* the last one is repeated */
                    if (++right == columns) right = 0, down++;
                    if (down == rows) down = 0, image++;
                }
                const INDEX runs = find_inputs(&view, &block, zeros, x, met);
                for (INDEX p = k; p < stop; p += PANEL) {
                    const REAL *panel = packed + (p - k) * taps * length * LANES;
                    const INDEX count = least(PANEL, stop - p);
                    const INDEX filters =
                        least(count * LANES, view.filters - p * LANES);
                    /* What is not to be added, and has whole vectors, goes to its
                       place at once. An output that is repeated is written again. */
                    const int direct = !c && filters == count * LANES;
                    REAL *results[ROWS];
                    for (INDEX m = 0; m < ROWS; m++)
                        results[m] = direct
                            ? block.y[m] + p * LANES : sums + m * count * LANES;
                    if (count == 2) multiply_2(x, met, runs, length, panel, results);
                    else multiply_1(x, met, runs, length, panel, results);
                    for (INDEX m = 0; m < valid && !direct; m++)
                        deliver(results[m], block.y[m] + p * LANES, filters, c > 0);
                }
            }
            at += n;
        }
    }
    free(zeros);
    free(x);
    free(met);
    free(weights);
    close_view(&view);
    return failed;
}

int dense_forward_part(
    INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out
) {
    return multiply_part(part, parts, (const SIZES *)sizes, in, out, 0);
}

/* The gradient of the input. Sizes are those of this product; the weights are given as
   the product has them whose input it is. */
INDEX dense_inputs_parts(const INDEX *sizes) { return dense_forward_parts(sizes); }

int dense_inputs_part(
    INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out
) {
    return multiply_part(part, parts, (const SIZES *)sizes, in, out, 1);
}
"""

_DEPTHWISE_SUMS = """
/* Sums of channels that lie in vectors, over taps. */
static void depthwise_COUNT(
    const REAL *const *x, const INDEX *taps, INDEX runs, INDEX channels,
    const REAL *weights, REAL *result
) {
    UNIT sums[COUNT * UNITS] = {0};
    for (INDEX run = 0; run < runs; run++) {
        const UNIT *w = (const UNIT *)(weights + taps[run] * channels);
        for (int k = 0; k < COUNT * UNITS; k++)
            sums[k] += ((const UNIT *)x[run])[k] * w[k];
    }
    for (int k = 0; k < COUNT * UNITS; k++) ((UNIT *)result)[k] = sums[k];
}
"""

_DEPTHWISE = """
/* One channel a group: channels are what lies in a vector. */
static int depthwise_part(
    INDEX part, INDEX parts, const SIZES *s, void **in, void **out
) {
    const INDEX taps = s->kernel_rows * s->kernel_columns;
    const INDEX rows = s->images * s->out_rows;
    const INDEX each = s->filters / s->groups, width = pieces(each, LANES) * LANES;
    const INDEX channels = pieces(s->channels, LANES) * LANES;
    const INDEX first = rows * part / parts, last = rows * (part + 1) / parts;
    if (first == last) return 0;
    VIEW v;
    int failed = open_view(&v, s, in[0], 0, s->images, 1);
    REAL *weights = calloc(taps * each * channels, sizeof(REAL));
    const REAL **x = malloc(sizeof(REAL *) * taps);
    INDEX *met = malloc(sizeof(INDEX) * taps);
    /* Of the last vector, channels that do not exist are not read. */
    REAL *rest = calloc(taps * LANES, sizeof(REAL));
    failed |= !weights || !x || !met || !rest;
    for (INDEX c = 0; c < s->channels && !failed; c++)
        for (INDEX tap = 0; tap < taps; tap++)
            for (INDEX f = 0; f < each; f++)
                weights[(f * taps + tap) * channels + c] =
                    ((REAL *)in[1])[(c * taps + tap) * width + f];
    for (INDEX row = first; row < last && !failed; row++)
    for (INDEX column = 0; column < s->out_columns; column++) {
        INDEX runs = 0;
        for (INDEX a = 0; a < s->kernel_rows; a++)
            for (INDEX b = 0; b < s->kernel_columns; b++) {
                const INDEX r = v.rows[a * s->out_rows + row % s->out_rows];
                const INDEX c = v.columns[b * s->out_columns + column];
                if (r < 0 || c < 0) continue;
                x[runs] = v.x + s->channels
                    * ((row / s->out_rows * s->in_rows + r) * s->in_columns + c);
                met[runs++] = a * s->kernel_columns + b;
            }
        REAL *y = (REAL *)out[0] + (row * s->out_columns + column) * s->filters;
        for (INDEX c = 0; c < s->channels;) {
            const INDEX n = least(s->channels - c, LANES);
            const INDEX count = s->channels - c < 4 * LANES ? 1 : 4;
            for (INDEX run = 0; run < runs && n < LANES; run++)
                x[run] = memcpy(rest + run * LANES, x[run], sizeof(REAL) * n);
            for (INDEX f = 0; f < each; f++) {
                const REAL *w = weights + f * taps * channels + c;
                REAL sums[4 * LANES];
                REAL *result = each == 1 && n == LANES ? y + c : sums;
                if (count == 4) depthwise_4(x, met, runs, channels, w, result);
                else depthwise_1(x, met, runs, channels, w, result);
                for (INDEX k = 0; k < least(n * count, s->channels - c); k++)
                    if (result == sums) y[(c + k) * each + f] = sums[k];
            }
            c += count * LANES;
            for (INDEX run = 0; run < runs; run++) x[run] += count * LANES;
        }
    }
    free(weights);
    free(x);
    free(met);
    free(rest);
    close_view(&v);
    return failed;
}
"""

_CORRELATE = """
/* Sums of `ROWS` channels over the pixels of a list. */
static void correlate_COUNT(
    const PAIR *pairs, INDEX n, const REAL *x, const REAL *gradient, REAL *result
) {
    UNIT sums[ROWS][COUNT * UNITS] = {0};
    for (INDEX i = 0; i < n; i++) {
        const REAL *p = x + pairs[i].input * ROWS;
        const UNIT *g = (const UNIT *)(gradient + pairs[i].output * (COUNT * LANES));
        #pragma GCC unroll 16
        for (int m = 0; m < ROWS; m++)
            #pragma GCC unroll 16
            for (int k = 0; k < COUNT * UNITS; k++) sums[m][k] += p[m] * g[k];
    }
    for (int m = 0; m < ROWS; m++)
        for (int k = 0; k < COUNT * UNITS; k++)
            ((UNIT *)result)[m * COUNT * UNITS + k] = sums[m][k];
}
"""

_WEIGHTS = """
/* Pixels and channels that stay in a core's cache. */
#define PIXELS 512
#define CHANNELS 128

/* Pixels that are taken together: images, or rows of an image. */
typedef struct {
    INDEX image, images, row, rows;       /* of outputs */
    INDEX in_rows, in_columns;            /* inputs of an image that meet them, */
    INDEX *met_rows, *met_columns;        /* which they are, */
    INDEX *row_numbers, *column_numbers;  /* and their numbers among those */
} CHUNK;

/* Numbers the inputs of an axis that meet outputs `first` to `last`. */
static INDEX number_inputs(
    const INDEX *inputs, INDEX taps, INDEX outputs, INDEX first, INDEX last, INDEX size,
    INDEX *met, INDEX *numbers
) {
    memset(numbers, 0, sizeof(INDEX) * size);
    for (INDEX tap = 0; tap < taps; tap++)
        for (INDEX o = first; o < last; o++)
            if (inputs[tap * outputs + o] >= 0) numbers[inputs[tap * outputs + o]] = 1;
    INDEX n = 0;
    for (INDEX i = 0; i < size; i++)
        if (numbers[i]) {
            met[n] = i;
            numbers[i] = n++;
        }
    return n;
}

static void find_rows(const VIEW *v, CHUNK *chunk) {
    const SIZES *s = &v->s;
    chunk->in_rows = number_inputs(
        v->rows, s->kernel_rows, s->out_rows, chunk->row, chunk->row + chunk->rows,
        s->in_rows, chunk->met_rows, chunk->row_numbers);
}

/* Numbers of a block of channels. Blocks do not follow each other at a power of two:
   a cache would keep few of them. */
static INDEX size_of_block(const CHUNK *chunk) {
    return (chunk->images * chunk->in_rows * chunk->in_columns + 2) * ROWS;
}

/* Copies inputs into blocks of `ROWS` channels. What is behind the last channel is
   multiplied, but not delivered. */
static void pack_inputs(
    const VIEW *v, const CHUNK *chunk, INDEX first, INDEX channels, REAL *blocks
) {
    const INDEX size = size_of_block(chunk);
    REAL *to = blocks;
    for (INDEX i = chunk->image; i < chunk->image + chunk->images; i++)
        for (INDEX r = 0; r < chunk->in_rows; r++)
            for (INDEX c = 0; c < chunk->in_columns; c++, to += ROWS) {
                const REAL *x = v->x + first
                    + ((i * v->s.in_rows + chunk->met_rows[r]) * v->s.in_columns
                    + chunk->met_columns[c]) * v->pixel;
                REAL *block = to;
                for (INDEX k = 0; k < channels; k += ROWS, block += size)
                    if (x + k + ROWS <= v->end)
                        for (int m = 0; m < ROWS; m++) block[m] = x[k + m];
                    else
                        for (INDEX m = 0; k + m < channels; m++) block[m] = x[k + m];
            }
}

/* Lists which inputs of a chunk meet which outputs by a tap; returns how many. */
static INDEX list_pairs(
    const VIEW *v, const CHUNK *chunk, INDEX a, INDEX b, PAIR *pairs
) {
    const SIZES *s = &v->s;
    const INDEX *columns = v->columns + b * s->out_columns;
    INDEX n = 0;
    for (INDEX i = 0; i < chunk->images; i++)
        for (INDEX o = 0; o < chunk->rows; o++) {
            const INDEX row = v->rows[a * s->out_rows + chunk->row + o];
            if (row < 0) continue;
            const INDEX input =
                (i * chunk->in_rows + chunk->row_numbers[row]) * chunk->in_columns;
            const INDEX output = (i * chunk->rows + o) * s->out_columns;
            for (INDEX c = 0; c < s->out_columns; c++) {
                const INDEX column = columns[c];
                const INDEX number = column < 0 ? 0 : chunk->column_numbers[column];
                pairs[n] = (PAIR){(int)(input + number), (int)(output + c)};
                n += column >= 0;
            }
        }
    return n;
}

INDEX dense_weights_parts(const INDEX *sizes) {
    const SIZES *s = (const SIZES *)sizes;
    const INDEX columns = s->channels > 8 ? 1 : s->kernel_columns;
    const INDEX blocks = pieces(s->channels * columns / s->groups, ROWS) * s->groups;
    return parts_of(
        s, blocks * pieces(pieces(s->filters / s->groups, LANES), PANEL));
}

/* Adds `ROWS` pixels to the gradient of channels that have one vector of filters. */
static void add_pixels(
    const REAL *const *x, const REAL *const *gradient, INDEX channels, REAL *result
) {
    const REAL *p[ROWS];
    UNIT g[ROWS][UNITS];
    for (int m = 0; m < ROWS; m++) {
        p[m] = x[m];
        for (int k = 0; k < UNITS; k++) g[m][k] = ((const UNIT *)gradient[m])[k];
    }
    for (INDEX c = 0; c < channels; c++) {
        UNIT sums[UNITS] = {0};
        #pragma GCC unroll 16
        for (int m = 0; m < ROWS; m++)
            #pragma GCC unroll 16
            for (int k = 0; k < UNITS; k++) sums[k] += p[m][c] * g[m][k];
        for (int k = 0; k < UNITS; k++) ((UNIT *)result)[c * UNITS + k] += sums[k];
    }
}

/* One tap and few filters: inputs are read only once, so it does not pay to copy them.
   A part is a range of channels of each group. */
static int narrow_weights_part(
    INDEX part, INDEX parts, const VIEW *v, const REAL *gradient, REAL *result
) {
    const SIZES *s = &v->s;
    const INDEX first = s->channels * part / parts;
    const INDEX n = s->channels * (part + 1) / parts - first;
    REAL *zeros = calloc(most(n, LANES) + 1, sizeof(REAL));
    if (!zeros) return 1;
    for (INDEX group = 0; group < s->groups; group++) {
        REAL *of_group = result + (group * s->channels + first) * LANES;
        memset(of_group, 0, sizeof(REAL) * n * LANES);
        const REAL *x[ROWS], *g[ROWS];
        INDEX m = 0;
        for (INDEX row = 0; row < s->images * s->out_rows; row++) {
            const INDEX r = v->rows[row % s->out_rows];
            for (INDEX column = 0; r >= 0 && column < s->out_columns; column++) {
                if (v->columns[column] < 0) continue;
                x[m] = v->x + group * s->channels + first
                    + ((row / s->out_rows * s->in_rows + r) * s->in_columns
                    + v->columns[column]) * v->pixel;
                g[m++] = gradient
                    + ((row * s->out_columns + column) * s->groups + group) * LANES;
                if (m == ROWS) add_pixels(x, g, n, of_group), m = 0;
            }
        }
        for (INDEX rest = m; m && rest < ROWS; rest++) x[rest] = g[rest] = zeros;
        if (m) add_pixels(x, g, n, of_group);
    }
    free(zeros);
    return 0;
}

/* A part is a range of channels and of filters: those that are fewer are read by
   several parts. */
int dense_weights_part(
    INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out
) {
    const SIZES *s = (const SIZES *)sizes;
    if (s->groups > 1 && s->groups == s->channels)
        return depthwise_weights_part(part, parts, s, in, out);
    VIEW view;
    int failed = open_view(&view, s, in[0], 0, s->images, 1);
    s = &view.s;
    const int one_tap = s->kernel_rows == 1 && s->kernel_columns == 1;
    if (one_tap && view.width == LANES && !failed) {
        failed = narrow_weights_part(part, parts, &view, in[1], out[0]);
        close_view(&view);
        return failed;
    }
    const INDEX blocks = pieces(s->channels, ROWS), vectors = view.width / LANES;
    const INDEX panels = pieces(vectors, PANEL);
    const INDEX taps = s->kernel_rows * s->kernel_columns;
    const INDEX of_filters = s->channels < view.filters
        ? shares(parts, panels) : parts / shares(parts, blocks * s->groups);
    const INDEX of_channels = parts / of_filters;
    const INDEX begin = part % of_channels * blocks * s->groups / of_channels;
    const INDEX end = (part % of_channels + 1) * blocks * s->groups / of_channels;
    const INDEX first = part / of_channels * panels / of_filters * PANEL;
    const INDEX last =
        least((part / of_channels + 1) * panels / of_filters * PANEL, vectors);

    const INDEX both = s->in_rows + s->in_columns;
    INDEX *numbers = malloc(sizeof(INDEX) * (2 * both + 1));
    failed |= !numbers;
    CHUNK chunk = {
        .met_rows = numbers, .met_columns = numbers + s->in_rows,
        .row_numbers = numbers + both, .column_numbers = numbers + both + s->in_rows};
    if (!failed)
        chunk.in_columns = number_inputs(
            view.columns, s->kernel_columns, s->out_columns, 0, s->out_columns,
            s->in_columns, chunk.met_columns, chunk.column_numbers);
    const INDEX deep = least(CHANNELS, blocks * ROWS);
    const INDEX outputs = s->out_rows * s->out_columns;
    const INDEX area =
        most(most(outputs, s->in_rows * chunk.in_columns * deep / CHANNELS), 1);
    const INDEX images = most(least(PIXELS / area, s->images), 1);
    const INDEX rows = most(pieces(s->out_rows, pieces(area, PIXELS)), 1);
    INDEX inputs = 0;
    for (; !failed && chunk.row < s->out_rows; chunk.row += rows) {
        chunk.rows = least(rows, s->out_rows - chunk.row);
        find_rows(&view, &chunk);
        inputs = most(inputs, chunk.in_rows);
    }
    const INDEX pixels = images * rows * s->out_columns;
    PAIR *pairs = malloc(sizeof(PAIR) * (pixels * taps + 1));
    INDEX *counts = malloc(sizeof(INDEX) * taps);
    REAL *packed_x =
        malloc(sizeof(REAL) * (images * inputs * chunk.in_columns + 2) * deep + 64);
    REAL *packed_gradient = malloc(sizeof(REAL) * pixels * PANEL * LANES + 64);
    REAL *x = aligned(packed_x), *g = aligned(packed_gradient);
    REAL sums[ROWS * PANEL * LANES] __attribute__((aligned(64)));
    failed |= !pairs || !counts || !packed_x || !packed_gradient;

    for (INDEX group = 0; group < s->groups && !failed; group++)
    for (INDEX block = most(begin - group * blocks, 0);
         block < least(end - group * blocks, blocks); block += CHANNELS / ROWS)
    for (chunk.image = 0; chunk.image < most(s->images, 1); chunk.image += images)
    for (chunk.row = 0; chunk.row < most(s->out_rows, 1); chunk.row += rows) {
        const INDEX stop =
            least(block + CHANNELS / ROWS, least(end - group * blocks, blocks));
        const INDEX channels = least(stop * ROWS, s->channels) - block * ROWS;
        const int begins = !chunk.image && !chunk.row;
        chunk.images = least(images, s->images - chunk.image);
        chunk.rows = least(rows, s->out_rows - chunk.row);
        find_rows(&view, &chunk);
        pack_inputs(&view, &chunk, group * s->channels + block * ROWS, channels, x);
        PAIR *end_of_pairs = pairs;
        for (INDEX tap = 0; tap < taps; tap++) {
            counts[tap] = list_pairs(
                &view, &chunk, tap / s->kernel_columns, tap % s->kernel_columns,
                end_of_pairs);
            end_of_pairs += counts[tap];
        }
        for (INDEX k = first; k < last; k += PANEL) {
            const INDEX count = least(PANEL, last - k);
            const REAL *gradient = (const REAL *)in[1] + group * view.width + k * LANES
                + (chunk.image * outputs + chunk.row * s->out_columns) * s->groups
                * view.width;
            const INDEX n = chunk.images * chunk.rows * s->out_columns;
            for (INDEX i = 0; i < n; i++)
                copy(
                    g + i * count * LANES, gradient + i * s->groups * view.width,
                    count);
            const PAIR *list = pairs;
            for (INDEX tap = 0; tap < taps; list += counts[tap++])
                for (INDEX j = block; j < stop; j++) {
                    const REAL *of_block = x + (j - block) * size_of_block(&chunk);
                    if (counts[tap] || begins) {
                        if (count == 2)
                            correlate_2(list, counts[tap], of_block, g, sums);
                        else
                            correlate_1(list, counts[tap], of_block, g, sums);
                    } else
                        continue;
                    REAL *result = (REAL *)out[0] + k * LANES
                        + ((group * taps + tap) * s->channels + j * ROWS) * view.width;
                    for (INDEX m = 0; m < least(ROWS, s->channels - j * ROWS); m++)
                        deliver(
                            sums + m * count * LANES, result + m * view.width,
                            count * LANES, !begins);
                }
        }
    }
    free(numbers);
    free(pairs);
    free(counts);
    free(packed_x);
    free(packed_gradient);
    close_view(&view);
    return failed;
}
"""

_DEPTHWISE_WEIGHTS = """
static int depthwise_weights_part(
    INDEX part, INDEX parts, const SIZES *s, void **in, void **out
) {
    const INDEX taps = s->kernel_rows * s->kernel_columns;
    const INDEX each = s->filters / s->groups, width = pieces(each, LANES) * LANES;
    const INDEX vectors = pieces(s->channels, LANES);
    const INDEX first = vectors * part / parts * LANES;
    const INDEX n = least(vectors * (part + 1) / parts * LANES, s->channels) - first;
    if (n <= 0) return 0;
    const INDEX columns = pieces(n, LANES) * LANES;
    REAL *gradient = calloc(s->out_columns * each * columns + 1, sizeof(REAL));
    REAL *totals = calloc(taps * each * columns, sizeof(REAL));
    REAL *x = calloc(s->in_columns * columns + 1, sizeof(REAL));
    const int failed = !gradient || !totals || !x;
    for (INDEX row = 0; row < s->images * s->out_rows && !failed; row++) {
        const REAL *g = (const REAL *)in[1]
            + (row * s->out_columns * s->groups + first) * width;
        for (INDEX o = 0; o < s->out_columns; o++)
            for (INDEX c = 0; c < n; c++)
                for (INDEX f = 0; f < each; f++)
                    gradient[(o * each + f) * columns + c] =
                        g[(o * s->groups + c) * width + f];
        for (INDEX a = 0; a < s->kernel_rows; a++) {
            const INDEX r = input_of(
                row % s->out_rows, a, s->stride_rows, s->pad_rows, s->dilation_rows,
                s->transposed, s->in_rows);
            if (r < 0) continue;
            const INDEX image = row / s->out_rows;
            for (INDEX i = 0; i < s->in_columns; i++)
                memcpy(
                    x + i * columns,
                    (const REAL *)in[0] + first
                    + ((image * s->in_rows + r) * s->in_columns + i) * s->channels,
                    sizeof(REAL) * n);
            for (INDEX b = 0; b < s->kernel_columns; b++)
                for (INDEX f = 0; f < each; f++)
                    for (INDEX c = 0; c < columns; c += LANES) {
                        UNIT sums[UNITS] = {0};
                        for (INDEX o = 0; o < s->out_columns; o++) {
                            const INDEX i = input_of(
                                o, b, s->stride_columns, s->pad_columns,
                                s->dilation_columns, s->transposed, s->in_columns);
                            if (i < 0) continue;
                            for (int k = 0; k < UNITS; k++)
                                sums[k] += ((UNIT *)(x + i * columns + c))[k]
                                    * ((UNIT *)(gradient + (o * each + f) * columns
                                    + c))[k];
                        }
                        UNIT *total = (UNIT *)(totals + c
                            + ((a * s->kernel_columns + b) * each + f) * columns);
                        for (int k = 0; k < UNITS; k++) total[k] += sums[k];
                    }
        }
    }
    for (INDEX c = 0; c < n && !failed; c++)
        for (INDEX tap = 0; tap < taps; tap++)
            for (INDEX f = 0; f < width; f++)
                ((REAL *)out[0])[((first + c) * taps + tap) * width + f] =
                    f < each ? totals[(tap * each + f) * columns + c] : 0;
    free(gradient);
    free(totals);
    free(x);
    return failed;
}
"""

_PAIR = """
/* An input and an output of a chunk that meet. */
typedef struct {
    int input, output;
} PAIR;
"""


def _blocks(text, counts="12"):
    """A function for each number of vectors."""
    return [text.replace("COUNT", count) for count in counts]


SOURCE = "".join(
    [
        *(_PRELUDE, *_blocks(_DEPTHWISE_SUMS, "14"), _DEPTHWISE),
        *(*_blocks(_MULTIPLY), _FORWARD),
        *(_PAIR, *_blocks(_CORRELATE), _DEPTHWISE_WEIGHTS, _WEIGHTS),
    ]
)
"""Follows `events.source(dtype)`."""
