"""C text of a network."""

import functools
import re

import numpy as np

from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import host
from keras_spiking.backends.kernels.text import prelude
from keras_spiking.inference import plan
from keras_spiking.inference import sparse
from keras_spiking.inference import texts
from keras_spiking.inference.chain import Chain
from keras_spiking.inference.graph import END
from keras_spiking.inference.graph import ONCE
from keras_spiking.inference.graph import STEP
from keras_spiking.inference.graph import Attention
from keras_spiking.inference.graph import Copy
from keras_spiking.inference.graph import Delay
from keras_spiking.inference.graph import Memory
from keras_spiking.inference.graph import Pool
from keras_spiking.inference.graph import Product
from keras_spiking.inference.graph import Softmax
from keras_spiking.inference.plan import LOAD_BLOCK
from keras_spiking.inference.weights import quantize


@functools.cache
def most_vectors():
    """How many vectors of sums stay in registers on this machine."""
    return compiler.load(texts.MOST_VECTORS).most_vectors()


class Text:
    """The program of a network.

    Args:
        graph: `Graph`.
        weights: `"float32"` or `"int8"`.

    Attributes:
        source: The C text.
        tables: List of the arrays that it reads: weights, and the like.
        arena: `Arena`.
        kernels: List of `Kernel`s.
        quantized: Dictionary from `Product`s to int8 arrays and their scales.
        sparse: Dictionary from `Product`s that take the weights that are not 0 only to
            the bytes of these.
    """

    bytes_of = staticmethod(plan.bytes_of)
    word = 64  # bits
    width = LOAD_BLOCK  # features that an element-wise kernel takes together
    _emit_head = texts.EMIT_HEAD

    def __init__(self, graph, weights):
        self.graph, self.weights = graph, weights
        self.tables, self.quantized, self.sparse = [], {}, {}
        self.kernels = plan.kernels_of(graph)
        self._memories = {}
        self.arena = self._arena()
        functions = [self._function(i, k) for i, k in enumerate(self.kernels)]
        functions.append(self._main())
        self.source = self._program("".join(functions))

    def _arena(self):
        self._scratch = max([_scratch_of(k.source) for k in self.kernels], default=0)
        return plan.arena_of(self.graph, self.kernels, self._scratch)

    def _program(self, functions):
        place = texts.SCRATCH.replace("OFFSET", str(self.arena.offsets["scratch"]))
        pieces = [
            prelude("float32"),
            host.PRELUDE,
            texts.PRELUDE.replace("MOST", str(max(LOAD_BLOCK, 32 * most_vectors()))),
            *(text for _, text in self._memories.values()),
            place.replace("SIZE", str(self._scratch)),
            functions,
        ]
        return "".join(pieces)

    def table(self, array):
        """An array as an expression of C."""
        table = plan.aligned(array.nbytes).view(array.dtype).reshape(array.shape)
        table[...] = array
        self.tables.append(table)
        return f"b->tables[{len(self.tables) - 1}]"

    def places(self, array):
        """The same of an array of places in memories."""
        return self.table(array.astype("int32"))

    def memory(self, memory):
        """Name of the function that finds a memory of a sample."""
        if memory not in self._memories:
            name = f"memory{len(self._memories)}"
            if memory.argument is not None:
                text = self._argument(memory.argument)
            else:
                text = self._place(memory, _kind(memory), self.bytes_of(memory))
            self._memories[memory] = name, text.replace("NAME", name)
        return self._memories[memory][0]

    def state(self, op, i):
        """Name of the function that finds a state of a neuron."""
        if (op, i) not in self._memories:
            name = f"memory{len(self._memories)}"
            size = self.bytes_of(Memory(len(op.states[i]), STEP))
            text = self._place((op, i), "REAL", size)
            self._memories[op, i] = name, text.replace("NAME", name)
        return self._memories[op, i][0]

    def _argument(self, index):
        return texts.ARGUMENT.replace("INDEX_OF", str(index))

    def _place(self, key, kind, size):
        text = texts.PLACE.replace("KIND", kind).replace("SIZE", str(size))
        return text.replace("OFFSET", str(self.arena.offsets[key]))

    def bytes_of_weights(self, op):
        """Bytes of the weights of an operation, as many as it has."""
        if not isinstance(op, Product):
            return 0
        if op in self.sparse:
            return self.sparse[op]
        is_int8 = self.weights == "int8" and not op.depthwise
        return op.kernel.size * (1 if is_int8 else 4)

    def packs_words(self, kernel):
        """Whether blocks of bits of a kernel start at multiples of 16."""
        source = kernel.source
        if isinstance(source, Product):
            single = source.groups * source.out_rows * source.out_columns == 1
            return single or source.filters % 16 == 0
        return not isinstance(source, Pool) or source.channels % 16 == 0

    def _function(self, index, kernel):
        source = kernel.source
        kinds = {Product: self._product, Pool: self._pool, Copy: self._copy}
        kinds |= {Softmax: self._softmax, Attention: self._attention}
        kinds |= {Delay: self._delay}
        if source is None:
            body = self._load(kernel)
        else:
            body = kinds[type(source)](kernel, source)
        finish = ""
        if "FINISH" in body:
            finish = Chain(index, kernel, self).text
        output = self.memory(kernel.output)
        body = body.replace("FINISH", f"finish_{index}").replace("OUTPUT", output)
        label = re.sub(r"[^\w ,.()-]", "_", kernel.name, flags=re.ASCII)
        body = body.replace("@", str(index)).replace("LABEL", label)
        return finish + body

    def _constants(self, **constants):
        return ", ".join(f"{name} = {int(v)}" for name, v in constants.items())

    def _load(self, kernel):
        text = texts.LOAD.replace("INPUT", self.memory(kernel.input))
        read = "unpack" if kernel.input.binary else "load"
        return text.replace("READ", read).replace(
            "CONSTANTS",
            self._constants(
                SIZE=kernel.input.size, WIDTH=self.width, BITS=self._bits(kernel)
            ),
        )

    def _bits(self, kernel):
        """Words to be zeroed, since bits are set one by one."""
        zeroes = kernel.output.binary and not self.packs_words(kernel)
        return self._words(kernel.output) if zeroes else 0

    def _words(self, memory):
        """Words of bits, or numbers, of a memory."""
        return -(-memory.size // self.word) if memory.binary else memory.size

    def _levels(self, op):
        """Weights of a product, and with int8 weights their scales."""
        if self.weights == "float32":
            return op.kernel.astype("float32"), None
        weights = op.kernel
        if op.depthwise:
            weights = weights.reshape(*weights.shape[:3], 1, -1)
        self.quantized[op] = quantize(weights, op.quantized)
        return self.quantized[op]

    def _product(self, kernel, op):
        int8 = self.weights == "int8"
        values, scale = self._levels(op)
        if op.depthwise:
            return self._depthwise(kernel, op, values, scale)
        if not int8 and sparse.pays(op, 64 if most_vectors() > 4 else 32):
            return self._sparse(kernel, op)
        binary = op.inputs[0].binary
        vectors, parallel = _block_of(op, int8)
        lanes = 64 if int8 else 16
        width = vectors * lanes
        blocks = -(-op.filters // width)
        split = in_blocks(values, blocks, width)
        split = _interleaved(split) if int8 else split
        taps = op.kernel.shape[1:3]
        constants = self._constants(
            **self._geometry(op),
            PARALLEL=parallel,
            WIDTH=width,
            ROW=width,
            BLOCKS=blocks,
            LAST=op.filters - (blocks - 1) * width,
            TOGETHER=op.dilation[1] == 1,
            SPILLS=taps[0] * taps[1] * op.channels > 256,
            BITS=self._bits(kernel),
        )
        text = texts.PRODUCT_OF_BITS if binary else texts.PRODUCT_OF_NUMBERS
        if not int8:
            gather = texts.ADD + texts.GATHER
        elif binary:
            gather = texts.ADD_INTEGERS + texts.GATHER_INT8
        else:
            # One way: the order of the sums is a part of the result.
            ordered = texts.GATHER.replace("PARALLEL", "1")
            gather = texts.ADD_INT8 + ordered + texts.ADD_INTEGERS + texts.GATHER_INT8
        text = (gather + text).replace("CONSTANTS", constants)
        text = text.replace("GATHER_ONES", "gather_int8" if int8 else "gather")
        text = text.replace("WEIGHT", "BYTE" if int8 else "REAL")
        text = text.replace("SCALING", self._scaling(scale))
        text = text.replace("INPUT", self.memory(op.inputs[0]))
        return text.replace("TABLE", self.table(split))

    def _sparse(self, kernel, op):
        """A product with the weights that are not 0."""
        starts, places, weights = sparse.rows_of(op)
        self.sparse[op] = weights.nbytes + places.nbytes
        constants = self._constants(
            **self._geometry(op),
            WIDTH=op.filters,
            ROW=1,
            BLOCKS=1,
            LAST=op.filters,
            TOGETHER=op.dilation[1] == 1,
            SINK=LOAD_BLOCK,
            PARTS=sparse.PARTS,
            BITS=self._bits(kernel),
        )
        binary = op.inputs[0].binary
        text = texts.PRODUCT_OF_BITS if binary else texts.PRODUCT_OF_NUMBERS
        text = texts.GATHER_SPARSE + text.replace("GATHER_ONES", "gather")
        for name, value in (
            ("CONSTANTS", constants),
            ("PLACES_OF", self.table(places)),
            ("WEIGHTS_OF", self.table(weights)),
            ("OUTPUTS", _UNSIGNED[places.dtype.itemsize]),
            ("WEIGHT", "int"),
            ("INPUT", self.memory(op.inputs[0])),
            ("TABLE", self.table(starts)),
        ):
            text = text.replace(name, value)
        return text

    def _scaling(self, scale):
        if scale is None:
            return ""
        return texts.SCALE.replace("TABLE", self.table(scale.ravel()))

    def _geometry(self, op):
        return {
            "GROUPS": op.groups,
            "ROWS": op.rows,
            "COLUMNS": op.columns,
            "CHANNELS": op.channels,
            "FILTERS": op.filters,
            "OUT_ROWS": op.out_rows,
            "OUT_COLUMNS": op.out_columns,
            "KERNEL_ROWS": op.kernel.shape[1],
            "KERNEL_COLUMNS": op.kernel.shape[2],
            "STRIDE_ROWS": op.strides[0],
            "STRIDE_COLUMNS": op.strides[1],
            "DILATION_ROWS": op.dilation[0],
            "DILATION_COLUMNS": op.dilation[1],
            "PAD_ROWS": op.padding[0],
            "PAD_COLUMNS": op.padding[1],
        }

    def _depthwise(self, kernel, op, values, scale):
        taps = op.kernel.shape[1] * op.kernel.shape[2]
        constants = self._constants(
            **self._geometry(op),
            MULTIPLIER=op.filters // op.channels,
            WIDTH=min(op.filters, self.width),
            BITS=self._bits(kernel),
        )
        text = texts.DEPTHWISE.replace("CONSTANTS", constants)
        text = text.replace("SCALING", self._scaling(scale))
        text = text.replace("INPUT", self.memory(op.inputs[0]))
        table = self._of_depthwise(values).reshape(taps, -1)
        kind = "BYTE" if table.dtype == "int8" else "REAL"
        text = text.replace("WEIGHT", kind)
        return text.replace("TABLE", self.table(table))

    def _of_depthwise(self, values):
        return values.astype("float32")

    def _pool(self, kernel, op):
        constants = {
            "ROWS": op.rows,
            "COLUMNS": op.columns,
            "OUT_ROWS": op.out_rows,
            "OUT_COLUMNS": op.out_columns,
            "WINDOW_ROWS": op.window[0],
            "WINDOW_COLUMNS": op.window[1],
            "STRIDE_ROWS": op.strides[0],
            "STRIDE_COLUMNS": op.strides[1],
            "PAD_ROWS": op.padding[0],
            "PAD_COLUMNS": op.padding[1],
        }
        if op.inputs[0].binary and not kernel.chain:
            sizes = (n for n in (64, 32, 16, 8) if n <= self.word)
            bits = next(n for n in sizes if op.channels % n == 0)
            constants["CHANNELS"] = op.channels // bits
            text = texts.POOL_BITS.replace("ELEMENT", texts.ELEMENTS[bits])
        else:
            constants["CHANNELS"] = op.channels
            constants["WIDTH"] = min(op.channels, self.width)
            constants["BITS"] = self._bits(kernel)
            text = texts.POOL.replace("START", texts.POOL_START[op.mode])
            text = text.replace("TAKE", texts.POOL_TAKE[op.mode])
            text = text.replace("DIVIDE", texts.POOL_END[op.mode])
        text = text.replace("CONSTANTS", self._constants(**constants))
        return text.replace("INPUT", self.memory(op.inputs[0]))

    def _copy(self, kernel, op):
        moves = []
        for memory, (sources, places) in zip(op.inputs, op.tables):
            kept = sources >= 0
            pairs = np.stack([sources[kept], places[kept]])
            text = texts.MOVE.replace("COUNT", str(pairs.shape[1]))
            text = text.replace("INPUT", self.memory(memory))
            text = text.replace("TABLE", self.places(pairs))
            text = text.replace("KIND", _kind(memory))
            copies = _COPIES[memory.binary, op.output.binary]
            moves.append(text.replace("COPY", copies))
        text = texts.COPY.replace("KIND", _kind(op.output))
        size = f"sizeof({_kind(op.output)}) * {self._words(op.output)}"
        return text.replace("MOVES", "".join(moves)).replace("BYTES", size)

    def _delay(self, kernel, op):
        text = texts.DELAY if op.uniform else texts.DELAYS
        stride = op.stride // self.word if op.output.binary else op.stride
        constants = self._constants(
            SIZE=self._words(op.output),
            COUNT=op.output.size,
            SLOTS=op.slots,
            STRIDE=stride,
        )
        text = text.replace("CONSTANTS", constants)
        text = text.replace("KIND", _kind(op.output))
        text = text.replace("COPY", _COPIES[op.output.binary, op.output.binary])
        text = text.replace("PAST", self.memory(op.past))
        text = text.replace("INPUT", self.memory(op.inputs[0]))
        return text if op.uniform else text.replace("TABLE", self.places(op.steps))

    def _softmax(self, kernel, op):
        constants = self._constants(LENGTH=op.length, SIZE=op.output.size)
        text = texts.SOFTMAX.replace("CONSTANTS", constants)
        return text.replace("INPUT", self.memory(op.inputs[0]))

    def _attention(self, kernel, op):
        constants = self._constants(
            HEADS=op.heads,
            TOKENS=op.tokens,
            CHANNELS=op.channels // op.heads,
            VALUES=op.values // op.heads,
        )
        text = texts.ATTENTION.replace("CONSTANTS", constants)
        text = text.replace("SCALE", f"R({float(op.scale)!r})")
        return text.replace("INPUT", self.memory(op.inputs[0]))

    def _main(self):
        phases = plan.steps_of(self.kernels)

        def calls(phase):
            names = [f"    kernel_{self.kernels.index(k)}(b);" for k in phases[phase]]
            return "\n".join(names)

        start = []
        for kernel in self.kernels:
            for op in kernel.states:
                for i, values in enumerate(op.states):
                    start.append(self._start(op, i, values))
            for memory in kernel.kept:
                text = texts.START_ZEROS.replace("PLACE", self.memory(memory))
                size = f"sizeof({_kind(memory)}) * {self._words(memory)}"
                start.append(text.replace("LENGTH", size))
        emits = {True: [], False: []}
        for i, value in enumerate(self.graph.outputs):
            emits[value.time].append(self._emit(i, value))
        text = self._main_text()
        for name, phase in (
            ("ONCE", ONCE),
            ("STEP_KERNELS", STEP),
            ("END_KERNELS", END),
        ):
            text = text.replace(name, calls(phase))
        text = text.replace("START", "\n".join(start))
        text = text.replace("EMIT_STEP", "".join(emits[True]))
        text = text.replace("EMIT_END", "".join(emits[False]))
        return text

    def _main_text(self):
        text = texts.MAIN.replace("INPUTS", str(len(self.graph.inputs)))
        return text.replace("SAMPLE_BYTES", str(self.arena.size))

    def _start(self, op, i, values):
        place = self.state(op, i)
        if np.all(values == values[0]):
            source, value = "", f"R({float(values[0])!r})"
            value = f"({value})" if values[0] < 0 else value
        else:
            source, value = self.table(values), ""
        text = texts.START_TABLE if source else texts.START_NUMBER
        text = text.replace("PLACE", place).replace("LENGTH", str(len(values)))
        return text.replace("TABLE", source).replace("NUMBER", value)

    def _emit(self, i, value):
        positions = value.positions.ravel()
        if np.array_equal(positions, np.arange(len(positions))):
            text = texts.EMIT_BITS if value.memory.binary else texts.EMIT
        else:
            copies = _COPIES[value.memory.binary, False]
            text = texts.EMIT_TABLE.replace("KIND", _kind(value.memory))
            text = text.replace("COPY", copies)
            text = text.replace("TABLE", self.places(positions))
        text = self._emit_head + text
        text = text.replace("INPUT", self.memory(value.memory))
        text = text.replace("COUNT", str(len(positions))).replace("NUMBER", str(i))
        return text.replace("AT_STEP", "b->row" if value.time else "0").replace(
            "STEPS_OF", "b->time" if value.time else "1"
        )


def _kind(memory):
    return "WORD" if memory.binary else "REAL"


def in_blocks(values, blocks, width):
    """Weights with those of a block of `width` outputs next to one another."""
    padded = np.zeros((*values.shape[:4], blocks * width), values.dtype)
    padded[..., : values.shape[4]] = values
    split = padded.reshape(*values.shape[:4], blocks, width)
    return split.transpose(0, 4, 1, 2, 3, 5)


def _block_of(op, int8):
    """How many vectors of sums a block has, and how many of each in parallel.

    A convolution uses its weights again at every pixel: the more sums a block has, the
    fewer events are read. The weights of a Dense layer stay in the first-level cache
    for all samples if a block is narrow; its sums do not wait for each other if each
    is made in several parts.
    """
    registers = most_vectors()
    most = max(registers // (4 if int8 else 2), 1)
    if op.rows * op.columns == 1:
        most = 1 if int8 else 2
    vectors = -(-op.filters // (64 if int8 else 16))
    vectors = -(-vectors // -(-vectors // most))
    return vectors, {1: 4, 2: max(registers // 4, 1)}.get(vectors, 1)


def _interleaved(levels):
    """Bytes of 64 outputs: that of output i, plus 128, before that of output 32 + i."""
    pairs = levels.astype("int16").reshape(*levels.shape[:-1], -1, 2, 32)
    lower, upper = pairs[..., 0, :] + 128, pairs[..., 1, :]
    words = (upper << 8) | lower
    return words.reshape(*levels.shape[:-1], -1).view("int8")


_UNSIGNED = {2: "unsigned short", 4: "unsigned"}

_COPIES = {
    (False, False): "to[place] = from[source];",
    (True, False): "to[place] = bit(from, source) ? ONE : ZERO;",
    (True, True): "set(to, place, bit(from, source));",
}


def _scratch_of(source):
    """Bytes that a product needs for the non-zeros of a sample."""
    if not isinstance(source, Product) or source.depthwise:
        return 0
    memory = source.inputs[0]
    events = memory.size + 64
    starts = source.groups * source.rows * source.columns + 1
    return 4 * (events * (1 if memory.binary else 2) + starts)
