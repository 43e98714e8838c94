"""A network as operations on memory, with the features of one sample and one step.

Layers that only rearrange (flatten, reshape, permute, crop) do nothing at run time: a
`Value` says where in a `Memory` each feature lies, and weights are arranged by that.
Convolutions have their channels last in memory, whatever the data format.
"""

import dataclasses
from typing import Any

import numpy as np

# When something is computed: once a call, once a time step, after the last step.
ONCE, STEP, END = range(3)


@dataclasses.dataclass(eq=False)
class Memory:
    """Numbers of one sample.

    Attributes:
        size: Integer, how many.
        phase: `ONCE`, `STEP` or `END`.
        binary: Boolean, whether all are 0 or 1. They are kept as bits then.
        argument: Which input of the network it is, or `None`.
        kept: Boolean, whether the next step reads it before it is written again.
    """

    size: int
    phase: int
    binary: bool = False
    argument: int | None = None
    kept: bool = False


@dataclasses.dataclass(eq=False)
class Value:
    """Features as a layer sees them.

    Attributes:
        memory: `Memory`.
        positions: Integer array, where in the memory each feature lies; its shape is
            that of the features.
        time: Boolean, whether the model's tensor has a time axis.
    """

    memory: Memory
    positions: np.ndarray
    time: bool

    @property
    def shape(self):
        return self.positions.shape

    def view(self, positions):
        """Other features of the same memory."""
        return Value(self.memory, positions, self.time)

    def arrange(self, array):
        """An array that broadcasts over the features, in the memory's order."""
        array = np.broadcast_to(array, self.shape)
        arranged = np.zeros(self.memory.size, array.dtype)
        arranged[self.positions.ravel()] = array.ravel()
        return arranged


@dataclasses.dataclass(eq=False)
class Operation:
    """Computes a memory from others.

    Attributes:
        name: String, the layer that it comes from.
        inputs: List of `Memory`s.
        output: `Memory`.
    """

    name: str
    inputs: list
    output: Memory


@dataclasses.dataclass(eq=False)
class Product(Operation):
    """Dense layers and convolutions, of inputs and to outputs `(group, row, column,
    channel)`.

    Attributes:
        kernel: Array `(groups, kernel rows, kernel columns, channels, filters)`.
        bias: Array `(groups, filters)`.
        rows, columns: Of the input; `out_rows`, `out_columns` of the output.
        strides, dilation, padding: Pairs; padding before the first row and column.
        depthwise: Boolean, whether each channel has filters of its own: the kernel
            is `(1, kernel rows, kernel columns, channels, multiplier)`, the bias
            `(1, channels * multiplier)`.
        quantized: Boolean, whether its weights were quantised before.
    """

    kernel: Any
    bias: Any
    rows: int = 1
    columns: int = 1
    out_rows: int = 1
    out_columns: int = 1
    strides: tuple = (1, 1)
    dilation: tuple = (1, 1)
    padding: tuple = (0, 0)
    depthwise: bool = False
    quantized: bool = False

    @property
    def groups(self):
        return self.kernel.shape[0]

    @property
    def channels(self):
        return self.kernel.shape[3]

    @property
    def filters(self):
        return self.bias.shape[1]


@dataclasses.dataclass(eq=False)
class Affine(Operation):
    """`scale x + shift`, arrays `(size,)`, or `(time, size)` of each step."""

    scale: Any
    shift: Any


@dataclasses.dataclass(eq=False)
class Apply(Operation):
    """A traced `Step`: a neuron, an activation, any element-wise layer.

    Attributes:
        step: `kernels.trace.Step`.
        parameters: List of arrays `(size,)`.
        states: List of the initial states, arrays `(size,)`.
    """

    step: Any
    parameters: list
    states: list


@dataclasses.dataclass(eq=False)
class Combine(Operation):
    """An element-wise operation of several inputs, as C with `{0}`, `{1}`, ..."""

    code: str


@dataclasses.dataclass(eq=False)
class Pool(Operation):
    """Pooling over `(row, column, channel)`; `mode` is `"max"`, `"mean"`, `"sum"`."""

    mode: str
    rows: int
    columns: int
    channels: int
    window: tuple
    strides: tuple
    padding: tuple
    out_rows: int
    out_columns: int


@dataclasses.dataclass(eq=False)
class Copy(Operation):
    """Moves features: of each input, a pair of arrays, from where to where."""

    tables: list


@dataclasses.dataclass(eq=False)
class Delay(Operation):
    """What the input was some steps ago, 0 before the first step.

    Attributes:
        steps: Integer array `(size,)`, the delays.
        past: `Memory` of the inputs of `slots` steps, each after `stride` numbers.
        slots, stride: Integers.
    """

    steps: Any
    past: Memory
    slots: int
    stride: int

    @property
    def uniform(self):
        """Whether all delays are the same."""
        return bool(np.all(self.steps == self.steps[0]))


@dataclasses.dataclass(eq=False)
class Reduce(Operation):
    """Over time: `"sum"`, `"last"`, `"max"` or `"max_abs"`."""

    mode: str


@dataclasses.dataclass(eq=False)
class Softmax(Operation):
    """Over the last axis, of `length`."""

    length: int


