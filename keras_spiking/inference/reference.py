"""What a network computes, in NumPy: the definition that programs are tested against.

Sums are in the order of the inputs, as those of standalone programs, so that results
are the same bit for bit, but for functions such as `exp`.
"""

import numpy as np

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.inference.graph import END
from keras_spiking.inference.graph import ONCE
from keras_spiking.inference.graph import STEP
from keras_spiking.inference.graph import Affine
from keras_spiking.inference.graph import Apply
from keras_spiking.inference.graph import Attention
from keras_spiking.inference.graph import Combine
from keras_spiking.inference.graph import Copy
from keras_spiking.inference.graph import Delay
from keras_spiking.inference.graph import Pool
from keras_spiking.inference.graph import Product
from keras_spiking.inference.graph import Reduce
from keras_spiking.inference.graph import Softmax


def run(text, inputs, timesteps):
    """The outputs of a network for one sample.

    Args:
        text: `Text`, the network's program.
        inputs: List of arrays `(time, ...)`, or without time where the model has none.
        timesteps: Integer.

    Returns:
        A list of arrays.
    """
    with np.errstate(all="ignore"):
        return _Run(text, inputs).outputs(timesteps)


class _Run:
    def __init__(self, text, inputs):
        self._text, self._inputs = text, inputs
        self._values, self._states = {}, {}
        self._step = 0
        for kernel in text.kernels:
            self._values.update({m: np.zeros(m.size, "float32") for m in kernel.kept})
            for op in kernel.states:
                self._states[op] = [np.copy(s) for s in op.states]

    def outputs(self, timesteps):
        graph = self._text.graph
        found = [[] for _ in graph.outputs]
        for self._step in range(timesteps):
            for value, array in zip(graph.inputs, self._inputs):
                at = array[self._step] if value.time else array
                self._values[value.memory] = np.ravel(at).astype("float32")
            self._run([ONCE] * (self._step == 0) + [STEP])
            if self._step == timesteps - 1:
                self._run([END])
            for value, steps in zip(graph.outputs, found):
                if value.time or self._step == timesteps - 1:
                    steps.append(self._values[value.memory][value.positions])
        return [
            np.stack(steps) if value.time else steps[-1]
            for value, steps in zip(graph.outputs, found)
        ]

    def _run(self, phases):
        for phase in phases:
            for kernel in self._text.kernels:
                if kernel.phase == phase:
                    for op in kernel.operations:
                        inputs = [self._values[m] for m in op.inputs]
                        output = _RULES[type(op)](self, op, *inputs)
                        self._values[op.output] = output.astype("float32")

    def _product(self, op, x):
        levels, scale = op.kernel.astype("float32"), None
        if op in self._text.quantized:
            levels, scale = self._text.quantized[op]
            levels = levels.astype("float32")
        # Depthwise: each channel is a group, with the filters of its own.
        groups = op.channels if op.depthwise else op.groups
        image = x.reshape(op.groups, op.rows, op.columns, -1)
        if op.depthwise:
            image = np.moveaxis(image, -1, 0).reshape(*(groups, *image.shape[1:3], 1))
            levels = levels.reshape(*levels.shape[1:3], groups, 1, -1)
            levels = np.moveaxis(levels, 2, 0)
        total = np.zeros((groups, op.out_rows, op.out_columns, levels.shape[4]), "f4")
        for a in range(levels.shape[1]):
            for tap in range(levels.shape[2]):
                at = a, tap
                slices = [_overlap(op, axis, at[axis]) for axis in (0, 1)]
                if any(taken is None for taken in slices):
                    continue
                (to_rows, rows), (to_columns, columns) = slices
                seen = image[:, rows, columns]
                for channel in range(levels.shape[3]):
                    row = levels[:, a, tap, channel][:, None, None]
                    total[:, to_rows, to_columns] += seen[..., channel, None] * row
        if op.depthwise:
            total = np.moveaxis(total, 0, 2).reshape(1, *total.shape[1:3], -1)
        if scale is not None:
            total = total * scale.reshape(op.groups, 1, 1, -1)
        bias = op.bias.astype("float32")
        if np.any(bias):
            total = total + bias.reshape(op.groups, 1, 1, -1)
        return total.ravel()

    def _affine(self, op, x):
        row = self._step if op.scale.ndim == 2 else ...
        return op.scale.astype("f4")[row] * x + op.shift.astype("f4")[row]

    def _apply(self, op, x):
        step, known = op.step, {}
        for i, value in enumerate(step.scalars):
            known[step.graph.input(f"scalar{i}")] = np.float32(value)
        for i, array in enumerate(op.parameters):
            known[step.graph.input(f"parameter{i}")] = array
        known[step.graph.input("x")] = x
        known.update(zip(step.states, self._states[op] if op.states else ()))
        wanted = [*step.new_states, step.output]
        for node in in_order(wanted, list(known)):
            if node.is_constant():
                known[node] = np.float32(node.value)
            elif node not in known:
                arguments = [known[a] for a in node.operands]
                known[node] = _FUNCTIONS[node.op](*arguments)
        *states, output = (
            np.broadcast_to(np.asarray(known[e], "float32"), x.shape) for e in wanted
        )
        if op.states:
            self._states[op] = states
        return output

    def _combine(self, op, *inputs):
        names = {f"x{i}": value for i, value in enumerate(inputs)}
        code = op.code.format(*names).replace("(REAL)", "").replace("b->step", "step")
        names |= {"MAXIMUM": np.maximum, "MINIMUM": np.minimum, "R": np.float32}
        names |= {"step": np.float32(self._step)}
        return eval(code, {"__builtins__": {}}, names)  # its C is Python, too

    def _pool(self, op, x):
        image = x.reshape(op.rows, op.columns, op.channels)
        start = np.float32(-np.inf if op.mode == "max" else 0)
        total = np.full((op.out_rows, op.out_columns, op.channels), start)
        count = np.zeros((op.out_rows, op.out_columns, 1), "float32")
        for a in range(op.window[0]):
            for tap in range(op.window[1]):
                at = a, tap
                slices = [_overlap(op, axis, at[axis]) for axis in (0, 1)]
                if any(taken is None for taken in slices):
                    continue
                (to_rows, rows), (to_columns, columns) = slices
                to, seen = total[to_rows, to_columns], image[rows, columns]
                to[...] = np.maximum(seen, to) if op.mode == "max" else to + seen
                count[to_rows, to_columns] += 1
        return (total / count if op.mode == "mean" else total).ravel()

    def _copy(self, op, *inputs):
        output = np.zeros(op.output.size, "float32")
        for x, (sources, places) in zip(inputs, op.tables):
            kept = sources >= 0
            output[places[kept]] = x[sources[kept]]
        return output

    def _delay(self, op, x):
        past = self._values[op.past].reshape(op.slots, op.stride)
        place = np.arange(len(x))
        if op.uniform:
            output = past[self._step % op.slots, : len(x)].copy()
            past[self._step % op.slots, : len(x)] = x
            return output
        past[self._step % op.slots, : len(x)] = x
        return past[(self._step - op.steps) % op.slots, place]

    def _reduce(self, op, x):
        if self._step == 0:
            return x
        total = self._values[op.output]
        if op.mode == "sum":
            return total + x
        if op.mode == "max":
            return np.maximum(total, x)
        return x if op.mode == "last" else np.where(abs(x) > abs(total), x, total)

    def _softmax(self, op, x):
        rows = x.reshape(-1, op.length)
        powers = np.exp(rows - rows.max(-1, keepdims=True))
        total = np.add.accumulate(powers, axis=-1)[:, -1:]
        return (powers / total).ravel()

    def _attention(self, op, x):
        sizes = np.cumsum([op.channels, op.channels])
        q, k, v = (
            np.moveaxis(part.reshape(op.tokens, op.heads, -1), 1, 0)
            for part in np.split(x.reshape(op.tokens, -1), sizes, axis=1)
        )
        context = np.zeros((op.heads, k.shape[2], v.shape[2]), "float32")
        for t in range(op.tokens):
            context += k[:, t, :, None] * v[:, t, None]
        context = context * np.float32(op.scale)
        output = np.zeros((op.heads, op.tokens, v.shape[2]), "float32")
        for c in range(q.shape[2]):
            output += q[:, :, c, None] * context[:, None, c]
        return np.moveaxis(output, 0, 1).ravel()


