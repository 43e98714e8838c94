"""Surrogates made of a function."""

from collections.abc import Callable
from typing import Any

import keras

from keras_spiking import function_config
from keras_spiking.surrogates.surrogate import Surrogate


@keras.saving.register_keras_serializable("keras_spiking")
class FromDerivative(Surrogate):
    """The surrogate whose derivative is the given function.

    `surrogates.get` makes one of any function.

    Args:
        function: Callable, takes and returns a float tensor: `g'(x)`. A model that
            uses it can be saved if the function is registered with
            `keras.saving.register_keras_serializable`. A lambda is saved as code,
            together with the modules and numbers that it names, and is loaded with
            `safe_mode=False` only.
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
        return {"function": function_config.to_config(self.function)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FromDerivative":
        return cls(function_config.from_config(config.get("function")))

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"FromDerivative({name})"
