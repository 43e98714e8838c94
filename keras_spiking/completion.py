"""What editors and consoles offer behind a dot: what is public."""

import inspect


def offer_public_names(module):
    """Lets `dir` list what a module and those in its `__all__` have in theirs."""
    module.__dir__ = lambda: [*module.__all__, *_SPECIAL]
    for name in module.__all__:
        inner = getattr(module, name)
        if inspect.ismodule(inner):
            offer_public_names(inner)


_SPECIAL = ["__all__", "__doc__", "__file__", "__name__", "__package__", "__path__"]
