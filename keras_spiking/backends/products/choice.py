"""Whether a walk over non-zeros is faster than the dense product: by measurement.

How long a walk takes grows with the share of non-zeros; the dense product takes as
long with any. Both are timed once for each shape, on numbers drawn for it. The cache
of compiled kernels keeps what was found.
"""

import concurrent.futures
import functools
import json
import os
import time
from typing import NamedTuple

import keras
import numpy as np

from keras_spiking.backends.kernels import cache
from keras_spiking.backends.kernels import compiler

SMALLEST = 2**21
"""Multiplications of the dense product below which it serves unasked."""

LARGEST = 2**30  # multiplications of a product that is timed; a larger one is cut
SHARES = (0.02, 0.2)  # of non-zeros, at which a walk is timed
REPEATS = 3


class Limits(NamedTuple):
    """The shares of non-zeros up to which a walk over them is faster.

    Attributes:
        forward: For the product.
        weights: For the gradient of its weights.
    """

    forward: float
    weights: float


ALWAYS, NEVER = Limits(2.0, 2.0), Limits(-1.0, -1.0)


def limits(product, images, dense, dense_weights):
    """The `Limits` of a product on this machine.

    Args:
        product: `Product`.
        images: Integer, how many inputs there are, or `None`.
        dense: Function of inputs and weights.
        dense_weights: Function of inputs and the gradient of the outputs, the gradient
            of the weights, or `None` if there are no gradients.
    """
    multiplications = product.geometry.multiplications
    images = 1024 if images is None else images
    if images * multiplications < SMALLEST:
        return NEVER
    largest = max(LARGEST // multiplications, 1)
    images = 2 ** (min(images, largest).bit_length() - 1)
    return _known(product, images, _Measured(dense, dense_weights))


class _Measured(NamedTuple):
    """The dense functions; they do not tell one measurement from another."""

    dense: object
    dense_weights: object

    def __eq__(self, other):
        return isinstance(other, _Measured)

    def __hash__(self):
        return 0


@functools.lru_cache(maxsize=4096)
def _known(product, images, measured):
    key = compiler.digest(repr((product, images, _setting(), SHARES)))
    found = cache.read(key)
    if found is None:
        # Another thread is outside of what is being traced, and has its own scopes.
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            limits = thread.submit(_measure, product, images, *measured).result()
        found = json.dumps(limits).encode()
        cache.write(key, found)
    return Limits(*json.loads(found))


def _setting():
    threads = os.environ.get("OMP_NUM_THREADS"), len(os.sched_getaffinity(0))
    return keras.config.backend(), keras.__version__, product_version(), threads


def product_version():
    from keras_spiking.backends.products import library

    return library.get("float32").key


def _measure(product, images, dense, dense_weights):
    random = np.random.default_rng(0)

    def tensor(*shape):
        values = random.standard_normal(shape, "float32").astype(product.dtype)
        return keras.ops.convert_to_tensor(values)

    def inputs(share):
        shape = (images, *product.input_shape)
        x = (random.random(shape, "float32") < share).astype(product.dtype)
        return keras.ops.convert_to_tensor(x)

    kernel = tensor(*product.kernel_shape)
    few, many = map(inputs, SHARES)
    upstream = tensor(*dense(few, kernel).shape)
    forward = _crossing(
        lambda: product.forward(few, kernel),
        lambda: product.forward(many, kernel),
        lambda: dense(few, kernel),
    )
    weights = -1.0
    if dense_weights is not None:
        weights = _crossing(
            lambda: product.weights(few, upstream, product.dtype),
            lambda: product.weights(many, upstream, product.dtype),
            lambda: dense_weights(few, upstream),
        )
    return Limits(forward, weights)


def _crossing(*functions):
    """The share of non-zeros at which a walk takes as long as the dense product."""
    times = [[] for _ in functions]
    for _ in range(1 + REPEATS):
        for function, of_function in zip(functions, times):
            start = time.perf_counter()
            keras.ops.convert_to_numpy(function())
            of_function.append(time.perf_counter() - start)
    few, many, dense = (min(of_function[1:]) for of_function in times)
    slope = max(many - few, 1e-9) / (SHARES[1] - SHARES[0])
    return min(max(SHARES[0] + (0.95 * dense - few) / slope, -1.0), 1.0)
