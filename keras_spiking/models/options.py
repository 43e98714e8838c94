"""Arguments that all networks take, and the list of the networks."""

import difflib
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any
from typing import Literal
from typing import TypedDict

import keras

Neuron = str | Callable[..., keras.layers.Layer] | keras.layers.Layer


class ModelOptions(TypedDict, total=False):
    """Arguments of all networks after the first."""

    classes: int
    timesteps: int
    neuron: Neuron
    surrogate: Any
    include_top: bool
    return_sequences: bool
    weights: str | None
    name: str | None


class ResNetOptions(ModelOptions, total=False):
    """Arguments of residual networks after the first."""

    filters: int
    stem: Literal["imagenet", "cifar"]


class SEWResNetOptions(ResNetOptions, total=False):
    """Arguments of SEW-ResNets after the first."""

    connect: Literal["ADD", "AND", "IAND"]


class PlainOptions(ModelOptions, total=False):
    """Arguments of networks without shortcuts after the first."""

    filters: int
    units: int
    dropout: float


networks: dict[str, Callable[..., keras.Model]] = {}
families: dict[str, Callable[..., keras.Model]] = {}


def network(family, **defaults):
    """Lists a function that builds a network, and shows its arguments one by one.

    Args:
        family: Function that takes the keyword arguments that the network passes on.
        **defaults: Values of these where they are not those of the family.
    """

    def decorate(function):
        @functools.wraps(function)
        def build(*args, **kwargs):
            given = {"name": function.__name__.lower(), **defaults, **kwargs}
            return function(*args, **given)

        own = inspect.signature(function)
        *first, options = own.parameters.values()
        names = typing.get_args(options.annotation)[0].__annotations__
        shared = inspect.signature(family).parameters
        rest = [
            parameter.replace(default=defaults.get(name, parameter.default))
            for name, parameter in shared.items()
            if name in names
        ]
        build.__signature__ = own.replace(parameters=[*first, *rest])
        networks[function.__name__] = build
        families[family.__name__] = family
        return build

    return decorate


def get(name: str) -> Callable[..., keras.Model]:
    """The function that builds the network of a given name.

    Args:
        name: Name of a function in `keras_spiking.models`, of a network or of a family
            of any depth. Case, `-` and `_` do not matter.

    Returns:
        The function.

    Raises:
        ValueError: if there is no such network.

    Example:

    >>> keras_spiking.models.get("sew_resnet18").__name__
    'SEWResNet18'
    """
    known = families | networks
    plain = {_plain(n): function for n, function in known.items()}
    if _plain(name) in plain:
        return plain[_plain(name)]
    near = difflib.get_close_matches(_plain(name), plain, n=1)
    hint = f" Did you mean {plain[near[0]].__name__!r}?" if near else ""
    raise ValueError(
        f"There is no network {name!r}.{hint} There are {', '.join(sorted(known))}."
    )


def _plain(name):
    return str(name).lower().replace("_", "").replace("-", "")
