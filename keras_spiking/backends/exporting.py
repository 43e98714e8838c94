import sys


def is_exporting():
    """Whether Keras is exporting the model that is being traced.

    Custom calls cannot be exported, and nothing tells a layer that it is being
    traced for an export but the functions that are on the stack.
    """
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("keras.src.export"):
            return True
        frame = frame.f_back
    return False
