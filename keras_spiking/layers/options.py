"""Keyword arguments that many layers share, for type checkers and `help`.

A layer that passes them on to its base class writes `**kwargs: Unpack[...]`, and its
signature shows them one by one.
"""

import inspect
import typing
from typing import Any
from typing import TypedDict

from numpy.typing import ArrayLike


class LayerOptions(TypedDict, total=False):
    """Arguments of `keras.layers.Layer`."""

    name: str | None
    dtype: Any
    trainable: bool


class _State(TypedDict, total=False):
    return_state: bool
    stateful: bool
    learnable: Any
    data_format: str | None


class _Sequence(TypedDict, total=False):
    return_sequences: bool


class _Detached(TypedDict, total=False):
    detach_reset: bool


class _Gradient(TypedDict, total=False):
    surrogate: Any
    detach_reset: bool


class _Potential(TypedDict, total=False):
    v_threshold: ArrayLike
    v_reset: ArrayLike | None


class _Decay(TypedDict, total=False):
    decay_input: bool


class _Tau(TypedDict, total=False):
    tau: ArrayLike


class StateOptions(_State, LayerOptions, total=False):
    """Arguments of layers with a state that determine what they return themselves."""


class TemporalOptions(_Sequence, StateOptions, total=False):
    """Arguments of `keras_spiking.layers.TemporalLayer`."""


class SurrogateOptions(_Gradient, TemporalOptions, total=False):
    """Arguments of neurons with a threshold and a reset of their own."""


class PotentialOptions(_Potential, _Detached, TemporalOptions, total=False):
    """Arguments of neurons with a gradient of their own."""


class SpikingOptions(_Potential, SurrogateOptions, total=False):
    """Arguments of `keras_spiking.layers.SpikingLayer`."""


class LeakyOptions(_Decay, SpikingOptions, total=False):
    """Arguments of `keras_spiking.layers.LIFLayer` after the first."""


class LIFOptions(_Tau, LeakyOptions, total=False):
    """Arguments of `keras_spiking.layers.LIFLayer`."""


class DenseOptions(LayerOptions, total=False):
    """Arguments of `keras.layers.Dense` after the first."""

    activation: Any
    use_bias: bool
    kernel_initializer: Any
    bias_initializer: Any
    kernel_regularizer: Any
    bias_regularizer: Any
    activity_regularizer: Any
    kernel_constraint: Any
    bias_constraint: Any
    lora_rank: int | None
    lora_alpha: float | None
    quantization_config: Any


class Conv2DOptions(DenseOptions, total=False):
    """Arguments of `keras.layers.Conv2D` after the size of the kernel."""

    strides: Any
    padding: str
    data_format: str | None
    dilation_rate: Any
    groups: int


class Explicit:
    """A layer whose signature shows the options of its `**kwargs` one by one."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.__signature__ = _explicit_signature(cls)


def _explicit_signature(cls):
    # Without an annotation, as in a user's own layer, `**kwargs` are the arguments of
    # the class that it extends.
    _, *own = inspect.signature(cls.__init__).parameters.values()
    if not own or own[-1].kind is not inspect.Parameter.VAR_KEYWORD:
        return inspect.Signature(own)
    *own, rest = own
    shared = LayerOptions.__annotations__
    with_init = [base for base in cls.__mro__ if "__init__" in vars(base)]
    if issubclass(with_init[1], Explicit):
        shared = inspect.signature(with_init[1]).parameters
    if typing.get_origin(rest.annotation) is typing.Unpack:
        shared = typing.get_args(rest.annotation)[0].__annotations__
    names = {parameter.name for parameter in own}
    options = [_option(cls, n) for n in shared if n not in {*names, "args", "kwargs"}]
    return inspect.Signature([*own, *options])


def describe(layer):
    """The representation of a layer: its class, and the arguments that matter.

    They are the first one, the threshold, the surrogate, and what differs from the
    default of the arguments that are not common to all layers.
    """
    config, shown = layer.get_config(), []
    for name, argument in inspect.signature(type(layer)).parameters.items():
        value = config.get(name, argument.default)
        if name == "surrogate":
            value = layer.surrogate
        matters = name in ("v_threshold", "surrogate") or not shown
        differs = value != argument.default
        if matters or differs and name not in TemporalOptions.__annotations__:
            shown.append(f"{name}={value!r}")
    return f"{type(layer).__name__}({', '.join(shown)})"


def _option(cls, name):
    default = None  # of all arguments of Keras
    for base in cls.__mro__:
        if name in vars(base).get("defaults", ()):
            default = base.defaults[name]
            break
        if init := vars(base).get("__init__"):
            parameter = inspect.signature(init).parameters.get(name)
            if parameter and parameter.default is not parameter.empty:
                default = parameter.default
                break
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
