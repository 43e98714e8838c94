"""Random initial weights on JAX without a compiler.

JAX compiles the random numbers of each shape anew, which is most of the time that it
takes to build a model, and a large part of the time of all tests.
"""

import contextlib

import jax
import keras
import numpy as np
from keras.src.initializers import random_initializers
from keras.src.random.seed_generator import draw_seed

_of_jax = random_initializers.random


def _normal(rng, shape, mean=0.0, stddev=1.0):
    return rng.normal(mean, stddev, shape)


def _truncated_normal(rng, shape, mean=0.0, stddev=1.0):
    x = rng.normal(size=shape)
    while (beyond := np.abs(x) > 2.0).any():
        x = np.where(beyond, rng.normal(size=shape), x)
    return mean + stddev * x


def _uniform(rng, shape, minval=0.0, maxval=1.0):
    return rng.uniform(minval, maxval, shape)


_DRAWN = {
    "normal": _normal,
    "truncated_normal": _truncated_normal,
    "uniform": _uniform,
}


class _Random:
    """What the initializers of Keras know as `random`."""

    def __getattr__(self, name):
        own, drawn = getattr(_of_jax, name), _DRAWN.get(name)
        if drawn is None:
            return own

        def draw(*args, seed=None, dtype=None, **kwargs):
            seed = draw_seed(seed)
            if isinstance(seed, jax.core.Tracer):
                return own(*args, seed=seed, dtype=dtype, **kwargs)
            rng = np.random.default_rng(np.asarray(seed))
            dtype = dtype or keras.config.floatx()
            return keras.ops.convert_to_tensor(drawn(rng, *args, **kwargs), dtype)

        return draw


def install():
    random_initializers.random = _Random()


@contextlib.contextmanager
def of_jax():
    """JAX's own, within this context."""
    random_initializers.random = _of_jax
    try:
        yield
    finally:
        install()
