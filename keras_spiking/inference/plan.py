"""From a graph to kernels: what runs together, in which order, in which memory.

A kernel has a source, which makes the values of a block of neighbouring features of
one sample; a chain of element-wise operations that these go through while they are in
registers or in the first-level cache; and a sink, which writes them.
"""

import dataclasses

import numpy as np

from keras_spiking.inference.graph import END
from keras_spiking.inference.graph import ONCE
from keras_spiking.inference.graph import STEP
from keras_spiking.inference.graph import Affine
from keras_spiking.inference.graph import Apply
from keras_spiking.inference.graph import Attention
from keras_spiking.inference.graph import Combine
from keras_spiking.inference.graph import Copy
from keras_spiking.inference.graph import Delay
from keras_spiking.inference.graph import Memory
from keras_spiking.inference.graph import Pool
from keras_spiking.inference.graph import Product
from keras_spiking.inference.graph import Reduce
from keras_spiking.inference.graph import Softmax

ALIGNMENT = 64  # bytes
LOAD_BLOCK = 256  # features
ALONE = (Copy, Delay, Softmax, Attention)  # sources that write their output themselves


@dataclasses.dataclass(eq=False)
class Kernel:
    """Source, chain and sink.

    Attributes:
        source: `Product`, `Pool`, one of `ALONE`, or `None`, which reads `input`.
        input: The source's `Memory`.
        chain: List of pairs of an element-wise `Operation` and the index of the input
            that comes from the operation before.
        output: `Memory` that the sink writes.
        phase: When it runs.
    """

    source: object
    input: Memory
    chain: list
    output: Memory
    phase: int

    @property
    def operations(self):
        own = [] if self.source is None else [self.source]
        return own + [op for op, _ in self.chain]

    @property
    def name(self):
        return ", ".join(dict.fromkeys(op.name for op in self.operations))

    @property
    def reads(self):
        """The memories that it reads."""
        first = [self.input] if self.source is None else self.source.inputs
        others = [
            m for op, index in self.chain for i, m in enumerate(op.inputs) if i != index
        ]
        return [*first, *others]

    @property
    def states(self):
        """The `Apply`s with states."""
        return [op for op, _ in self.chain if isinstance(op, Apply) and op.states]

    @property
    def kept(self):
        """The memories that it keeps from one step to the next, and that start at 0."""
        own = [self.output] if self.output.kept else []
        return own + [op.past for op in self.operations if isinstance(op, Delay)]

    @property
    def takes_more(self):
        """Whether element-wise operations can follow before it writes its output."""
        source = self.source
        pools_bits = isinstance(source, Pool) and source.inputs[0].binary
        return not isinstance(source, ALONE) and not pools_bits and not self.reduces

    @property
    def reduces(self):
        """The reduction over time that is its sink, or `None`."""
        last = self.operations[-1] if self.operations else None
        return last if isinstance(last, Reduce) else None


def kernels_of(graph):
    """The kernels of a graph in the order of execution."""
    operations = _fold_affine(graph)
    operations = _unpack(operations)
    uses = _uses(graph, operations)
    kernels = []
    for op in operations:
        if isinstance(op, (Product, Pool, *ALONE)):
            phase = op.output.phase
            kernels.append(Kernel(op, op.inputs[0], [], op.output, phase))
            continue
        phase = STEP if isinstance(op, Reduce) else op.output.phase
        kernel, index = _tail(kernels, op, uses, phase)
        if kernel is None:
            kernel, index = Kernel(None, op.inputs[0], [], op.inputs[0], phase), 0
        else:
            kernels.remove(kernel)
        kernel.chain.append((op, index))
        kernel.output = op.output
        kernels.append(kernel)
    return kernels


def _uses(graph, operations):
    memories = [m for op in operations for m in op.inputs]
    memories += [v.memory for v in graph.outputs]
    counts = {}
    for memory in memories:
        counts[memory] = counts.get(memory, 0) + 1
    return counts


def _tail(kernels, op, uses, phase):
    """The kernel that an operation can join, and by which input."""
    for kernel in reversed(kernels):
        for i, memory in enumerate(op.inputs):
            joins = (
                kernel.output is memory
                and uses[memory] == 1
                and kernel.phase == phase
                and kernel.takes_more
            )
            if joins:
                return kernel, i
    return None, None


