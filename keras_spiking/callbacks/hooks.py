"""Functions around the methods of single objects, such as one layer's `call`."""

import contextlib
import functools


class _Hooked:
    """A method with hooks around it: stands in for it in one object."""

    def __init__(self, method):
        self.method = method
        self.hooks = []

    def __call__(self, *args, **kwargs):
        call = self.method
        for hook in self.hooks:
            call = functools.partial(hook, call)
        return call(*args, **kwargs)


def add(owner, name, hook):
    """Has `hook(call, *args, **kwargs)` called in place of `owner.name`.

    Several hooks can be around one method; the last one is outermost.
    """
    attributes = vars(owner)
    if not isinstance(attributes.get(name), _Hooked):
        # Not `setattr`: layers keep track of what is assigned to them.
        attributes[name] = _Hooked(getattr(owner, name))
    attributes[name].hooks.append(hook)


def remove(owner, name, hook):
    """Takes a hook away again, if it is there."""
    hooked = vars(owner).get(name)
    if isinstance(hooked, _Hooked) and hook in hooked.hooks:
        hooked.hooks.remove(hook)
        if not hooked.hooks:
            del vars(owner)[name]


@contextlib.contextmanager
def around_calls(hooks):
    """Hooks around `call` of layers: a list of tuples of a layer and a hook."""
    for layer, hook in hooks:
        add(layer, "call", hook)
    try:
        yield
    finally:
        for layer, hook in hooks:
            remove(layer, "call", hook)
