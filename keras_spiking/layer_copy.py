"""A layer as a step sees it, with other values in place of its attributes.

Tracing a step and differentiating a part of it need symbols, or detached tensors, where
the layer has numbers and weights. They are put into a shallow copy: the layer itself,
which other threads may be calling, stays as it is.
"""


def copy_of(layer, replace):
    """A shallow copy of a layer that reads attributes through a function.

    Args:
        layer: The layer.
        replace: Callable, takes the name of an attribute and the layer's value, and
            returns what the copy has instead. A missing attribute counts as `None`,
            and stays missing.
    """
    cls = type(layer)
    copy_class = type(cls.__name__, (_Copy, cls), {"__module__": cls.__module__})
    copy = object.__new__(copy_class)
    vars(copy).update(vars(layer))
    vars(copy)["_replace"] = replace
    return copy


class _Copy:
    def __init_subclass__(cls):
        """Nothing: Keras need not hear of the class of a copy."""

    def __getattribute__(self, name):
        if name.startswith("__"):
            return super().__getattribute__(name)
        replace = object.__getattribute__(self, "__dict__")["_replace"]
        try:
            value = super().__getattribute__(name)
        except AttributeError:
            # PyTorch's modules find their submodules only here.
            find = getattr(super(), "__getattr__", None)
            try:
                if find is None:
                    raise
                value = find(name)
            except AttributeError:
                replace(name, None)  # a step that looks for it depends on it, too
                raise
        return replace(name, value)

    def __setattr__(self, name, value):
        raise AttributeError(
            f"a step is a pure function, it cannot assign to `self.{name}`"
        )
