"""Surrogates made of a function."""

import dis
import importlib
import types
from collections.abc import Callable
from typing import Any

import keras

from keras_spiking.surrogates.surrogate import Surrogate

REMEDY = (
    "Write a named function, and register it with "
    "keras.saving.register_keras_serializable."
)


@keras.saving.register_keras_serializable("keras_spiking")
class FromDerivative(Surrogate):
    """The surrogate whose derivative is the given function.

    `surrogates.get` makes one of any function.

    Args:
        function: Callable, takes and returns a float tensor: `g'(x)`. A model that
            uses it can be saved if the function is registered with
            `keras.saving.register_keras_serializable`. A lambda is saved as code,
            which is loaded with `safe_mode=False` only, together with the modules
            and numbers that it names.
    """

    def __init__(self, function: Callable[[Any], Any]):
        if not callable(function) or isinstance(function, type):
            raise TypeError(
                "`function` must be a function that computes the derivative. "
                f"Received: function={function!r}"
            )
        self.function = function

    def derivative(self, x: Any) -> Any:
        return self.function(x)

    def get_config(self) -> dict[str, Any]:
        try:
            function = keras.saving.serialize_keras_object(self.function)
        except (TypeError, OSError):  # an object of Python, a lambda without source
            raise ValueError(
                f"A surrogate made of {self.function!r} cannot be saved. {REMEDY}"
            ) from None
        if getattr(self.function, "__name__", None) != "<lambda>":
            return {"function": function}
        return {"function": function, "globals": _globals_of(self.function)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FromDerivative":
        function = keras.saving.deserialize_keras_object(config["function"])
        if "globals" in config:
            # A lambda, which Keras loads with `safe_mode=False` only.
            names = {"__builtins__": __builtins__, **config["globals"]}
            for name, value in config["globals"].items():
                if isinstance(value, dict):
                    names[name] = importlib.import_module(value["module"])
            code, defaults = function.__code__, function.__defaults__
            closure = function.__closure__
            function = types.FunctionType(code, names, None, defaults, closure)
        return cls(function)

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"FromDerivative({name})"


def _globals_of(function: types.FunctionType) -> dict[str, Any]:
    """What a lambda finds in its module: numbers, and modules by their names."""
    found = {}
    for name in _names_in(function.__code__) & function.__globals__.keys():
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType):
            value = {"module": value.__name__}
        elif not isinstance(value, (bool, int, float, str, type(None))):
            raise ValueError(
                f"A surrogate that is a lambda cannot be saved with `{name}`, which "
                f"it uses: only modules and numbers can. {REMEDY} "
                f"Received: {name}={value!r}"
            )
        found[name] = value
    return found


def _names_in(code: types.CodeType) -> set[str]:
    """Names that code, and functions within it, look up outside of themselves."""
    names = {i.argval for i in dis.get_instructions(code) if "GLOBAL" in i.opname}
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return names.union(*map(_names_in, inner))
