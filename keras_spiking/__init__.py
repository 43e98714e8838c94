"""Spiking neural networks in Keras 3, on JAX, TensorFlow, PyTorch and NumPy."""

from keras_spiking import backends
from keras_spiking import callbacks
from keras_spiking import constraints
from keras_spiking import layers
from keras_spiking import learning
from keras_spiking import losses
from keras_spiking import online
from keras_spiking import ops
from keras_spiking import regularizers
from keras_spiking import surrogates

__version__ = "0.1.0"
