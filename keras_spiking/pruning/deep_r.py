"""Deep rewiring."""

import math
from typing import Any

import keras
from keras import ops

from keras_spiking.pruning.optimizer import PruningOptimizer
from keras_spiking.pruning.optimizer import Step
from keras_spiking.validation import check_number
from keras_spiking.validation import check_seed

__all__ = ["DeepR"]

# The strength of a new connection, in float16 the least that it can have.
_NEW, _NEW_IN_FLOAT16 = 1e-12, 6e-8


@keras.saving.register_keras_serializable("keras_spiking")
class DeepR(PruningOptimizer):
    """Deep rewiring (DEEP R): the number of connections is fixed all the time.

    Each weight has a fixed sign `s`, and a strength `theta` while it is connected:

        w = s theta
        theta <- theta - learning_rate (s dL/dw + penalty)
            + sqrt(2 learning_rate temperature) normal

    What falls below zero is pruned, and as many connections, chosen among all that are
    not there, grow with a strength of 1e-12. So each kernel always has
    `(1 - sparsity) n` connections of `n`, rounded, at least one. The first step cuts
    those of a dense kernel down to as many, at random. The inner optimizer takes the
    place of `learning_rate dL/dw`.

    Args:
        optimizer: Keras optimizer, or its name: what trains the weights. Its learning
            rate, schedules, clipping and accumulation of gradients work as ever. Moving
            averages of weights (`use_ema`) are refused.
        sparsity: Float in [0, 1), the fraction of each kernel that is not connected.
            Defaults to `0.95`.
        penalty: Float >= 0, how much strengths shrink. Defaults to `1e-4`.
        temperature: Float >= 0, the strength of the random walk. Defaults to `0.0`.
        seed: Integer, the seed of signs, noise and new connections. Defaults to
            `None`, another one each time.
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
    >>> optimizer = keras_spiking.pruning.DeepR("adam", sparsity=0.9, seed=0)
    >>> model.compile(optimizer, "mse")

    References:
        - [Bellec et al., 2018](https://arxiv.org/abs/1711.05136)
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        sparsity: float = 0.95,
        penalty: float = 1e-4,
        temperature: float = 0.0,
        seed: int | None = None,
        layers: Any = None,
        name: str | None = None,
    ):
        super().__init__(optimizer, layers=layers, name=name)
        self.sparsity = check_number("sparsity", sparsity, minimum=0.0, below=1.0)
        self.penalty = check_number("penalty", penalty, minimum=0.0)
        self.temperature = check_number("temperature", temperature, minimum=0.0)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    @property
    def variables(self) -> list:
        return [*super().variables, self.seed_generator.state]

    def build_state(self, variable: Any) -> tuple:
        return (self.add_variable_from_reference(variable, "sign"),)

    def prepare(self, variable: Any, state: tuple, gradient: Any) -> tuple:
        (sign,) = state
        weights = ops.convert_to_tensor(variable)
        connected = weights != 0.0
        signs = ops.where(connected, ops.sign(weights), ops.convert_to_tensor(sign))
        return gradient * ops.cast(connected, gradient.dtype), (connected, signs)

    def finish(self, variable: Any, state: tuple, before: Any, step: Step) -> None:
        connected, signs = before
        shape, dtype = tuple(variable.shape), variable.dtype
        size = step.size(dtype)
        strength = signs * ops.convert_to_tensor(variable) - self.penalty * size
        if self.temperature > 0.0:
            noise = keras.random.normal(shape, dtype=dtype, seed=self.seed_generator)
            strength = strength + ops.sqrt(2.0 * self.temperature * size) * noise
        connected = ops.logical_and(connected, strength > 0.0)
        drawn = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        # A bit of low order is a sign that does not depend on who is chosen.
        odd = ops.floor(drawn * 4096.0) % 2.0
        signs = ops.where(signs == 0.0, ops.cast(2.0 * odd - 1.0, dtype), signs)
        state[0].assign(signs)
        # Those that are there come first, and after them any others.
        chosen = self._largest(drawn + ops.cast(connected, "float32"))
        new = _NEW_IN_FLOAT16 if dtype == "float16" else _NEW
        strength = ops.where(connected, strength, new * ops.ones_like(strength))
        variable.assign(ops.where(chosen, signs * strength, 0.0 * signs))

    def _largest(self, key):
        """Whether elements are among the largest, as many as there are connections."""
        shape = tuple(key.shape)
        total = math.prod(shape)
        count = max(total - round(self.sparsity * total), 1)
        _, places = ops.top_k(ops.reshape(key, (-1,)), count, sorted=False)
        ones = ops.ones((count,), "int32")
        chosen = ops.scatter(
            ops.cast(ops.expand_dims(places, -1), "int32"), ones, (total,)
        )
        return ops.reshape(chosen, shape) > 0

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sparsity": self.sparsity,
            "penalty": self.penalty,
            "temperature": self.temperature,
            "seed": self.seed,
        }
