"""Surrogates by name, and as configurations."""

import difflib
from collections.abc import Callable
from typing import Any
from typing import TypeVar

import keras

from keras_spiking.surrogates.from_derivative import FromDerivative
from keras_spiking.surrogates.surrogate import Surrogate

_CLASSES: dict[str, type[Surrogate]] = {}
_Class = TypeVar("_Class", bound=type[Surrogate])


def register(name: str) -> Callable[[_Class], _Class]:
    """Decorates a surrogate of this package, which `get` then knows by its name."""

    def decorate(cls: _Class) -> _Class:
        _CLASSES[name] = cls
        return keras.saving.register_keras_serializable("keras_spiking")(cls)

    return decorate


def names() -> list[str]:
    """The names that `get` knows, in alphabetical order."""
    return sorted(_CLASSES)


def get(identifier: Any) -> Surrogate:
    """Returns the surrogate that `identifier` stands for.

    Args:
        identifier: A `Surrogate`, the name of one (`"sigmoid"`, `"atan"`,
            `"PiecewiseExp"`, ...), its configuration, or any function, which is
            taken as the derivative `g'(x)`.

    Raises:
        ValueError: if there is no surrogate of that name or configuration.
        TypeError: for anything else.

    Example:

    >>> keras_spiking.surrogates.get("atan")
    ATan(alpha=2.0)
    """
    if isinstance(identifier, Surrogate):
        return identifier
    if isinstance(identifier, str):
        for name, cls in _CLASSES.items():
            if identifier in (name, cls.__name__):
                return cls()
        nearest = difflib.get_close_matches(identifier.lower(), _CLASSES, n=1)
        hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
        raise ValueError(
            f"Unknown surrogate: surrogate={identifier!r}. {hint}Pass one of "
            f"{', '.join(names())}, a `Surrogate`, or a function that computes "
            "the derivative."
        )
    if isinstance(identifier, dict):
        return _from_configuration(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Surrogate):
        return identifier()
    if callable(identifier) and not isinstance(identifier, type):
        return FromDerivative(identifier)
    raise TypeError(
        "`surrogate` must be a name, a `Surrogate` or a function that computes "
        f"the derivative. Received: surrogate={identifier!r}"
    )


def serialize(surrogate: Surrogate) -> dict[str, Any]:
    """Configuration of a surrogate, for `get`."""
    return keras.saving.serialize_keras_object(surrogate)


def _from_configuration(config: dict[str, Any]) -> Surrogate:
    surrogate = None
    if "class_name" in config:
        surrogate = keras.saving.deserialize_keras_object(config)
    if isinstance(surrogate, Surrogate):
        return surrogate
    raise ValueError(
        "`surrogate` must be a configuration as `keras_spiking.surrogates.serialize` "
        f"returns it. Received: surrogate={config!r}"
    )
