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


_BACKEND = _load(keras.config.backend())


def active():
    """The `Backend` that Keras runs on."""
    return _BACKEND
