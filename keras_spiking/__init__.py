"""Spiking neural networks in Keras 3, on JAX, TensorFlow, PyTorch, NumPy, OpenVINO."""

import sys

from keras_spiking import installed_backend

installed_backend.choose()  # before Keras is imported

from keras_spiking import backends
from keras_spiking import callbacks
from keras_spiking import completion
from keras_spiking import config
from keras_spiking import constraints
from keras_spiking import conversion
from keras_spiking import datasets
from keras_spiking import distribution
from keras_spiking import energy
from keras_spiking import export
from keras_spiking import inference
from keras_spiking import initializers
from keras_spiking import layers
from keras_spiking import learning
from keras_spiking import losses
from keras_spiking import metrics
from keras_spiking import models
from keras_spiking import neurobench
from keras_spiking import online
from keras_spiking import ops
from keras_spiking import pruning
from keras_spiking import quantizers
from keras_spiking import regularizers
from keras_spiking import remedies
from keras_spiking import surrogates
from keras_spiking import utils
from keras_spiking import visualization
from keras_spiking.calibration import calibrate
from keras_spiking.version import __version__

__all__ = [
    "__version__",
    "backends",
    "calibrate",
    "callbacks",
    "config",
    "constraints",
    "conversion",
    "datasets",
    "distribution",
    "energy",
    "export",
    "inference",
    "initializers",
    "layers",
    "learning",
    "losses",
    "metrics",
    "models",
    "neurobench",
    "online",
    "ops",
    "pruning",
    "quantizers",
    "regularizers",
    "surrogates",
    "utils",
    "visualization",
]

remedies.install()
completion.offer_public_names(sys.modules[__name__])
