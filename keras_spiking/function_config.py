"""Functions as configurations, lambdas with what they name."""

import dis
import importlib
import types
from collections.abc import Callable
from typing import Any

import keras

_REMEDY = (
    "Write a named function, and register it with "
    "keras.saving.register_keras_serializable."
)


def to_config(function: Callable) -> dict[str, Any]:
    """Configuration of a function, for `from_config`.

    Keras saves the code of a lambda, which then finds nothing in the module where it is
    loaded. Modules and numbers that it uses are therefore saved by name and value.

    Raises:
        ValueError: if the function, or something that it uses, cannot be saved.
    """
    try:
        config = keras.saving.serialize_keras_object(function)
    except (TypeError, OSError):  # an object of Python, a lambda without source
        raise ValueError(f"{function!r} cannot be saved. {_REMEDY}") from None
    if isinstance(config, dict) and config.get("class_name") == "__lambda__":
        config["globals"] = _globals_of(function)
    return config


def from_config(config: Any) -> Callable:
    """The function of a configuration: a lambda with `safe_mode=False` only."""
    function: Any = keras.saving.deserialize_keras_object(config)
    if not isinstance(config, dict) or config.get("class_name") != "__lambda__":
        return function
    names = {"__builtins__": __builtins__, **config.get("globals", {})}
    for name, value in config.get("globals", {}).items():
        if isinstance(value, dict):
            names[name] = importlib.import_module(value["module"])
    code, defaults, closure = (
        getattr(function, f"__{part}__") for part in ("code", "defaults", "closure")
    )
    return types.FunctionType(code, names, None, defaults, closure)


def _globals_of(function):
    found = {}
    for name in _names_in(function.__code__) & function.__globals__.keys():
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType):
            value = {"module": value.__name__}
        elif not isinstance(value, (bool, int, float, str, type(None))):
            raise ValueError(
                f"A lambda cannot be saved with `{name}`, which it uses: only modules "
                f"and numbers can. {_REMEDY} Received: {name}={value!r}"
            )
        found[name] = value
    return found


def _names_in(code):
    """Names that code, and functions within it, look up outside of themselves."""
    names = {i.argval for i in dis.get_instructions(code) if "GLOBAL" in i.opname}
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return names.union(*map(_names_in, inner))
