"""Training that keeps what is pruned."""

from typing import Any

import keras
from keras import ops

from keras_spiking.pruning.optimizer import PruningOptimizer
from keras_spiking.pruning.optimizer import Step

__all__ = ["KeepZeros"]


@keras.saving.register_keras_serializable("keras_spiking")
class KeepZeros(PruningOptimizer):
    """Trains the weights that are not 0: what is pruned stays pruned.

    For training on with a pruned model, whatever has pruned it. A kernel that is
    initialised with zeros would never be trained.

    Args:
        optimizer: Keras optimizer, or its name: what trains the weights.
        layers: Name of a layer, or list of names: whose kernels keep their zeros.
            Defaults to `None`, all that have a variable called `kernel` or
            `..._kernel`.
        name: Name of the optimizer.

    Raises:
        TypeError: if `optimizer` or `layers` is of another kind.
        ValueError: if `layers` has a name that no layer with a kernel has.

    Example:

    >>> model = keras.Sequential([keras.Input((4, 20)), keras.layers.Dense(10)])
    >>> model.compile(keras_spiking.pruning.KeepZeros("adam"), "mse")
    """

    def prepare(self, variable: Any, state: tuple, gradient: Any) -> tuple:
        mask = ops.cast(variable != 0.0, variable.dtype)
        return gradient * mask, mask

    def finish(self, variable: Any, state: tuple, before: Any, step: Step) -> None:
        variable.assign(variable * before)
