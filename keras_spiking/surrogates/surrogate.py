"""The base class of surrogates, and the operation that stands for one in a graph."""

import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking.described import Described
from keras_spiking.gradients import has_gradients
from keras_spiking.nested_config import with_objects
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


def heaviside(x: Any) -> Any:
    """1 where `x >= 0`, else 0, in the dtype of `x`."""
    return ops.cast(x >= 0, x.dtype)


class Number(Described):
    """Declares a number of a surrogate, as a class attribute.

    Every assignment to it is checked.

    Args:
        kind: `float` or `int`.
        optional: Boolean, whether `None` is allowed.
        **bounds: The bounds of `keras_spiking.validation.check_number`.
    """

    def __init__(self, kind: type = float, optional: bool = False, **bounds: float):
        self.kind = kind
        self.check = check_integer if kind is int else check_number
        self.optional = optional
        self.bounds = bounds

    def __set_name__(self, owner: type, name: str):
        self.name = name

    def __set__(self, surrogate: Any, value: Any):
        if self.kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)  # as in configurations written by other programs
        if value is not None or not self.optional:
            value = self.kind(self.check(self.name, value, **self.bounds))
        vars(surrogate)[self.name] = value

    def __get__(self, surrogate: Any, owner: type | None = None) -> Any:
        return self if surrogate is None else vars(surrogate)[self.name]


class Surrogate:
    """Base class of surrogates: override `derivative`.

    Calling a surrogate gives spikes, `heaviside(x)`; differentiating the call gives
    `derivative(x)`. At infinity the derivatives of this package take their limits
    (the square wave, which has none, gives NaN). Where the potential is NaN, smooth
    derivatives are NaN; functions that are defined piecewise by comparing `x` give
    the value that they have below or outside their bounds.

    A surrogate is a value: two of the same class with equal attributes are equal, and
    attributes may be assigned to at any time, for example to anneal
    `layer.surrogate.alpha`. The next call uses the new value. A function that has
    been compiled (by `fit`, `predict`, `jax.jit`, ...) keeps the value that it was
    compiled with, as Keras does for all attributes of layers: call `model.compile`
    again, or run eagerly. On PyTorch, which does not compile by default, `fit` sees
    the new value at once. Layers that were given the same object share it.

    Args:
        spiking: Boolean, whether a call gives spikes; else it gives `primitive(x)`, a
            smooth activation with the same gradient, for networks that are trained
            without spikes first, or to check a gradient by finite differences. It can
            be assigned to, too. Defaults to `True`.

    Call arguments:
        x: Float tensor, the membrane potential minus the threshold.

    Example:

    >>> @keras.saving.register_keras_serializable(package="my_project")
    ... class Gaussian(keras_spiking.surrogates.Surrogate):
    ...     def __init__(self, width=1.0):
    ...         self.width = width
    ...
    ...     def derivative(self, x):
    ...         return keras.ops.exp(-keras.ops.square(x / self.width))
    >>> spikes = Gaussian()(keras.ops.array([-0.5, 0.0, 0.5]))
    >>> Gaussian(width=2.0)
    Gaussian(width=2.0)
    """

    def __init__(self, *, spiking: bool = True):
        self.spiking = spiking

    @property
    def spiking(self) -> bool:
        """Whether a call gives spikes, or the smooth `primitive`."""
        return vars(self).get("spiking", True)

    @spiking.setter
    def spiking(self, spiking: bool):
        if not check_bool("spiking", spiking) and not self.has_primitive():
            raise ValueError(
                f"The surrogate {type(self).__name__} has no primitive function: it "
                "cannot be used with `spiking=False`."
            )
        vars(self)["spiking"] = spiking

    @classmethod
    def has_primitive(cls) -> bool:
        """Whether the class has a `primitive`."""
        return cls.primitive is not Surrogate.primitive

    def derivative(self, x: Any) -> Any:
        """`g'(x)`, used in place of the derivative of the Heaviside step."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement `derivative(x)`."
        )

    def primitive(self, x: Any) -> Any:
        """`g(x)`, the smooth function whose slope is `derivative`."""
        raise NotImplementedError(
            f"The surrogate {type(self).__name__} has no primitive function "
            "in closed form."
        )

    def __call__(self, x: Any) -> Any:
        if isinstance(x, keras.KerasTensor):
            return Spike(self)(x) if self.spiking else self.primitive(x)
        x = ops.convert_to_tensor(x)
        if not self.spiking:
            return self.primitive(x)
        if not has_gradients():
            return heaviside(x)

        # Keras's backends differ in how they call `grad`: this form suits all.
        # It must capture `x` and never the spikes: on torch an output that is
        # captured keeps its own graph alive.
        @ops.custom_gradient
        def spike(x):
            def grad(*args, upstream=None):
                upstream = args[0] if upstream is None else upstream
                return upstream * self.derivative(x)

            return heaviside(x), grad

        return spike(x)

    def get_config(self) -> dict[str, Any]:
        names = [n for n in inspect.signature(type(self)).parameters if n != "spiking"]
        config = {name: getattr(self, name) for name in names}
        return config if self.spiking else {**config, "spiking": False}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Surrogate":
        config = dict(config)
        spiking = config.pop("spiking", True)
        surrogate = cls(**config)
        surrogate.spiking = spiking
        return surrogate

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        mine, others = vars(self), vars(other)
        return mine.keys() == others.keys() and all(
            value is others[name] or np.array_equal(value, others[name])
            for name, value in mine.items()
        )

    def __hash__(self) -> int:
        return hash(type(self))  # the attributes may change

    def __repr__(self) -> str:
        arguments = (f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({', '.join(arguments)})"


@keras.saving.register_keras_serializable("keras_spiking")
class Spike(keras.Operation):
    """The call of a surrogate in a graph of Keras operations.

    Args:
        surrogate: A `Surrogate`.
        name: Name of the operation.
    """

    def __init__(self, surrogate: Surrogate, name: str | None = None):
        super().__init__(name=name)
        self.surrogate = surrogate

    def call(self, x: Any) -> Any:
        return self.surrogate(x)

    def compute_output_spec(self, x: Any) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def get_config(self) -> dict[str, Any]:
        surrogate = keras.saving.serialize_keras_object(self.surrogate)
        return {"surrogate": surrogate, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Spike":
        return cls(**with_objects(config, "surrogate"))
