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


class TemporalOptions(LayerOptions, total=False):
    """Arguments of `keras_spiking.layers.TemporalLayer`."""

    return_sequences: bool
    return_state: bool
    stateful: bool
    learnable: Any
    data_format: str | None


class SpikingOptions(TemporalOptions, total=False):
    """Arguments of `keras_spiking.layers.SpikingLayer`."""

    v_threshold: ArrayLike
    v_reset: ArrayLike | None
    surrogate: Any
    detach_reset: bool


def explicit_signature(cls):
    """The signature of a class with the options of `**kwargs` written out.

    Without an annotation, as in a user's own layer, they are the arguments of the
    class that it extends.
    """
    _, *own = inspect.signature(cls.__init__).parameters.values()
    if not own or own[-1].kind is not inspect.Parameter.VAR_KEYWORD:
        return inspect.Signature(own)
    *own, rest = own
    shared = inspect.signature(cls.__mro__[1]).parameters
    if typing.get_origin(rest.annotation) is typing.Unpack:
        shared = typing.get_args(rest.annotation)[0].__annotations__
    names = {parameter.name for parameter in own}
    options = [_option(cls, n) for n in shared if n not in {*names, "args", "kwargs"}]
    return inspect.Signature([*own, *options])


def _option(cls, name):
    default = None  # of all arguments of Keras
    for base in cls.__mro__:
        if init := vars(base).get("__init__"):
            parameter = inspect.signature(init).parameters.get(name)
            if parameter and parameter.default is not parameter.empty:
                default = parameter.default
                break
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
