"""The weights of connections: those that can be pruned."""

from collections.abc import Iterable
from typing import Any


def is_kernel(variable: Any) -> bool:
    """Whether a variable holds connections, by the name that Keras's layers give."""
    return variable.name == "kernel" or variable.name.endswith("_kernel")


def check_layers(layers: Any) -> list[str] | None:
    """Returns names of layers as a list, or `None`."""
    if layers is None:
        return None
    names = [layers] if isinstance(layers, str) else layers
    if not isinstance(names, Iterable) or not all(isinstance(n, str) for n in names):
        raise TypeError(
            "`layers` must be the name of a layer, a list of names, or `None`. "
            f"Received: layers={layers!r}"
        )
    names = list(names)
    if not names:
        raise ValueError(
            "`layers` must name at least one layer; `None` means all. "
            f"Received: layers={layers!r}"
        )
    return names


def select(variables: Iterable[Any], layers: list[str] | None) -> list[Any]:
    """The kernels of some layers, or of all.

    Args:
        variables: Iterable of `keras.Variable`s.
        layers: List of names, each a layer or a container of layers, or `None`.
    """
    kernels = [v for v in variables if is_kernel(v)]
    if not kernels:
        raise ValueError(
            "There are no kernels to prune: no variable is called `kernel` or "
            "`..._kernel`, as those of Dense, convolutions and recurrent layers are."
        )
    if layers is None:
        return kernels
    above = {id(v): v.path.split("/")[:-1] for v in kernels}
    for name in layers:
        if not any(name in names for names in above.values()):
            known = sorted({names[-1] for names in above.values() if names})
            raise ValueError(
                f"There is no layer '{name}' with a kernel. Layers with one: "
                f"{', '.join(map(repr, known))}. Received: layers={layers!r}"
            )
    return [v for v in kernels if not set(above[id(v)]).isdisjoint(layers)]
