"""From a layer's `step` to expressions."""

import keras
import numpy as np

from keras_spiking.backends.kernels.expression import Graph
from keras_spiking.backends.kernels.expression import NotFusable
from keras_spiking.backends.kernels.expression import exactly
from keras_spiking.backends.kernels.fingerprint import fingerprint
from keras_spiking.backends.kernels.operations import OPERATIONS
from keras_spiking.backends.kernels.scalar import Scalar
from keras_spiking.layer_copy import copy_of
from keras_spiking.ops.bounded import LARGEST
from keras_spiking.surrogates import Spike
from keras_spiking.surrogates import Surrogate


class Step:
    """One time step of a layer as expressions.

    It is traced through a copy of the layer, which has symbols in place of arrays and
    weights and `Scalar`s in place of fixed numbers, and which notes what is read.

    Args:
        layer: The `TemporalLayer`.
        features: Tuple, the shape of one step of one sample.

    Attributes:
        graph: The `Graph` of the expressions.
        output: Expression of the output.
        states: List of the states before the step, inputs `"state0"`, ...
        new_states: List of expressions of the states after the step.
        parameters: List of what the step reads besides: names of attributes, or places
            among the layer's variables. Inputs `"parameter0"`, ...
        scalars: List of numbers. Inputs `"scalar0"`, ...
        initial_states: List of expressions of scalars, the states before the first
            step, or `None` if they are not the same for all neurons in all calls.
        reads: Tuple of the names of the attributes that were read.
        fingerprint: The `fingerprint` of the layer under these names.
        refusal: Why there are no kernels, or `None`.
        libraries: Dictionary of weak references to the libraries made from it.
    """

    def __init__(self, layer, features):
        self.graph = Graph()
        self.parameters, self.scalars, self.refusal = [], [], None
        self.libraries = {}
        self._layer, self._declared = layer, type(layer).declared
        self._names, self._symbols, self._origins = {}, {}, {}
        self._values = {}
        self._alive = []  # ids are keys only as long as what they name lives
        try:
            self._trace(copy_of(layer, self._read), features)
        except NotFusable as reason:
            self.refusal = str(reason)
        self.reads = tuple(self._names)
        self.fingerprint = fingerprint(layer, self.reads)
        # A step is kept for other layers of the class, which outlive this one.
        del self._layer, self._symbols, self._values, self._alive

    def _trace(self, layer, features):
        x = self._symbol("x", (1, *features), self._layer.state_dtype)
        old = _call("get_initial_state", layer.get_initial_state, x)
        self.initial_states = self._constants(old)
        old = tuple(keras.KerasTensor(s.shape, s.dtype) for s in old)
        self.states = [self._input(s, f"state{i}") for i, s in enumerate(old)]
        output, new = _call("step", layer.step, x, old)
        _check_shapes(layer, x, output, old, new)
        self._lower([output, *new])
        self.output = self._expression(output)
        self.new_states = [self._expression(s) for s in new]

    def _read(self, name, value):
        """What the copy has for an attribute of the layer."""
        if isinstance(getattr(type(self._layer), name, None), property):
            return value  # it has read through the copy what it is made of
        if isinstance(value, keras.DTypePolicy):
            return value  # kernels are made for a dtype
        self._names[name] = None
        if name in self._declared:
            if isinstance(value, float):
                return Scalar(value, name)
            return value if value is None else self._symbol_for(name, value.shape)
        if isinstance(value, keras.Variable):
            return self._symbol_for(name, value.shape)
        if isinstance(value, Surrogate):
            return self._surrogate(name, value)
        return value

    def _symbol_for(self, source, shape):
        if source not in self._symbols:
            symbol = keras.KerasTensor(shape, dtype=self._layer.state_dtype)
            self._symbols[source] = symbol
            self._parameter(symbol, source)
        return self._symbols[source]

    def _surrogate(self, name, surrogate):
        """A copy with `Scalar`s in place of numbers."""
        if name not in self._symbols:
            copy = self._symbols[name] = object.__new__(type(surrogate))
            for key, value in vars(surrogate).items():
                number = type(value) is float
                vars(copy)[key] = Scalar(value, (name, key)) if number else value
        return self._symbols[name]

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
        if isinstance(x, Scalar):
            return self._scalar(x)
        if isinstance(x, keras.Variable):
            return self._variable(x)
        if keras.ops.is_tensor(x):
            x = keras.ops.convert_to_numpy(x)
        if isinstance(x, (bool, np.bool_)):
            # `==` does not make a symbol: Python answers it at once.
            raise NotFusable("it compares with `==` or `!=`: use `keras.ops.equal`")
        if isinstance(x, (int, float, np.generic, np.ndarray)):
            if np.size(x) == 1:
                return self.graph.constant(np.asarray(x).item())
            raise NotFusable(
                f"it uses an array of shape {np.shape(x)}, computed from neither its "
                "input nor its states: make it a `Parameter` of the layer"
            )
        raise NotFusable(
            f"it uses an object of type {type(x).__name__} as a number: make it a "
            "`Parameter` of the layer"
        )

    def _scalar(self, x):
        if x == 0.0:  # as `v_reset` mostly is: text, since it makes most of it go away
            return self.graph.constant(0.0)
        if x.origin not in self._origins:
            self._origins[x.origin] = self.graph.input(f"scalar{len(self.scalars)}")
            self.scalars.append(float(x))
        return self._origins[x.origin]

    def _variable(self, variable):
        """The expression of a variable that was reached through another layer."""
        for i, known in enumerate(self._layer.variables):
            if known is variable:
                self._parameter(variable, i)
                return self._values[id(variable)]
        raise NotFusable(f"it uses a variable, {variable.name}, of another layer")

    def _constants(self, tensors):
        try:
            self._lower(list(tensors))
            expressions = [self._expression(tensor) for tensor in tensors]
        except NotFusable:
            return None
        fixed = all(name.startswith("scalar") for e in expressions for name in e.inputs)
        return expressions if fixed else None

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
                    dtype = self._layer.state_dtype
                self._set(tensor, exactly(expression, dtype, self._layer.state_dtype))

    def _unknown(self, structure):
        return [
            tensor
            for tensor in reversed(keras.tree.flatten(structure))
            if isinstance(tensor, keras.KerasTensor) and id(tensor) not in self._values
        ]

    def _operation(self, operation, args, kwargs):
        apply = self.graph.apply
        if isinstance(operation, Spike):
            (x,) = (self._expression(a) for a in args)
            return apply("spike", x, self._derivative(operation.surrogate, x))
        name = type(operation).__name__
        if name in ("FullLike", "ZerosLike", "OnesLike"):
            fill = {"ZerosLike": 0.0, "OnesLike": 1.0}.get(name)
            fill = [*args, *kwargs.values()][1] if fill is None else fill
            return self._expression(fill)
        args = [self._expression(a) for a in [*args, *kwargs.values()]]
        if name == "ConvertToTensor" and operation.dtype is None:
            return args[0]
        if name in ("Cast", "ConvertToTensor"):
            if keras.backend.is_float_dtype(operation.dtype):
                real = self.graph.to_real(args[0])
                return exactly(real, operation.dtype, self._layer.state_dtype)
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
        symbol = keras.KerasTensor((1,), dtype=self._layer.state_dtype)
        self._set(symbol, x)
        slope = _call(f"{surrogate}.derivative", surrogate.derivative, symbol)
        self._lower([slope])
        return self._expression(slope)


_NAMES = {"TrueDivide": "divide", "Abs": "absolute"}

_COMPOSED = {
    "Square": lambda x: x * x,
    "ReLU": lambda x: x.graph.apply("relu", x),
    "Identity": lambda x: x,
    "Bounded": lambda x: _bounded(x, LARGEST),
}


def _bounded(x, limit):
    return x.graph.apply("at_least", x.graph.apply("at_most", x, limit), -limit)


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
