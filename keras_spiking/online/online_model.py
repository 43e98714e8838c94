"""The base class of models that learn forward in time."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_spiking import backends
from keras_spiking.inspection import hooks
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.nested_config import with_objects
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_keywords


class OnlineModel(keras.Model):
    """Base class of models that are trained online, with `compile` and `fit`.

    The loss is taken at every time step, of the outputs at that step, and so is
    its gradient, through the layers but not back in time:

        L = mean_t L[t],    L[t] = loss(y, O[t])

    The gradients are summed up as time goes on, and the optimizer applies them at
    the end of the sequence. So the memory needed does not grow with the number of
    steps. The loss that is logged is that of the outputs reduced over time.

    Subclasses say what else reaches the weights: `hooks` around the calls of
    layers, or what to do with the gradients of a step, in `start_learning`, `learn`
    and `finish_learning`.

    Args:
        layer: Keras layer, model, or list of layers, see `StepByStep`.
        timesteps: Integer >= 1 to present an input `(batch, ...)` that often, or
            `None` if the input is a sequence `(batch, time, ...)`. Defaults to
            `None`.
        reduce: What to return over time: `"mean"`, `"sum"` or `"last"`. Defaults
            to `"mean"`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`, `(batch, ...)` with `timesteps`.

    Input shape:
        `(batch, time, ...)`, or `(batch, ...)` with `timesteps`.

    Output shape:
        `(batch, ...)`.

    Raises:
        ValueError: if the number of time steps is not known.
    """

    learns_by_optimizer = True  # at the end of the sequence, from the gradients alone

    def __init__(
        self,
        layer: Any,
        timesteps: int | None = None,
        reduce: str = "mean",
        **kwargs: Any,
    ):
        check_keywords(type(self), kwargs)
        super().__init__(**kwargs)
        if reduce is None:
            raise ValueError(
                f"{type(self).__name__} needs a `reduce`: use 'mean', 'sum' or 'last'."
            )
        self.network = StepByStep(layer, timesteps=timesteps, reduce=reduce)
        self._targets = None
        self._training_run = InCallContext(self._run_online)

    def build(self, input_shape):
        self.network.build(input_shape)

    def train_step(self, *args):
        # The targets, for `call`, which is traced within this method.
        _, *self._targets = keras.utils.unpack_x_y_sample_weight(args[-1])
        try:
            return super().train_step(*args)
        finally:
            self._targets = None

    def call(self, inputs, training=False):
        if not training or self._targets is None:
            return self.network(inputs, training=training)
        with hooks.around((x, "call", hook) for x, hook in self.hooks()):
            return self._training_run(inputs, training=True)

    def hooks(self) -> list[tuple]:
        """Hooks around calls: pairs of a layer and a hook, see `inspection.hooks`."""
        return []

    def start_learning(self, weights: list) -> Any:
        """What learning remembers through time: a structure of tensors."""
        return {
            "steps": ops.zeros(()),
            "gradients": [ops.zeros_like(w) for w in weights],
        }

    def learn(self, weights: list, gradients: list, memory: Any) -> tuple:
        """Takes in the gradients of a time step; returns weights and memory."""
        sums = [a + b for a, b in zip(memory["gradients"], gradients)]
        return weights, {"steps": memory["steps"] + 1.0, "gradients": sums}

    def finish_learning(self, weights: list, memory: Any) -> None:
        """Hands what was learned to the optimizer, at the end of the sequence."""
        # A loss of value 0 that has these gradients.
        tensors = map(ops.convert_to_tensor, self.network.trainable_variables)
        pairs = zip(memory["gradients"], tensors)
        products = [ops.sum(g * (w - ops.stop_gradient(w))) for g, w in pairs]
        self.add_loss(sum(products) / memory["steps"])

    def _run_online(self, inputs):
        network = self.network
        steps = network.timesteps or inputs.shape[1]
        if steps is None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' needs a known number of time "
                f"steps. Received inputs of shape {tuple(inputs.shape)}."
            )
        first, rest = inputs, {}
        if network.timesteps is None:
            first, rest["x"] = inputs[:, 0], inputs[:, 1:]
        trainable = network.trainable_variables
        fixed = network.non_trainable_variables
        # Without a gradient, so that nothing is kept of a step.
        weights = [ops.stop_gradient(ops.convert_to_tensor(v)) for v in trainable]
        values = [ops.convert_to_tensor(v) for v in fixed]

        def advance(x, states, values, weights, memory):
            def loss(weights):
                mapping = list(zip(trainable + fixed, weights + values))
                y, new_states, updates, losses = network.advance(
                    x, None, states, mapping, training=True
                )
                for i, update in updates.items():
                    mapping[i] = (mapping[i][0], update)
                new_values = [value for _, value in mapping[len(trainable) :]]
                target, sample_weight = self._targets
                value = self.compute_loss(x, target, y, sample_weight, training=True)
                return sum(losses, value), (y, new_states, new_values)

            (_, (y, *others)), gradients = backends.active().value_and_gradients(
                loss, weights
            )
            return y, (*others, *self.learn(weights, gradients, memory))

        def step(x, carry):
            total, *carry = carry
            y, carry = advance(x.get("x", inputs), *carry)
            return (), (network.accumulate(total, y, None), *carry)

        # The first step, outside of the loop, shows which states there are.
        memory = self.start_learning(weights)
        y, carry = advance(first, None, values, weights, memory)
        carry = (network.accumulate(None, y, None), *carry)
        if steps > 1:
            _, carry = time_loop(step, rest, carry, steps - 1, unroll=False)
        total, _, values, weights, memory = carry
        for variable, value in zip(fixed, values):
            variable.assign(value)
        if network.reduce == "mean":
            total = total / steps
        learned = keras.tree.map_structure(ops.stop_gradient, (weights, memory))
        self.finish_learning(*learned)
        return ops.stop_gradient(ops.cast(total, y.dtype))

    def get_config(self):
        config = self.network.get_config()
        names = ("layer", "timesteps", "reduce")
        return {**super().get_config(), **{name: config[name] for name in names}}

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "layer"))


class InCallContext(keras.layers.Layer):
    """Calls a function in which layers know whether they are being trained.

    Keras tells them by the context of the outermost layer that was called. On JAX
    a model's `call` is not within one. Weights have their full precision here.
    """

    def __init__(self, function: Callable):
        super().__init__(autocast=False)
        self.function = function

    def call(self, inputs, training=None):
        return self.function(inputs)
