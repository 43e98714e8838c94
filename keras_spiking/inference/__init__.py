"""Compiled inference on CPUs: one C program for a whole network."""

from keras_spiking.inference.network import Network
from keras_spiking.inference.network import compile as compile

# Without `compile`, as in NumPy: `import *` must not replace a built-in function.
__all__ = ["Network"]