@dataclasses.dataclass(eq=False)
class Attention(Operation):
    """`Q (scale K^T V)`, of queries, keys and values side by side in each token.

    Attributes:
        heads, tokens: Integers.
        channels, values: Integers, channels of the queries, and of the values.
        scale: Float.
    """

    heads: int
    tokens: int
    channels: int
    values: int
    scale: float


@dataclasses.dataclass(eq=False)
class Graph:
    """A whole network.

    Attributes:
        inputs: List of `Value`s, what the network takes.
        outputs: List of `Value`s, what it returns.
        operations: List of `Operation`s, in order.
        timesteps: Integer, the only number of steps that it can run, or `None`.
    """

    inputs: list
    outputs: list
    operations: list
    timesteps: int | None


class Builder:
    """Makes the operations of a graph."""

    def __init__(self):
        self.operations = []
        self.timesteps = None

    def add(self, kind, name, values, size, *details, binary=False, phase=None, **more):
        """Adds an operation; returns its output's `Memory`."""
        inputs = [v.memory for v in values]
        if phase is None:
            phase = max(m.phase for m in inputs)
        output = Memory(size, phase, binary)
        self.operations.append(kind(name, inputs, output, *details, **more))
        return output

    def in_order(self, name, value, order=None):
        """The value in a memory that has its features, in a given order, and nothing
        else.

        Args:
            name: String, whose input it is.
            value: `Value`.
            order: Array of all features' indices, in the order of the memory.
                Defaults to that of the features.
        """
        wanted = value.positions.ravel()
        if order is not None:
            wanted = wanted[order]
        if np.array_equal(wanted, np.arange(value.memory.size)):
            return value
        return self.concatenate(name, [value.view(wanted)], value, order)

    def concatenate(self, name, values, like, order=None):
        """Features of several values, one after the other, as those of `like`."""
        ends = np.cumsum([v.positions.size for v in values])
        places = [
            np.arange(end - v.positions.size, end) for v, end in zip(values, ends)
        ]
        tables = [(v.positions.ravel(), p) for v, p in zip(values, places)]
        binary = all(v.memory.binary for v in values)
        size = int(ends[-1])
        memory = self.add(Copy, name, values, size, tables, binary=binary)
        positions = np.empty(size, "int64")
        positions[np.arange(size) if order is None else order] = np.arange(size)
        return Value(memory, positions.reshape(like.shape), like.time)

    def whole(self, name, value):
        """The value in a memory that has nothing but its features, in any order."""
        flat = np.sort(value.positions.ravel())
        if np.array_equal(flat, np.arange(value.memory.size)):
            return value
        return self.in_order(name, value)

    def elementwise(self, kind, name, value, *details, binary=False, phase=None):
        """An operation that keeps the places of all features."""
        size = value.memory.size
        memory = self.add(
            kind, name, [value], size, *details, binary=binary, phase=phase
        )
        return Value(memory, value.positions, value.time)

    def combine(self, name, values, code, binary=False):
        """An element-wise operation of several values of one shape."""
        first = self.whole(name, values[0])
        order = np.argsort(first.positions.ravel())
        rest = [self.in_order(name, v, order) for v in values[1:]]
        values = [first, *rest]
        size = first.memory.size
        memory = self.add(Combine, name, values, size, code, binary=binary)
        return Value(memory, first.positions, any(v.time for v in values))

    def delay(self, name, value, steps):
        """A value as it was some steps ago, as many as `steps` has for each feature."""
        value = self.whole(name, value)
        memory = value.memory
        steps = value.arrange(np.asarray(steps))
        uniform = np.all(steps == steps[0])
        slots = int(steps.max()) + (0 if uniform else 1)
        stride = -(-memory.size // 64) * 64 if memory.binary else memory.size
        past = Memory(slots * stride, STEP, memory.binary)
        return Value(
            self.add(
                *(Delay, name, [value], memory.size, steps, past, slots, stride),
                binary=memory.binary,
                phase=STEP,
            ),
            value.positions,
            True,
        )

    def before(self, positions):
        """What `feed_back` writes in a step, as the next step reads it: features at
        `positions` of a memory of their own. It starts at 0."""
        return Value(Memory(positions.size, STEP, kept=True), positions, True)

    def copy(self, name, value):
        """A value in a memory that nobody else writes."""
        places = np.arange(value.memory.size)
        tables = [(places, places)]
        memory = self.add(Copy, name, [value], value.memory.size, tables)
        return Value(memory, value.positions, value.time)

    def feed_back(self, name, value, before):
        """Writes a value where `before` is, as which it returns it."""
        order = np.argsort(before.positions.ravel())
        inputs = [self.in_order(name, value, order).memory]
        self.operations.append(Combine(name, inputs, before.memory, "{0}"))
        return before

    def reduce(self, name, value, mode):
        """Over time. What a stream returns is that of the steps so far."""
        kind = "sum" if mode == "mean" else mode
        value = self.elementwise(Reduce, name, self.whole(name, value), kind, phase=END)
        value.time = False
        if mode == "mean":
            value = self.combine(name, [value], "{0} / (REAL)(b->step + 1)")
        return value
