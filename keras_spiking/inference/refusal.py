"""What cannot be compiled."""


class Refusal(Exception):
    """Why a layer cannot be compiled, and what to do."""


def refuse(kind, name, reason):
    """Raises the error that names a layer."""
    raise ValueError(f"The {kind} '{name}' cannot be compiled: {reason}.") from None