def _fold_affine(graph):
    """Folds what scales and shifts channels into the weights of a product before."""
    uses = _uses(graph, graph.operations)
    producers, kept = {}, []
    for op in graph.operations:
        product = producers.get(op.inputs[0])
        scale = shift = None
        if isinstance(op, Affine) and product is not None and uses[op.inputs[0]] == 1:
            scale, shift = (_per_channel(product, w) for w in (op.scale, op.shift))
        if scale is None or shift is None:
            kept.append(op)
            if isinstance(op, Product):
                producers[op.output] = op
            continue
        by = scale[:, None, None, None]
        if product.depthwise:
            by = scale.reshape(1, 1, 1, *product.kernel.shape[3:])
        product.kernel = product.kernel * by
        product.bias = product.bias * scale + shift
        product.name = f"{product.name}, {op.name}"
        product.output = op.output
        producers[op.output] = product
    return kept


def _per_channel(product, array):
    """An array over the outputs of a product as `(groups, filters)`, or `None`."""
    if array.ndim != 1:
        return None
    array = array.reshape(product.groups, -1, product.filters)
    return array[:, 0] if np.all(array == array[:, :1]) else None


def _unpack(operations):
    """Gives operations that cannot read bits numbers instead."""
    result, unpacked = [], {}
    for op in operations:
        reads_numbers = isinstance(op, (Softmax, Attention)) or (
            isinstance(op, Product) and op.depthwise
        )
        if isinstance(op, Pool):
            reads_numbers = op.mode != "max" or op.channels % 8 != 0
        if reads_numbers and op.inputs[0].binary:
            (bits,) = op.inputs
            if bits not in unpacked:
                numbers = Memory(bits.size, bits.phase)
                unpacked[bits] = numbers
                result.append(Combine(op.name, [bits], numbers, "{0}"))
            op.inputs = [unpacked[bits]]
        result.append(op)
    return result


def aligned(size):
    """An array of bytes that starts where a vector and a line of the cache do."""
    memory = np.empty(size + ALIGNMENT, "uint8")
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def bytes_of(memory):
    """Bytes of a memory for one sample, aligned; bits have a spare word."""
    size = (memory.size // 64 + 2) * 8 if memory.binary else memory.size * 4
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclasses.dataclass
class Arena:
    """Where everything lies in the memory of one sample.

    Attributes:
        offsets: Dictionary from `Memory`s, `(Apply, index)`s of states, and `"scratch"`
            to offsets in bytes.
        size: Integer, bytes of a sample.
        states: Integer, how many of these are states.
    """

    offsets: dict
    size: int = 0
    states: int = 0

    def place(self, key, size):
        self.offsets[key] = self.size
        self.size += size


def arena_of(graph, kernels, scratch, bytes_of=bytes_of):
    """Plans the memory of one sample.

    What a step has made and another one does not need shares its place with others.
    """
    arena = Arena({})
    for kernel in kernels:
        for op in kernel.states:
            for i, state in enumerate(op.states):
                arena.place((op, i), bytes_of(Memory(len(state), STEP)))
    for kernel in kernels:
        stays = kernel.phase == ONCE or kernel.reduces is not None
        for memory in kernel.kept + [kernel.output] * stays:
            arena.place(memory, bytes_of(memory))
    arena.states = arena.size
    arena.place("scratch", -(-scratch // ALIGNMENT) * ALIGNMENT)
    last = {}
    for i, kernel in enumerate(kernels):
        last.update((m, i) for m in [*kernel.reads, kernel.output])
    last.update((v.memory, len(kernels)) for v in graph.outputs)
    base, taken = arena.size, []  # taken: (start, end, last use)
    for i, kernel in enumerate(kernels):
        memory = kernel.output
        if memory in arena.offsets:
            continue
        taken = [t for t in taken if t[2] >= i]
        start, size = base, bytes_of(memory)
        for begin, end, _ in sorted(taken):
            if start + size <= begin:
                break
            start = max(start, end)
        taken.append((start, start + size, last[memory]))
        arena.offsets[memory] = start
        arena.size = max(arena.size, start + size)
    return arena


def steps_of(kernels):
    """Kernels by phase."""
    return {p: [k for k in kernels if k.phase == p] for p in (ONCE, STEP, END)}
