"""From a layer's `step` to expressions."""

import keras
import numpy as np

from keras_spiking.backends.kernels.expression import Graph
from keras_spiking.backends.kernels.expression import NotFusable
from keras_spiking.backends.kernels.expression import exactly
from keras_spiking.backends.kernels.operations import OPERATIONS
from keras_spiking.layers.parameter import replaced_parameters
from keras_spiking.surrogates import Surrogate


class Step:
    """One time step of a layer as expressions.

    Attributes:
        graph: The `Graph` of the expressions.
        output: Expression of the output.
        states: List of the states before the step, inputs `"state0"`, ...
        new_states: List of expressions of the states after the step.
        parameters: List of what the step reads besides: names of the layer's
            parameters, or variables. Inputs `"parameter0"`, ...
        initial_states: List of constants, the states before the first step, or
            `None` if they are not the same for all neurons in all calls.
    """

    def __init__(self, layer, features, masked=False):
        self.graph = Graph()
        self.parameters = []
        self._values = {}
        self._dtype = layer.state_dtype
        self._alive = []  # ids are keys only as long as what they name lives
        x = self._symbol("x", (1, *features), layer.state_dtype)

        def symbol(value):
            return keras.KerasTensor(value.shape, dtype=layer.state_dtype)

        with replaced_parameters(layer, symbol) as symbols:
            for name, symbol in symbols.items():
                self._parameter(symbol, name)
            old = _call("get_initial_state", layer.get_initial_state, x)
            self.initial_states = self._constants(old)
            old = tuple(keras.KerasTensor(s.shape, s.dtype) for s in old)
            self.states = [self._input(s, f"state{i}") for i, s in enumerate(old)]
            output, new = _call("step", layer.step, x, old)
            _check_shapes(layer, x, output, old, new)
            self._lower([output, *new])
        self.output = self._expression(output)
        self.new_states = [self._expression(s) for s in new]
        if masked:
            # A masked step gives no output and holds the state.
            mask = self.graph.input("mask", is_bool=True)
            self.output = self.graph.apply("where", mask, self.output, 0.0)
            pairs = zip(self.new_states, self.states)
            self.new_states = [self.graph.apply("where", mask, *p) for p in pairs]

    def _symbol(self, name, shape, dtype):
        tensor = keras.KerasTensor(shape, dtype=dtype)
        self._input(tensor, name)
        return tensor

    def _input(self, tensor, name):
        return self._set(tensor, self.graph.input(name))

    def _set(self, tensor, expression):
        self._alive.append(tensor)
        self._values[id(tensor)] = expression
        return expression

    def _parameter(self, tensor, source):
        self._input(tensor, f"parameter{len(self.parameters)}")
        self.parameters.append(source)

    def _expression(self, x):
        if id(x) in self._values:
            return self._values[id(x)]
        if isinstance(x, keras.Variable):
            self._parameter(x, x)
            return self._values[id(x)]
        if isinstance(x, (bool, np.bool_)):
            # `==` does not make a symbol: Python answers it at once.
            raise NotFusable("it compares with `==` or `!=`: use `keras.ops.equal`")
        if isinstance(x, (int, float, np.generic, np.ndarray)):
            if np.size(x) == 1:
                return self.graph.constant(np.asarray(x).item())
            raise NotFusable(
                f"it uses an array of shape {np.shape(x)}: make it a `Parameter`"
            )
        raise NotFusable(
            f"it uses a {type(x).__name__} that is neither its input, a state nor a "
            "`Parameter`"
        )

    def _constants(self, tensors):
        try:
            self._lower(list(tensors))
            expressions = [self._expression(tensor) for tensor in tensors]
        except NotFusable:
            return None
        return expressions if all(e.is_constant() for e in expressions) else None

    def _lower(self, outputs):
        """Finds the expressions of symbolic tensors, arguments first.

        Keras records on every symbolic tensor the operation that made it.
        """
        stack = self._unknown(outputs)
        while stack:
            tensor = stack[-1]
            operation, node_index, _ = tensor._keras_history
            arguments = operation._inbound_nodes[node_index].arguments
            args, kwargs = list(arguments.args), dict(arguments.kwargs)
            if unknown := self._unknown([args, list(kwargs.values())]):
                stack += unknown
            elif id(stack.pop()) not in self._values:
                expression = self._operation(operation, args, kwargs)
                dtype = tensor.dtype
                if dtype == "float32":  # PyTorch's symbols forget that it was float64
                    dtype = self._dtype
                self._set(tensor, exactly(expression, dtype, self._dtype))

    def _unknown(self, structure):
        return [
            tensor
            for tensor in reversed(keras.tree.flatten(structure))
            if isinstance(tensor, keras.KerasTensor) and id(tensor) not in self._values
        ]

    def _operation(self, operation, args, kwargs):
        apply = self.graph.apply
        if isinstance(operation, Surrogate):
            (x,) = (self._expression(a) for a in args)
            return apply("spike", x, self._derivative(operation, x))
        name = type(operation).__name__
        if name in ("FullLike", "ZerosLike", "OnesLike"):
            fill = {"ZerosLike": 0.0, "OnesLike": 1.0}.get(name)
            fill = [*args, *kwargs.values()][1] if fill is None else fill
            return self._expression(fill)
        args = [self._expression(a) for a in [*args, *kwargs.values()]]
        if name == "Cast":
            if keras.backend.is_float_dtype(operation.dtype):
                real = self.graph.to_real(args[0])
                return exactly(real, operation.dtype, self._dtype)
            if operation.dtype == "bool":
                return args[0] if args[0].is_bool else apply("not_equal", args[0], 0.0)
            raise NotFusable(f"it casts to {operation.dtype}")
        if name == "Clip":
            self._lower([operation.x_min, operation.x_max])
            bounds = (operation.x_min, operation.x_max)
            return apply("clip", args[0], *map(self._expression, bounds))
        if name == "Round" and operation.decimals:
            raise NotFusable("it rounds to decimals")
        if name in _COMPOSED:
            return _COMPOSED[name](*args)
        name = _NAMES.get(name, _snake(name))
        if name not in OPERATIONS:
            raise NotFusable(
                f"it uses `{type(operation).__name__}`, which is not one of the "
                "element-wise operations that kernels know"
            )
        return apply(name, *args)

    def _derivative(self, surrogate, x):
        symbol = keras.KerasTensor((1,), dtype=self._dtype)
        self._set(symbol, x)
        slope = _call(f"{surrogate}.derivative", surrogate.derivative, symbol)
        self._lower([slope])
        return self._expression(slope)


_NAMES = {"TrueDivide": "divide", "Abs": "absolute"}

_COMPOSED = {
    "Square": lambda x: x * x,
    "ReLU": lambda x: x.graph.apply("relu", x),
    "Identity": lambda x: x,
}


def _snake(name):
    letters = (f"_{c.lower()}" if c.isupper() else c for c in name)
    return "".join(letters).lstrip("_")


def _call(name, function, *args):
    try:
        return function(*args)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise NotFusable(
            f"`{name}` cannot be called with symbols ({type(error).__name__}: {reason})"
        ) from error


def _check_shapes(layer, x, output, old, new):
    new = tuple(new)
    pairs = [("the output", output, x)]
    pairs += [(f"state {i}", n, o) for i, (n, o) in enumerate(zip(new, old))]
    fits = len(new) == len(old)
    for name, tensor, expected in pairs:
        shape = getattr(tensor, "shape", ())
        if not fits or tuple(shape) != tuple(expected.shape):
            raise NotFusable(
                f"{name} has the shape {tuple(shape)} after a step whose input has "
                f"the shape {tuple(x.shape)}: the step is not element-wise"
            )
