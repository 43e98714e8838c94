"""NumPy: the C kernels, called on its arrays. There are no gradients."""

import numpy as np

from keras_spiking.backends.backend import Backend
from keras_spiking.backends.kernels.library import shape_of


class NumPy(Backend):
    has_kernels = True

    def unavailable(self, x=None):
        return None

    def run(self, library, inputs):
        inputs = [np.ascontiguousarray(x) for x in inputs]
        sizes = inputs[0].shape
        outputs = [
            np.empty(shape_of(array, *sizes), _dtype(library.dtype_of(array)))
            for array in library.kernels["forward"].outputs
        ]
        addresses = [[x.ctypes.data for x in group] for group in (inputs, outputs)]
        library.call("forward", sizes, *addresses)
        return outputs

    def reshape(self, x, shape):
        return np.reshape(x, shape)

    def constant(self, values, dtype, like):
        return np.asarray(values, dtype)

    def call_report(self):
        return "ctypes"


def _dtype(name):
    if name == "bfloat16":
        import ml_dtypes  # comes with JAX and TensorFlow, which make such arrays

        return ml_dtypes.bfloat16
    return name


BACKEND = NumPy("numpy")
