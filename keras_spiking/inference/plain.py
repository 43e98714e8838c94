"""A network as C99 that needs nothing but its own arrays: no threads, no vectors."""

import re

import numpy as np

from keras_spiking.backends.kernels.text import COMMON_PRELUDE
from keras_spiking.backends.kernels.text import functions as names_of_functions
from keras_spiking.inference import plain_texts
from keras_spiking.inference import plan
from keras_spiking.inference import texts
from keras_spiking.inference.graph import Attention
from keras_spiking.inference.graph import Product
from keras_spiking.inference.source import Text
from keras_spiking.inference.source import in_blocks

WIDTH = 64  # outputs of a product, or features, whose sums are on the stack together


class PlainText(Text):
    """The program of a network for one sample, with weights as constant arrays.

    Args:
        graph: `Graph`.
        weights: `"float32"` or `"int8"`.
        name: String, what the names of its functions start with.

    Attributes:
        flash: Integer, bytes of the constant arrays.
        ram: Integer, bytes of the variables.
        stack: Integer, bytes of the largest arrays on the stack.
    """

    word = 8
    width = WIDTH
    _emit_head = plain_texts.EMIT_HEAD

    def __init__(self, graph, weights, name):
        self.name = name
        self._names = {}
        super().__init__(graph, weights)
        self.flash = sum(table.nbytes for table in self.tables)
        self.ram = self.arena.size + self._events * self._event.itemsize + 8
        self.stack = max(map(_stack_of, self.kernels))

    @staticmethod
    def bytes_of(memory):
        """Bytes of a memory, a multiple of those of a number."""
        bits = memory.size * (1 if memory.binary else 32)
        return -(-bits // 32) * 4

    def _arena(self):
        self._events = max(map(_events_of, self.kernels))
        memories = [m for k in self.kernels for m in (*k.reads, k.output)]
        largest = max([m.size for m in memories])
        self._event = np.dtype("uint16" if largest < 2**16 else "uint32")
        return plan.arena_of(self.graph, self.kernels, 0, self.bytes_of)

    def table(self, array):
        key = array.dtype.str, array.tobytes()
        if key not in self._names:
            self._names[key] = f"{self.name}_table{len(self.tables)}"
            self.tables.append(np.ascontiguousarray(array))
        return self._names[key]

    def places(self, array):
        return self.table(array.astype(self._event))

    def _argument(self, index):
        return plain_texts.ARGUMENT.replace("INDEX_OF", str(index))

    def _place(self, key, kind, size):
        offset = str(self.arena.offsets[key] // 4)
        return plain_texts.PLACE[kind].replace("OFFSET", offset)

    def _of_depthwise(self, values):
        return values

    def _product(self, kernel, op):
        values, scale = self._levels(op)
        if op.depthwise:
            return self._depthwise(kernel, op, values, scale)
        blocks = -(-op.filters // self.width)
        width = -(-op.filters // blocks)
        if blocks > 1:  # blocks of bits start with a byte
            width = -(-width // 8) * 8
        constants = self._constants(
            **self._geometry(op),
            WIDTH=width,
            BLOCKS=blocks,
            LAST=op.filters - (blocks - 1) * width,
            TOGETHER=op.dilation[1] == 1,
        )
        binary = op.inputs[0].binary
        words = self._bits(kernel)
        find = "find_bits" if binary else "const int ones = find_numbers"
        find += "(INPUT, PIXELS, CHANNELS, starts, events);"
        ones = plain_texts.CALL.replace("AMOUNTS", "0").replace("GATHER", "ones")
        others = plain_texts.CALL.replace("AMOUNTS", "INPUT")
        others = others.replace("GATHER", "others")
        calls = plain_texts.CALLS.replace("ONES", ones).replace("OTHERS", others)
        text = plain_texts.PRODUCT.replace("CALLS", ones if binary else calls)
        text = self._gathers(binary) + text
        text = text.replace("CONSTANTS", constants).replace("FIND", find)
        text = text.replace("ZEROES", f"zero(OUTPUT, {words});" if words else "")
        text = text.replace("WEIGHT", "REAL" if scale is None else "BYTE")
        text = text.replace("SCALING", self._scaling(scale))
        text = text.replace("INPUT", self.memory(op.inputs[0]))
        return text.replace("TABLE", self.table(in_blocks(values, blocks, width)))

    def _gathers(self, binary):
        """The sums over events that are all 1, in integers if weights are, and over
        others."""
        exact = "int32_t" if self.weights == "int8" else "REAL"
        pieces = [("ones", exact, plain_texts.ADD_ONES)]
        if not binary:
            pieces.append(("others", "REAL", plain_texts.ADD_AMOUNTS))
        return "".join(
            texts._gather(name, *plain_texts.GATHER)
            .replace("const int graded, ", "")
            .replace("SUM", kind)
            .replace("ADD", add)
            for name, kind, add in pieces
        )

    def _program(self, functions):
        memories = "".join(text for _, text in self._memories.values())
        scratch = f"static EVENT scratch[{self._events}];\n" if self._events else ""
        arena = f"static REAL arena[{self.arena.size // 4}];\n"
        prelude = plain_texts.PRELUDE.replace("WIDTH", str(self.width))
        prelude = prelude.replace("EVENT_TYPE", f"{self._event.name}_t")
        prelude += "\n".join(names_of_functions("f")) + COMMON_PRELUDE
        body = _of_one_sample("".join([arena, scratch, memories, functions]))
        pieces = [
            f"/* {self.name}: a spiking network with {self.weights} weights. */\n\n"
            f'#include "{self.name}.h"\n\n#include <math.h>\n#include <string.h>\n',
            plain_texts.ARITHMETIC,
            _used_macros(prelude, body),
            plain_texts.BLOCK,
            _used(plain_texts.HELPERS, body),
            *map(self._printed, self.tables),
            "\n",
            body,
            plain_texts.ARITHMETIC_END,
        ]
        return "".join(pieces)

    def _printed(self, table):
        key = table.dtype.str, table.tobytes()
        kind = {"f": "float", "i": "int8_t", "u": f"{table.dtype.name}_t"}
        head = f"\nstatic const {kind[table.dtype.kind]} {self._names[key]}"
        return f"{head}[{table.size}] = {{\n{numbers(table)}\n}};\n"

    def _main_text(self):
        graph = self.graph
        inputs = _names("input", graph.inputs)
        outputs = _names("output", graph.outputs)
        limit = graph.timesteps
        text = plain_texts.MAIN.replace("LIMIT", f"steps >= {limit}" if limit else "0")
        text = text.replace("    if (0) return 1;\n", "")
        for token, part in (
            ("RUN_PARAMETERS", ", ".join(self.parameters(steps=True))),
            ("PARAMETERS", ", ".join(self.parameters())),
            ("INPUT_NAMES", ", ".join(inputs)),
            ("OUTPUT_NAMES", ", ".join(outputs)),
            ("INPUTS_AT", ", ".join(map(_at, inputs, graph.inputs))),
            ("OUTPUTS_AT", ", ".join(map(_at, outputs, graph.outputs))),
            ("NAME", self.name),
        ):
            text = text.replace(token, part)
        return text

    def parameters(self, steps=False):
        """The parameters of `step`, or of `run`."""
        inputs = _names("input", self.graph.inputs)
        outputs = _names("output", self.graph.outputs)
        return [
            *(f"const float *{name}" for name in inputs),
            *["int timesteps"] * steps,
            *(f"float *{name}" for name in outputs),
        ]


def _names(kind, values):
    if len(values) == 1:
        return [kind]
    return [f"{kind}{i}" for i in range(len(values))]


def _at(name, value):
    return f"{name} + t * {value.positions.size}" if value.time else name


def _events_of(kernel):
    """Places that a product needs for the non-zeros of its input."""
    op = kernel.source
    if not isinstance(op, Product) or op.depthwise:
        return 0
    return op.inputs[0].size + op.groups * op.rows * op.columns + 1


def _stack_of(kernel):
    """Bytes of the arrays of a kernel."""
    op = kernel.source
    if isinstance(op, Attention):
        return 4 * (op.channels // op.heads) * (op.values // op.heads)
    arrays = 2 if isinstance(op, Product) else 1
    return 4 * WIDTH * (arrays + len(kernel.reads))


def _of_one_sample(text):
    """Without the loops over samples that networks on servers have."""
    loop = r"for \(INDEX s = 0; s < b->samples; s\+\+\)"
    text = re.sub(loop + r" \{\n", "{\n", text)
    text = re.sub(r" *" + loop + r"\n", "", text)
    text = re.sub(r"\n( +\n)+", "\n", text)
    text = text.replace("(b, s)", "").replace("b, s, ", "b, ")
    return text.replace("INDEX s, ", "")


def _used(pieces, body):
    """Those that a text uses, by their names."""
    used = ""
    for name, piece in reversed(pieces.items()):
        if re.search(rf"\b{name}\b", body + used):
            used = piece + used
    return used


def _used_macros(prelude, body):
    """The prelude with those macros only that it, or the text, uses."""
    lines = prelude.split("\n")
    for _ in range(4):  # macros that use others
        rest = body + "".join(re.sub(r"#define \w+", "", line) for line in lines)
        rest += plain_texts.BLOCK + "".join(plain_texts.HELPERS.values())
        kept = []
        for line in lines:
            name = re.match(r"#define (\w+)", line)
            if name is None or re.search(rf"\b{name[1]}\b", rest):
                kept.append(line)
        lines = kept
    return "\n".join(lines)


def numbers(array):
    """The numbers of an array as C, some in each line."""
    flat = array.ravel()
    if array.dtype.kind == "f":
        items = [_number(v) for v in flat]
        count = 8
    else:
        items, count = list(map(str, flat.tolist())), 20
    rows = (items[i : i + count] for i in range(0, len(items), count))
    return ",\n".join("    " + ", ".join(row) for row in rows)


def _number(value):
    if not np.isfinite(value):
        return "NAN" if np.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
    return f"{value!s}f"
