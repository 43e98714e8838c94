"""The few things that tests need and Keras does not offer on all backends."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_spiking.keras_version import KERAS_VERSION

BACKEND = keras.config.backend()
HAS_GRADIENTS = BACKEND not in ("numpy", "openvino")


def since_keras(*version):
    """A mark for tests of what Keras can do since a version."""
    number = ".".join(map(str, version))
    return pytest.mark.skipif(KERAS_VERSION < version, reason=f"since Keras {number}")


def gpu():
    """Whether tensors are on a GPU."""
    if BACKEND == "torch":
        import torch

        return torch.cuda.is_available()
    if BACKEND == "jax":
        import jax

        return jax.default_backend() == "gpu"
    return False


def to_numpy(structure):
    return keras.tree.map_structure(ops.convert_to_numpy, structure)


def float64(*arrays):
    """Tensors in float64, which Keras would make float32 without being asked."""
    return [ops.convert_to_tensor(a, dtype="float64") for a in arrays]


@contextlib.contextmanager
def double_precision():
    """JAX has no float64 outside of this."""
    if BACKEND != "jax":
        yield
        return
    import jax

    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def gradients(function, arrays, weights=()):
    """Gradients of a scalar function of arrays, and with respect to weights.

    Args:
        function: Callable, takes as many tensors as there are arrays.
        arrays: List of arrays.
        weights: List of `keras.Variable`s that `function` reads.

    Returns:
        A list of NumPy arrays: for each array, then for each weight.
    """
    return globals()[f"_{BACKEND}_gradients"](function, list(arrays), list(weights))


def _jax_gradients(function, arrays, weights):
    import jax

    def of_values(arrays, values):
        with keras.StatelessScope(zip(weights, values)):
            return function(*arrays)

    values = [w.value for w in weights]
    arrays = [ops.convert_to_tensor(a) for a in arrays]
    grads = jax.jit(jax.grad(of_values, argnums=(0, 1)))(arrays, values)
    return [np.asarray(g) for part in grads for g in part]


def _torch_gradients(function, arrays, weights):
    import torch

    leaves = [ops.convert_to_tensor(a).detach().requires_grad_() for a in arrays]
    sources = leaves + [w.value for w in weights]
    grads = torch.autograd.grad(function(*leaves), sources, allow_unused=True)
    return [_or_zeros(g, s) for g, s in zip(grads, sources)]


def _tensorflow_gradients(function, arrays, weights):
    import tensorflow as tf

    arrays = [tf.convert_to_tensor(a) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        result = function(*arrays)
    sources = arrays + [w.value for w in weights]
    grads = tape.gradient(result, sources)
    return [_or_zeros(g, s) for g, s in zip(grads, sources)]


def _or_zeros(gradient, source):
    if gradient is None:
        return np.zeros(source.shape, "float32")
    return ops.convert_to_numpy(gradient)
