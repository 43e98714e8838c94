"""Pruning of the smallest weights, by a schedule."""

import math
from typing import Any

import keras
from keras import ops

from keras_spiking.pruning.optimizer import PruningOptimizer
from keras_spiking.pruning.optimizer import Step
from keras_spiking.pruning.ranks import ranks
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

__all__ = ["MagnitudePruning"]


@keras.saving.register_keras_serializable("keras_spiking")
class MagnitudePruning(PruningOptimizer):
    """Prunes the smallest weights of each kernel, more and more of them.

    From step `begin_step` to `end_step`, every `frequency` steps and at the last one,
    as many of the smallest weights become 0 as the sparsity says, exactly:

        sparsity(t) = sparsity
            + (initial_sparsity - sparsity) (1 - (t - begin_step)
            / (end_step - begin_step))^3

    What is pruned gets no gradient and stays 0 after the last step, too.

    Args:
        optimizer: Keras optimizer, or its name: what trains the weights.
        sparsity: Float in [0, 1), the fraction that is pruned in the end. Defaults to
            `0.95`.
        end_step: Integer >= `begin_step`, the step of the last pruning: training should
            go on for a while after that.
        initial_sparsity: Float in [0, 1), at most `sparsity`: what the first pruning
            prunes. Defaults to `0.0`.
        begin_step: Integer >= 0, the step of the first pruning. Defaults to `0`.
        frequency: Integer >= 1, how many steps there are from one pruning to the next.
            Defaults to `100`.
        layers: Name of a layer, or list of names: whose kernels are pruned. The name of
            a container stands for the layers within. Defaults to `None`, all that have
            a variable called `kernel` or `..._kernel`.
        name: Name of the optimizer.

    Raises:
        TypeError: if an argument is of another kind.
        ValueError: if a number is outside of its range, or if `layers` has a name that
            no layer with a kernel has.

    Example:

    >>> model = keras.Sequential([keras.Input((4, 20)), keras.layers.Dense(10)])
    >>> optimizer = keras_spiking.pruning.MagnitudePruning(
    ...     "adam", sparsity=0.9, end_step=1000
    ... )
    >>> model.compile(optimizer, "mse")

    References:
        - [Zhu and Gupta, 2017](https://arxiv.org/abs/1710.01878)
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        end_step: int,
        sparsity: float = 0.95,
        initial_sparsity: float = 0.0,
        begin_step: int = 0,
        frequency: int = 100,
        layers: Any = None,
        name: str | None = None,
    ):
        super().__init__(optimizer, layers=layers, name=name)
        self.sparsity = check_number("sparsity", sparsity, minimum=0.0, below=1.0)
        self.initial_sparsity = check_number(
            "initial_sparsity", initial_sparsity, minimum=0.0, maximum=self.sparsity
        )
        self.begin_step = check_integer("begin_step", begin_step, minimum=0)
        self.end_step = check_integer("end_step", end_step, minimum=self.begin_step)
        self.frequency = check_integer("frequency", frequency, minimum=1)

    def sparsity_at(self, step: Any) -> Any:
        """The sparsity that a pruning at a step has."""
        length = max(self.end_step - self.begin_step, 1)
        left = ops.cast(self.end_step - step, "float32") / length
        return self.sparsity + (self.initial_sparsity - self.sparsity) * left**3

    def build_state(self, variable: Any) -> tuple:
        mask = self.add_variable(
            variable.shape,
            initializer="ones",
            dtype="bool",
            name=f"{variable.path.replace('/', '_')}_mask",
        )
        return (mask,)

    def prepare(self, variable: Any, state: tuple, gradient: Any) -> tuple:
        return gradient * ops.cast(state[0], gradient.dtype), None

    def finish(self, variable: Any, state: tuple, before: Any, step: Step) -> None:
        (mask,) = state
        t = ops.cast(step.number, "int32")
        regular = (t - self.begin_step) % self.frequency == 0
        due = ops.logical_and(t >= self.begin_step, t <= self.end_step)
        due = ops.logical_and(due, ops.logical_or(regular, t == self.end_step))
        weights = ops.convert_to_tensor(variable)
        old = ops.convert_to_tensor(mask)

        def smallest():
            # What is pruned comes first, whatever else is 0.
            size = ops.where(old, ops.abs(weights), -ops.ones_like(weights))
            count = ops.round(self.sparsity_at(t) * math.prod(weights.shape))
            return ranks(size) >= ops.cast(count, "int32")

        new = ops.cond(due, smallest, lambda: old)
        mask.assign(new)
        variable.assign(ops.where(new, weights, ops.zeros_like(weights)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sparsity": self.sparsity,
            "initial_sparsity": self.initial_sparsity,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
        }
