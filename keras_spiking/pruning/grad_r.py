"""Gradient rewiring."""

import math
from typing import Any

import keras
from keras import ops

from keras_spiking.pruning.optimizer import PruningOptimizer
from keras_spiking.pruning.optimizer import Step
from keras_spiking.validation import check_number

__all__ = ["GradR"]


@keras.saving.register_keras_serializable("keras_spiking")
class GradR(PruningOptimizer):
    """Gradient rewiring (Grad R): connections are pruned and grow back by gradients.

    Each weight has a fixed sign `s` and a strength `theta`, and is connected while the
    strength is positive. The gradient that reaches a weight moves its strength even
    while it is pruned, as if it were connected, and a Laplace prior pulls strengths
    towards a mean below zero:

        w = s max(0, theta)
        theta <- theta - learning_rate (s dL/dw + penalty sign(theta - mean))
        mean = ln(2 - 2 sparsity) / penalty     for sparsity >= 1/2
        mean = -ln(2 sparsity) / penalty        else

    where a fraction `sparsity` of the prior lies below zero. The inner optimizer takes
    the place of `learning_rate dL/dw`, as in the paper's experiments, and the penalty
    is subtracted beside it. A weight that is 0 and was never pruned takes the sign of
    its next step.

    How many connections are pruned in the end is decided between prior and gradients:
    strengths below zero stay unless gradients pull them up. With the small penalties of
    the paper (1e-3 and a learning rate of 1e-4 over 512 epochs) the mean is never
    reached, and the product of penalty, learning rate and number of steps decides. It
    should be larger than most weights are at first, 0.1 for example.
    `keras_spiking.pruning.report` counts.

    Args:
        optimizer: Keras optimizer, or its name: what trains the weights. Its learning
            rate, schedules, clipping and accumulation of gradients work as ever. Weight
            decay acts on strengths, also below zero, and constraints act on `s theta`.
            Moving averages of weights (`use_ema`) are refused.
        sparsity: Float in (0, 1), the fraction of the prior that is pruned. Defaults to
            `0.95`.
        penalty: Float >= 0, the strength of the prior. 0 is no prior. Defaults to
            `1e-3`.
        layers: Name of a layer, or list of names: whose kernels are pruned. The name of
            a container stands for the layers within. Defaults to `None`, all that have
            a variable called `kernel` or `..._kernel`.
        name: Name of the optimizer.

    Raises:
        TypeError: if `optimizer` or `layers` is of another kind.
        ValueError: if a number is outside of its range, or if `layers` has a name that
            no layer with a kernel has.

    Example:

    >>> model = keras.Sequential([keras.Input((4, 20)), keras.layers.Dense(10)])
    >>> optimizer = keras_spiking.pruning.GradR(
    ...     keras.optimizers.Adam(1e-3), sparsity=0.95, penalty=0.02
    ... )
    >>> model.compile(optimizer, "mse")

    References:
        - [Chen et al., 2021](https://arxiv.org/abs/2105.04916)
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        sparsity: float = 0.95,
        penalty: float = 1e-3,
        layers: Any = None,
        name: str | None = None,
    ):
        super().__init__(optimizer, layers=layers, name=name)
        self.sparsity = check_number("sparsity", sparsity, above=0.0, below=1.0)
        self.penalty = check_number("penalty", penalty, minimum=0.0)

    @property
    def mean(self) -> float | None:
        """The mean of the prior, or `None` without one."""
        if self.penalty == 0.0:
            return None
        if self.sparsity >= 0.5:
            return math.log(2.0 - 2.0 * self.sparsity) / self.penalty
        return -math.log(2.0 * self.sparsity) / self.penalty

    def build_state(self, variable: Any) -> tuple:
        # The weight is `s max(0, theta)`, and this is `s min(0, theta)`: one of the two
        # is 0, and weights that are set or loaded later are strengths at once.
        return (self.add_variable_from_reference(variable, "pruned"),)

    def prepare(self, variable: Any, state: tuple, gradient: Any) -> tuple:
        (pruned,) = state
        weights = ops.convert_to_tensor(variable)
        zero = ops.zeros_like(weights)
        below = ops.where(weights != 0.0, zero, ops.convert_to_tensor(pruned))
        sign = ops.sign(weights) - ops.sign(below)
        signed = weights + below
        variable.assign(signed)
        return gradient, (sign, sign * signed)

    def finish(self, variable: Any, state: tuple, before: Any, step: Step) -> None:
        (pruned,) = state
        sign, strength = before
        moved = ops.convert_to_tensor(variable)
        sign = ops.where(sign == 0.0, ops.sign(moved), sign)
        new = sign * moved
        if self.mean is not None:
            pull = self.penalty * step.size(new.dtype)
            new = new - pull * ops.sign(strength - self.mean)
        variable.assign(sign * ops.relu(new))
        pruned.assign(sign * ops.minimum(new, 0.0))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "sparsity": self.sparsity, "penalty": self.penalty}
