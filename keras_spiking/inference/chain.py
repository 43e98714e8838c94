"""C text of a kernel's chain and sink, for a block of neighbouring features."""

import numpy as np

from keras_spiking.backends.kernels.passes import Constants
from keras_spiking.backends.kernels.passes import Pass
from keras_spiking.backends.kernels.passes import _literal
from keras_spiking.inference.graph import Affine
from keras_spiking.inference.graph import Apply
from keras_spiking.inference.graph import Combine
from keras_spiking.inference.graph import Product
from keras_spiking.inference.graph import Reduce


class Chain:
    """The text of `finish_N`, which takes the values that a source has made.

    Args:
        index: Integer, the kernel's number.
        kernel: `Kernel`.
        network: `Text`, which knows memories and tables.
    """

    def __init__(self, index, kernel, network):
        self._kernel, self._network = kernel, network
        self._setup, self._body = [], []
        source = kernel.source
        # Values that are the same at all places of a channel are kept once.
        self._channels = None
        if isinstance(source, Product):
            self._channels = source.groups, source.filters
            self._bias(source)
        for op, position in kernel.chain:
            self._print(op, position)
        self.text = _FINISH.format(
            index=index,
            setup="\n".join(f"    {line}" for line in self._setup),
            body="\n".join(f"        {line}" for line in self._body),
            sink=self._sink(),
        )

    def _bias(self, source):
        bias = source.bias.astype("float32").ravel()
        if np.any(bias):
            name = self._pointer(self._network.table(bias), "channel")
            self._body.append(f"value = value + {name};")

    def _print(self, op, position):
        if isinstance(op, Affine):
            self._affine(op)
        elif isinstance(op, Combine):
            self._combine(op, position)
        elif isinstance(op, Apply):
            self._apply(op)
        else:
            assert isinstance(op, Reduce)

    def _affine(self, op):
        scale = self._values(op.scale.astype("float32"))
        shift = self._values(op.shift.astype("float32"))
        self._body.append(f"value = {scale} * value + {shift};")

    def _combine(self, op, position):
        names = [
            "value" if i == position else f"{self._operand(memory)}[i]"
            for i, memory in enumerate(op.inputs)
        ]
        if op.code != "{0}":
            self._body.append(f"value = {op.code.format(*names)};")

    def _operand(self, memory):
        """An array of a block of another memory."""
        name = f"other{len(self._setup)}"
        place = self._network.memory(memory)
        if memory.binary:
            self._setup.append(f"REAL {name}[MAX_BLOCK] ALIGNED;")
            self._setup.append(f"unpack({place}(b, s), at, n, {name});")
        else:
            self._setup.append(f"const REAL *{name} = {place}(b, s) + at;")
        return name

    def _apply(self, op):
        step, states = op.step, []
        constants = _Known(step, self)
        for i, array in enumerate(op.parameters):
            name = self._values(array)
            constants.known[step.graph.input(f"parameter{i}")] = name
        for i, _ in enumerate(op.states):
            name = f"held{len(self._setup)}"
            place = self._network.state(op, i)
            self._setup.append(f"REAL *RESTRICT {name} = {place}(b, s) + at;")
            states.append(f"{name}[i]")
        loop = Pass(constants, [])
        names = loop.compute([*step.new_states, step.output])
        lines = ["const REAL x = value;"]
        for state, place in zip(step.states, states):
            lines.append(f"const REAL {state.value} = {place};")
        lines += loop.body
        lines += [f"{place} = {name};" for place, name in zip(states, names)]
        lines.append(f"value = {names[-1]};")
        self._body += ["{", *(f"    {line}" for line in lines), "}"]

    def _values(self, array):
        """A value of an array, which may have rows for each step, as C."""
        steps = array.ndim == 2
        if np.all(array == array.flat[0]):
            return _literal(float(array.flat[0]))
        array = np.atleast_2d(array)
        length, index = array.shape[1], "at"
        if self._channels is not None:
            groups, filters = self._channels
            split = array.reshape(len(array), groups, -1, filters)
            if np.all(split == split[:, :, :1]):
                array = split[:, :, 0].reshape(len(array), -1)
                length, index = array.shape[1], "channel"
        step = f"b->step * {length} + " if steps else ""
        return self._pointer(self._network.table(array), step + index)

    def _pointer(self, table, index):
        name = f"table{len(self._setup)}"
        self._setup.append(f"const REAL *{name} = (const REAL *){table} + {index};")
        return f"{name}[i]"

    def _sink(self):
        kernel = self._kernel
        place = self._network.memory(kernel.output)
        if kernel.reduces is not None:
            return _REDUCE[kernel.reduces.mode].format(place=place)
        if not kernel.output.binary:
            return f"    store({place}(b, s) + at, values, n);"
        kind = "pack" if self._network.packs_words(kernel) else "pack_anywhere"
        return f"    {kind}({place}(b, s), at, values, n);"


class _Known(Constants):
    """Numbers are text; what follows from parameters is computed where it is used."""

    def __init__(self, step, chain):
        self.numbers, self.names, self.setup, self.known = [], [], [], {}
        for i, value in enumerate(step.scalars):
            literal = _literal(float(np.float32(value)))
            self.known[step.graph.input(f"scalar{i}")] = literal

    def place(self, node):
        return None


_FINISH = """
static ALWAYS_INLINE void finish_{index}(
    const BLOCK *b, INDEX s, INDEX at, INDEX channel, REAL *RESTRICT values, const int n
) {{
{setup}
    EACH_NEURON {{
        REAL value = values[i];
{body}
        values[i] = value;
    }}
{sink}
}}
"""

_REDUCE = {
    "sum": """    REAL *RESTRICT total = {place}(b, s) + at;
    if (b->step == 0) store(total, values, n);
    else EACH_NEURON total[i] += values[i];""",
    "last": "    store({place}(b, s) + at, values, n);",
    "max": """    REAL *RESTRICT total = {place}(b, s) + at;
    if (b->step == 0) store(total, values, n);
    else EACH_NEURON total[i] = MAXIMUM(total[i], values[i]);""",
    "max_abs": """    REAL *RESTRICT total = {place}(b, s) + at;
    if (b->step == 0) store(total, values, n);
    else EACH_NEURON
        total[i] = ABS(values[i]) > ABS(total[i]) ? values[i] : total[i];""",
}
