"""What objects say of themselves when they are printed."""

import inspect


class Described:
    """Prints as the call that makes it, without what is the default."""

    def __repr__(self):
        shown = []
        for name, argument in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, argument.default)
            if value is not argument.empty and repr(value) != repr(argument.default):
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"
