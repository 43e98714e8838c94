"""Prints the kernels of a program as C that runs chunks of a sequence side by side.

A few neurons do not fill the vectors of a processor, and a step takes as long as its
operations take one after the other. Here a long sequence is cut into chunks; a lane of
a vector runs a neuron over a chunk.

What a chunk starts from is what the one before ends with, and has to be guessed. A
chunk whose guess was wrong runs again, from where the one before has ended, until it
comes back, bit for bit, to states that it has been in at the same step: neurons that
leak or are reset forget how they started. When nothing is wrong any more, each step has
been computed from the one before it, as in a loop over time. Neurons that do not forget
within a chunk run one chunk after the other.
"""

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.host import PRELUDE
from keras_spiking.backends.kernels.host import TEAM
from keras_spiking.backends.kernels.host import pages_of
from keras_spiking.backends.kernels.host import pointers_of
from keras_spiking.backends.kernels.passes import kernels
from keras_spiking.backends.kernels.text import deeper
from keras_spiking.backends.kernels.text import fill
from keras_spiking.backends.kernels.text import indent
from keras_spiking.backends.kernels.text import prelude
from keras_spiking.backends.kernels.text import type_of

MOST_NEURONS = 4
STEPS = 1024  # for each neuron, at least

# A function may give another value at another place in a vector.
_FUNCTIONS = set(
    "power exp expm1 log log1p sin cos arctan tanh sigmoid softplus erf".split()
)


def fewest_steps(neurons):
    """From how many time steps on chunks pay off, or `None`: never."""
    return STEPS * neurons if 1 <= neurons <= MOST_NEURONS else None


def refusal(program):
    """Why a program would not do the same in chunks, or `None`."""
    if program.masked:
        return "there is a mask"
    if not program.step.states:
        return "there are no states"
    for node in in_order([program.output, *program.new_states]):
        if node.op in _FUNCTIONS and node.inputs & _varying(program):
            return f"its spikes may depend on how {node.op} is rounded"
    return None


def _varying(program):
    return {"x", *(state.value for state in program.step.states)}


def source(program, dtype):
    """The C text of a program's kernels, for sequences of a dtype."""
    functions = [_function(kernel) for kernel in kernels(program)]
    return "".join([prelude(dtype), PRELUDE, CHUNKS, *functions])


def _function(kernel):
    saved = [
        f"REAL *RESTRICT {array.name} = scratch + {k} * time * n;"
        for k, array in enumerate(kernel.scratch)
    ]
    kept = max(len(loop.states) for loop in kernel.passes)
    places = f"{len(kernel.scratch)} * time * n + {kept} * KEPT(time)"
    return fill(
        FUNCTION,
        name=kernel.name,
        pointers=indent(pointers_of(kernel) + kernel.constants.numbers, 1),
        pages=indent(pages_of(kernel), 1),
        places=places,
        constants=indent(_registers(kernel.constants.names), 2),
        compute_constants=indent(_each_neuron(kernel.constants.setup), 2),
        copy_constants=indent(_copies(kernel.constants.names), 2),
        saved=indent(saved, 1),
        kept=f"scratch + {len(kernel.scratch)} * time * n",
        passes="\n".join(_pass(kernel, loop) for loop in kernel.passes),
    ) + TEAM.format(name=kernel.name)


