"""Expressions over the values of one neuron in one time step."""


class NotFusable(Exception):
    """Says why a step cannot become a kernel."""


class Expression:
    """A node of a graph of element-wise operations.

    Equal expressions are one object, so that a common subexpression is computed
    once. Python's operators build further expressions.

    Attributes:
        op: Name of the operation: a key of `OPERATIONS`, `"constant"` or
            `"input"`.
        args: Tuple of expressions.
        value: Number of a constant, or name of an input.
        is_bool: Whether the value is true or false.
        inputs: Frozen set, names of the inputs that the value depends on.
    """

    __slots__ = ("graph", "op", "args", "value", "is_bool", "inputs")

    def __init__(self, graph, op, args, value, is_bool):
        self.graph = graph
        self.op = op
        self.args = args
        self.value = value
        self.is_bool = is_bool
        own = [value] if op == "input" else []
        self.inputs = frozenset(own).union(*(a.inputs for a in self.operands))

    @property
    def operands(self):
        """What the value depends on: a spike does not depend on its slope."""
        return self.args[:1] if self.op == "spike" else self.args

    def __add__(self, other):
        return self.graph.apply("add", self, other)

    def __sub__(self, other):
        return self.graph.apply("subtract", self, other)

    def __mul__(self, other):
        return self.graph.apply("multiply", self, other)

    def __truediv__(self, other):
        return self.graph.apply("divide", self, other)

    def __neg__(self):
        return self.graph.apply("negative", self)

    def __radd__(self, other):
        return self.graph.constant(other) + self

    def __rsub__(self, other):
        return self.graph.constant(other) - self

    def __rmul__(self, other):
        return self.graph.constant(other) * self

    def __rtruediv__(self, other):
        return self.graph.constant(other) / self

    def __gt__(self, other):
        return self.graph.apply("greater", self, other)

    def __ge__(self, other):
        return self.graph.apply("greater_equal", self, other)

    def __lt__(self, other):
        return self.graph.apply("less", self, other)

    def is_constant(self, value=None):
        return self.op == "constant" and (value is None or self.value == value)


class Graph:
    """Makes expressions, each different one once."""

    def __init__(self):
        self._nodes = {}

    def _node(self, op, args=(), value=None, is_bool=False):
        key = (op, tuple(id(a) for a in args), repr(value), is_bool)
        if key not in self._nodes:
            self._nodes[key] = Expression(self, op, args, value, is_bool)
        return self._nodes[key]

    def constant(self, value):
        if isinstance(value, Expression):
            return value
        return self._node("constant", value=float(value))

    def input(self, name, is_bool=False):
        return self._node("input", value=name, is_bool=is_bool)

    def apply(self, op, *args):
        """The expression of an operation, simplified where that is exact."""
        args = tuple(self.constant(a) for a in args)
        if op in _KEEPS_BOOL and all(a.is_bool for a in args):
            raise NotFusable(f"it calls `{op}` with truth values: cast them first")
        if op not in _TAKES_BOOL:
            args = tuple(self.to_real(a) for a in args)
        if op in ("subtract", "add") and args[1].is_constant(0.0):
            return args[0]
        if op == "add" and args[0].is_constant(0.0):
            return args[1]
        if op in ("multiply", "divide") and args[1].is_constant(1.0):
            return args[0]
        if op == "multiply" and args[0].is_constant(1.0):
            return args[1]
        if op == "multiply" and any(_vanishes(*p) for p in (args, args[::-1])):
            return self.constant(0.0)
        if op == "power" and args[1].is_constant(2.0):
            return args[0] * args[0]
        if op == "power" and args[1].is_constant(-1.0):
            return 1.0 / args[0]
        if op == "negative" and args[0].is_constant():
            return self.constant(-args[0].value)
        if op == "where" and args[1] is args[2]:
            return args[1]
        if op == "where":
            real = not (args[1].is_bool and args[2].is_bool)
            args = args[:1] + tuple(self.to_real(a) if real else a for a in args[1:])
        is_bool = op in _GIVES_BOOL or (op == "where" and args[1].is_bool)
        return self._node(op, args, is_bool=is_bool)

    def to_real(self, x):
        return self._node("to_real", (x,)) if x.is_bool else x


def exactly(expression, dtype, computed):
    """An expression whose dtype is said to be `dtype`, but is `computed` in kernels.

    Truth values and spikes are the same in all of them.

    Raises:
        NotFusable: if that makes a difference.
    """
    if dtype.startswith(("float", "bfloat")):
        is_same = dtype == computed or expression.op in ("to_real", "spike")
    elif expression.is_constant():
        is_same = expression.value in (0, 1) or (
            dtype != "bool" and expression.value.is_integer()
        )
    else:
        is_same = True
    if not is_same:
        raise NotFusable(f"it computes in {dtype}, kernels in {computed}")
    return expression


_GIVES_BOOL = {
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "equal",
    "not_equal",
    "logical_and",
    "logical_or",
    "logical_not",
}
_TAKES_BOOL = {"logical_and", "logical_or", "logical_not", "where", "to_real"}

# Of truth values backends make truth values again, or raise.
_KEEPS_BOOL = set(
    "add subtract multiply power maximum minimum clip relu negative absolute sign "
    "floor ceil trunc round stop_gradient".split()
)


def _vanishes(x, factor):
    # 0 * x is 0 only where x is known to be finite: spikes and truth values.
    return x.is_constant(0.0) and factor.op in ("spike", "to_real", "constant")


def in_order(expressions, known=()):
    """All expressions that the given ones need, each after its arguments."""
    order, seen = [], {id(k) for k in known}
    stack = list(reversed(expressions))
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):  # its arguments are done
            order += node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node,))
            stack.extend(reversed(node.operands))
    return order
