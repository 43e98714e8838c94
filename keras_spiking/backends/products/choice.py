"""Whether a walk over non-zeros is faster than the dense product: by measurement.

How long a walk takes grows with the share of non-zeros; the dense product takes as
long with any. Both are timed once for each shape, on numbers drawn for it. The cache
of compiled kernels keeps what was found.
"""

import concurrent.futures
import functools
import json
import os
import sys
import time
from typing import NamedTuple

import keras
import numpy as np

from keras_spiking.backends.kernels import cache
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.loading import active

SMALLEST = 2**21
"""Multiplications of the dense product below which it serves unasked."""

LARGEST = 2**30  # multiplications of a product that is timed; a larger one is cut
SHARES = (0.02, 0.2)  # of non-zeros, at which a walk is timed
REPEATS = 4
VERSION = 4  # of what is timed: what another one has found does not count


class Choice(NamedTuple):
    """What serves a product and its gradients.

    Attributes:
        forward: The share of non-zeros up to which a walk is faster.
        weights: The same for the gradient of the weights.
        own: For the product, for the gradients of its input and of its weights, whether
            the dense one is a kernel of ours and not the framework's.
    """

    forward: float = -1.0
    weights: float = -1.0
    own: tuple = (False, False, False)


class Dense(NamedTuple):
    """How a framework computes a product, and its gradients, if it has any.

    Attributes:
        forward: Function of inputs and weights.
        inputs: Function of inputs, weights and the gradient of the outputs: the
            gradient of the inputs, or `None`.
        weights: Function of inputs and the gradient of the outputs: the gradient of the
            weights, or `None`.
    """

    forward: object
    inputs: object = None
    weights: object = None

    # They do not tell one measurement from another.

    def __eq__(self, other):
        return isinstance(other, Dense)

    def __hash__(self):
        return 0


def of(product, images, dense):
    """The `Choice` for a product on this machine.

    Args:
        product: `Product`.
        images: Integer, how many inputs there are, or `None`.
        dense: `Dense`.
    """
    multiplications = product.geometry.multiplications
    images = 1024 if images is None else images
    if images * multiplications < SMALLEST:
        return Choice()
    largest = max(LARGEST // multiplications, 1)
    images = 2 ** (min(images, largest).bit_length() - 1)
    return _known(product, images, dense)


@functools.lru_cache(maxsize=4096)
def _known(product, images, dense):
    key = compiler.digest(repr((product, images, *_setting(product))))
    found = _read(key)
    if found is None:
        # Another thread is outside of what is being traced, and has its own scopes.
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            found = thread.submit(_measure, product, images, dense).result()
        cache.write(key, json.dumps(found).encode())
    return found


def _read(key):
    """What has been measured before, or `None`."""
    try:
        forward, weights, (a, b, c) = json.loads(cache.read(key) or "null")
        shares = float(forward), float(weights)
        own = bool(a), bool(b), bool(c)
        return Choice(*shares, own) if np.isfinite(shares).all() else None
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def _setting(product):
    """What a measurement depends on besides the product and the machine."""
    threads = os.environ.get("OMP_NUM_THREADS"), len(os.sched_getaffinity(0))
    framework = sys.modules[active().name].__version__
    return (
        active().name,
        framework,
        product.library.key,
        threads,
        SHARES,
        VERSION,
    )


def _measure(product, images, dense):
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
    upstream = tensor(*dense.forward(few, kernel).shape)

    def forward(which, x):
        return _compiled(functools.partial(product.forward, which=which), x, kernel)

    def weights(which, x):
        function = functools.partial(product.weights, dtype=product.dtype, which=which)
        return _compiled(function, x, upstream)

    times = _times(
        forward("forward", few),
        forward("forward", many),
        _compiled(dense.forward, few, kernel),
        forward("dense_forward", few),
    )
    of_forward, own_forward = _compare(*times)
    of_weights, own_weights, own_inputs = -1.0, False, False
    if dense.weights is not None:
        times = _times(
            weights("weights", few),
            weights("weights", many),
            _compiled(dense.weights, few, upstream),
            weights("dense_weights", few),
        )
        of_weights, own_weights = _compare(*times)
        theirs, ours = _times(
            _compiled(dense.inputs, few, kernel, upstream),
            _compiled(product.inputs, few, kernel, upstream),
        )
        own_inputs = ours < 1.05 * theirs
    return Choice(of_forward, of_weights, (own_forward, own_inputs, own_weights))


def _compiled(function, *tensors):
    """A call of a function, compiled as it is in a model."""
    compiled = active().compiled(function)
    return lambda: compiled(*tensors)


def _compare(few, many, theirs, ours):
    """The share of non-zeros at which a walk takes as long as the faster dense product,
    and whether that is ours."""
    dense = min(theirs, ours)
    slope = max(many - few, 1e-9) / (SHARES[1] - SHARES[0])
    share = SHARES[0] + (0.95 * dense - few) / slope
    return min(max(share, -1.0), 1.0), ours < 1.05 * theirs


def _times(*functions):
    """The shortest time of each function, in seconds."""
    times = [[] for _ in functions]
    for _ in range(1 + REPEATS):
        for function, of_function in zip(functions, times):
            start = time.perf_counter()
            keras.ops.convert_to_numpy(function())
            of_function.append(time.perf_counter() - start)
    return [min(of_function[1:]) for of_function in times]