def _pass(kernel, loop):
    states = [name for name in loop.states if name not in loop.sums]
    inputs = kernel.inputs + (kernel.scratch if loop.back else [])
    arrays = [
        f"REAL *RESTRICT {name}_kept = kept + {k} * KEPT(time);"
        for k, name in enumerate(loop.states)
    ]
    moves, rows = {"READ": [], "WRITE": []}, []
    for array in loop.sequences:
        name, is_read = array.name, array in inputs
        tile = f"{type_of(array, const=False)} {name}_tile[TILE * PLACES] = {{0}};"
        row = f"{type_of(array, const=is_read)} *{name}_row = {name}_tile + k * PLACES;"
        arrays.append(tile)
        rows.append(row)
        macro = "READ" if is_read else "WRITE"
        start = "" if array.kind == "scratch" else " + b * time * n"
        moves[macro].append(f"{macro}({name}_tile, {name}{start});")

    def keep(names, tile):
        return [f"{_kept(name, tile)} = {name}[i];" for name in names]

    def restore(lane):
        return [f"{name}[i] = {_kept(name, 'tiles', lane)};" for name in states]

    def differ(pairs):
        return " | ".join(f"DIFFER({x}, {y})" for x, y in pairs)

    before = [_kept(s, "tiles", "i - n") for s in states]
    return fill(
        PASS,
        direction="-1" if loop.back else "1",
        start="time - 1" if loop.back else "0",
        registers=indent(_registers(loop.states) + arrays, 3),
        setup=indent(_each_lane(loop.setup), 3),
        differs=differ((f"{s}[i]", _kept(s, "tile")) for s in states),
        keep=indent(keep(states, "tile"), 6),
        zeros=indent([f"{name}[i] = ZERO;" for name in loop.sums], 6),
        reads=indent(moves["READ"], 5),
        rows=indent(rows, 6),
        body=indent(loop.body, 7),
        writes=indent(moves["WRITE"], 5),
        keep_sums=indent(keep(loop.sums, "tile"), 6),
        keep_first_sums=indent(
            [f"{_kept(w, 'tiles')} = i < n ? {w}[i] : ZERO;" for w in loop.sums], 6
        ),
        keep_ends=indent(keep(states, "tiles"), 6),
        wrong=differ(zip([_kept(s, "0") for s in states], before)),
        restart=indent(restore("from"), 5),
        last=indent(restore("all - n + i"), 4),
        totals=indent([f"{w}[i] = TOTAL({w}_kept, i);" for w in loop.sums], 4),
        finish=indent(_each_neuron(loop.finish), 3),
    )


def _kept(name, tile, lane="i"):
    return f"{name}_kept[{tile} * LANES + {lane}]"


def _copies(names):
    """Lines that give the first chunk's values to the lanes of the others.

    They are not computed for all lanes: what a function like `exp` gives may depend
    on the place in a vector.
    """
    lines = [f"{name}[i] = {name}[i % n];" for name in names]
    return ["for (int i = n; i < all; i++) {", *deeper(lines), "}"] if lines else []


def _registers(names):
    return [f"REAL {name}[PLACES] = {{0}};" for name in names]


def _each_lane(lines):
    """Lines outside of the loop over time, for all lanes."""
    if not lines:
        return []
    here = "const INDEX here = b * features + i % n;"
    return ["EACH(0, all) {", *deeper([here, *lines]), "}"]


def _each_neuron(lines):
    if not lines:
        return []
    here = "const INDEX here = b * features + i;"
    return ["EACH(0, n) {", *deeper([here, *lines]), "}"]


FUNCTION = """
int {name}_part(INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out) {{
    const INDEX batch = sizes[0], time = sizes[1], features = sizes[2];
{pointers}
{pages}
    const int n = features, chunks = chunks_of(time, n), all = chunks * n;
    const INDEX length = time / chunks, rest = time % chunks;
    const INDEX tiles = (length + TILE - 1) / TILE, end = batch * (part + 1) / parts;
    REAL *scratch = malloc(sizeof(REAL) * ({places}));
    if (!scratch) return 1;
    REAL *kept = {kept};
{saved}
    for (INDEX b = batch * part / parts; b < end; b++) {{
{constants}
{compute_constants}
{copy_constants}
{passes}
    }}
    free(scratch);
    return 0;
}}

INDEX {name}_parts(const INDEX *sizes) {{ return parts_of(sizes); }}
"""