def _overlap(op, axis, tap):
    """Which outputs along an axis a tap meets, and which inputs, or `None`."""
    size = (op.rows, op.columns)[axis]
    out = (op.out_rows, op.out_columns)[axis]
    dilation = getattr(op, "dilation", (1, 1))[axis]
    places = np.arange(out) * op.strides[axis] + tap * dilation - op.padding[axis]
    inside = np.flatnonzero((places >= 0) & (places < size))
    if not len(inside):
        return None
    first, last = places[inside[0]], places[inside[-1]]
    to = slice(int(inside[0]), int(inside[-1]) + 1)
    return to, slice(int(first), int(last) + 1, op.strides[axis])


_RULES = {
    Product: _Run._product,
    Affine: _Run._affine,
    Apply: _Run._apply,
    Combine: _Run._combine,
    Pool: _Run._pool,
    Copy: _Run._copy,
    Delay: _Run._delay,
    Reduce: _Run._reduce,
    Softmax: _Run._softmax,
    Attention: _Run._attention,
}


def _erf(x):
    from math import erf

    return np.vectorize(erf, otypes=["float32"])(x)


def _real(x):
    return np.asarray(x, "float32")


_ONE = np.float32(1.0)
_FUNCTIONS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negative": np.negative,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "absolute": np.abs,
    "sign": np.sign,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "reciprocal": lambda x: _ONE / x,
    "rsqrt": lambda x: _ONE / np.sqrt(x),
    "sin": np.sin,
    "cos": np.cos,
    "arctan": np.arctan,
    "tanh": np.tanh,
    "sigmoid": lambda x: _ONE / (_ONE + np.exp(-x)),
    "softplus": lambda x: np.maximum(x, 0 * _ONE) + np.log1p(np.exp(-np.abs(x))),
    "erf": _erf,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.rint,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_not": np.logical_not,
    "to_real": _real,
    "where": np.where,
    "stop_gradient": lambda x: x,
    "straight_through": lambda value, like: value,
    "at_most": lambda x, limit: np.where(limit < x, limit, x),
    "at_least": lambda x, limit: np.where(limit > x, limit, x),
    "spike": lambda x: _real(x >= 0),
}
