from typing import Any

import keras
from keras import ops

from keras_spiking.gradients import has_gradients

# Its square is finite in float32: gradients are products of potentials.
LARGEST = 1e18


def bounded(x: Any) -> Any:
    """`x` within `[-1e18, 1e18]`, so that an overflow does not become NaN.

    States that take up their input go through this. Infinity times 0 and infinity
    minus infinity are not numbers, from which a neuron would never return. The gradient
    passes as if there were no bounds, and NaN remains.

    Args:
        x: Tensor of floats.
    """
    if isinstance(x, keras.KerasTensor):
        return Bounded().symbolic_call(x)
    if not has_gradients():
        return _bounded(x)

    @ops.custom_gradient
    def with_gradient(x):
        def grad(*args, upstream=None):
            return args[0] if upstream is None else upstream

        return _bounded(x), grad

    return with_gradient(x)


def _bounded(x):
    x = ops.where(x > LARGEST, LARGEST, x)
    return ops.where(x < -LARGEST, -LARGEST, x)


@keras.saving.register_keras_serializable("keras_spiking")
class Bounded(keras.Operation):
    """What symbolic tensors record of `bounded`; kernels know its name."""

    def call(self, x):
        return bounded(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)