# The first run takes the steps that are left over when time is cut into equal chunks;
# they come before the first chunk. Then the first two chunks run, and the second again
# from its true start: if it comes back to states that it has been in, all others run
# side by side, or else one after the other. `known` lanes have kept their states.
PASS = """        {{
            enum {{ DIRECTION = {direction} }};
{registers}
{setup}
            int low = 0, high = n, known = 0, runs = 0, forgets = 0;
            for (; low < high; runs++) {{
                const INDEX steps = runs ? length : rest;
                const int again = high <= known;
                INDEX tile = 0;
                for (; tile * TILE < steps; tile++) {{
                    const INDEX done = tile * TILE, left = steps - done;
                    const int count = left < TILE ? left : TILE;
                    const INDEX from = {start} + DIRECTION * (done + (runs ? rest : 0));
                    if (again) {{
                        int differ = 0;
                        #pragma omp simd reduction(|:differ)
                        for (int i = low; i < high; i++) differ |= {differs};
                        if (!differ) break;
                    }}
                    if (runs) EACH(low, high) {{
{keep}
{zeros}
                    }}
{reads}
                    for (int k = 0; k < count; k++) {{
{rows}
                        EACH_LANE {{
{body}
                        }}
                    }}
{writes}
                    if (runs) EACH(low, high) {{
{keep_sums}
                    }}
                }}
                if (!runs) {{
                    EACH(0, all) {{
{keep_first_sums}
                    }}
                    high = all < 2 * n ? all : 2 * n;
                    continue;
                }}
                if (tile == tiles) EACH(low, high) {{
{keep_ends}
                }}
                known = high > known ? high : known;
                low = all, high = 0;
                for (int i = known - 1; i >= n; i--) if ({wrong}) {{
                    if (!high) high = (i / n + 1) * n;
                    low = i / n * n;
                }}
                const int wrong = high > 0;
                if (again) forgets = tile < tiles;
                else if (runs == 1) forgets = !wrong;
                if (wrong && ((again && !forgets) || runs > MOST_RUNS)) high = low + n;
                int before = low - n;
                if (!wrong && known < all) {{
                    low = known, high = forgets ? all : known + n;
                    before = known - n;
                }}
                for (int i = low; i < high; i++) {{
                    const int from = before + (wrong ? i - low : i % n);
{restart}
                }}
            }}
            EACH(0, n) {{
{last}
{totals}
            }}
{finish}
        }}"""

CHUNKS = """
#define TILE 16
#define LANES 64
#define WIDTH 16
#define PLACES (LANES + WIDTH)
#define SHORTEST 64
#define MOST_RUNS 6
#define KEPT(time) ((time / TILE + 2) * LANES)

/* In how many chunks a sequence of n neurons is cut. */
static inline int chunks_of(INDEX time, int n) {
    const INDEX most = LANES / n, chunks = time / SHORTEST;
    return chunks < 1 ? 1 : chunks < most ? chunks : most;
}

static INDEX parts_of(const INDEX *sizes) {
    const INDEX parts = 1 + sizes[0] * sizes[1] * sizes[2] / 32768;
    return parts < sizes[0] ? parts : sizes[0];
}

#ifdef STORED_FLOAT64
typedef unsigned long long BITS;
#else
typedef unsigned BITS;
#endif
static inline BITS bits(REAL x) {
    union { REAL x; BITS bits; } both = {x};
    return both.bits;
}
#define DIFFER(x, y) (bits(x) != bits(y))
/* Whole vectors: what comes after the last lane is no matter. */
#define EACH_LANE \\
    for (int vector = low; vector < high; vector += WIDTH) \\
    _Pragma("omp simd") for (int i = vector; i < vector + WIDTH; i++)
#define EACH(low, high) _Pragma("omp simd") for (int i = low; i < high; i++)

/* Between sequences in memory and a tile of them, a lane next to the other. */
#define READ(tile, rows) MOVE(tile[k * PLACES + i] = row[f], rows)
#define WRITE(tile, rows) MOVE(row[f] = tile[k * PLACES + i], rows)
#define MOVE(move, rows) \\
    for (int c = low / n; c < high / n; c++) \\
        for (int f = 0; f < n; f++) { \\
            const int i = c * n + f; \\
            __auto_type row = rows + (from + DIRECTION * c * length) * n; \\
            for (int k = 0; k < count; k++, row += DIRECTION * n) move; \\
        }

/* The sum of a neuron over all that its lanes have kept. */
#define TOTAL(kept, neuron) total(kept, (tiles + 1) * LANES, neuron, n, all)
static REAL total(const REAL *kept, INDEX end, int neuron, int n, int all) {
    REAL sum = ZERO;
    for (INDEX place = 0; place < end; place += LANES)
        for (int i = neuron; i < all; i += n) sum += kept[place + i];
    return sum;
}
"""
