"""The framework that Keras runs on, and which implementation runs a layer."""

from keras_spiking.backends.backend import load

_active = load()


def active():
    """The `Backend` that Keras runs on."""
    return _active


from keras_spiking.backends.explain import explain  # noqa: E402

__all__ = ["active", "explain"]
