"""NumPy: the C kernels, called on its arrays. There are no gradients."""

import functools

import numpy as np

from keras_spiking.backends.backend import Backend
from keras_spiking.backends.kernels.library import shape_of
from keras_spiking.backends.products import serving
from keras_spiking.backends.products.choice import Dense
from keras_spiking.backends.products.product import of_conv
from keras_spiking.backends.products.product import of_conv_transpose
from keras_spiking.backends.products.product import of_dense
from keras_spiking.backends.products.product import of_depthwise_conv


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

    def dense(self, x, kernel):
        return _product(of_dense(x, kernel), super().dense, x, kernel)

    def conv(self, x, kernel, **options):
        dense = functools.partial(super().conv, **options)
        return _product(of_conv(x, kernel, **options), dense, x, kernel)

    def depthwise_conv(self, x, kernel, **options):
        dense = functools.partial(super().depthwise_conv, **options)
        return _product(of_depthwise_conv(x, kernel, **options), dense, x, kernel)

    def conv_transpose(self, x, kernel, **options):
        dense = functools.partial(super().conv_transpose, **options)
        return _product(of_conv_transpose(x, kernel, **options), dense, x, kernel)

    def products_unavailable(self, x=None):
        return None

    def run_product(self, product, kernel, arrays, shape, *, whole=False, limit=0.0):
        arrays = [np.ascontiguousarray(x) for x in arrays]
        images = len(arrays[0])
        output = np.empty(shape if whole else (images, *shape), product.dtype)
        sizes = product.sizes(images, limit)
        addresses = [x.ctypes.data for x in arrays]
        product.library.call(kernel, sizes, addresses, [output.ctypes.data])
        return output

    def reshape(self, x, shape):
        return np.reshape(x, shape)

    def constant(self, values, dtype, like):
        return np.asarray(values, dtype)

    def call_report(self):
        return "ctypes"


def _product(product, dense, x, kernel):
    choice = serving.choose(product, x, Dense(dense))
    if choice.forward > 0 and product.nonzeros(x) <= choice.forward * x.size:
        return product.forward(x, kernel)
    if choice.own[0]:
        return product.forward(x, kernel, "dense_forward")
    return dense(x, kernel)


def _dtype(name):
    if name == "bfloat16":
        import ml_dtypes  # comes with JAX and TensorFlow, which make such arrays

        return ml_dtypes.bfloat16
    return name


BACKEND = NumPy("numpy")
