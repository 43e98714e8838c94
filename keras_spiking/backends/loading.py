"""The framework that Keras runs on; the modules of the others are not imported."""

import importlib
import importlib.util

import keras

from keras_spiking.backends.backend import Backend


def _load(name):
    module = f"{__package__}.{name}"
    if importlib.util.find_spec(module) is None:
        return Backend(name)
    return importlib.import_module(module).BACKEND


_backend = None


def active():
    """The `Backend` that Keras runs on."""
    global _backend
    if _backend is None:  # its module may import those that import this one
        _backend = _load(keras.config.backend())
    return _backend
