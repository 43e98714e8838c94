"""The framework that Keras runs on, and which implementation runs a layer."""

from keras_spiking.backends.explain import explain
from keras_spiking.backends.loading import active

__all__ = ["active", "explain"]

active()  # functions that are compiled cannot import it
