from typing import Any

import keras
from keras import ops

from keras_spiking import backends
from keras_spiking.online.online_model import OnlineModel
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class FPTT(OnlineModel):
    """Forward propagation through time: the weights move at every time step.

    The optimizer makes a step at each time step `t`, with the gradient within
    that step of the loss and of a regularizer `R`, which keeps the weights near
    their running average and makes them settle for the loss of all steps:

        W[t+1] = optimizer(W[t], grad (L[t] + R[t]))
        R[t] = alpha / 2 |W - A[t]|^2 - G[t] W
        G[t+1] = G[t] - alpha (W[t+1] - A[t])
        A[t+1] = (1 - beta) A[t] + beta W[t+1] - beta / alpha G[t+1]

    `A` is the running average, `G` estimates the gradient of the loss. Both go on
    from one batch to the next and are saved with the model.

    Args:
        layer: See `OnlineModel`.
        timesteps: See `OnlineModel`.
        alpha: Float > 0, the strength of the regularizer. Defaults to `0.5`.
        beta: Float in [0, 1], what a time step adds to the average. Defaults to
            `0.5`.
        reduce: See `OnlineModel`. Defaults to `"mean"`.

    Raises:
        ValueError: when training starts, if the optimizer scales the loss, as it does
            under `"mixed_float16"`.

    Example:

    >>> stack = [keras.layers.Dense(8), keras_spiking.layers.LIFLayer()]
    >>> model = keras_spiking.online.FPTT(
    ...     stack + [keras.layers.Dense(2)], timesteps=10, alpha=0.2
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("adam", "mse")
    ...     x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
    ...     history = model.fit(x, y, verbose=0)

    References:
        - [Kag and Saligrama, 2021](https://proceedings.mlr.press/v139/kag21a.html)
        - [Yin et al., 2023](https://arxiv.org/abs/2112.11231)
    """

    learns_by_optimizer = False

    def __init__(
        self,
        layer: Any,
        timesteps: int | None = None,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduce: str = "mean",
        **kwargs: Any,
    ):
        super().__init__(layer, timesteps, reduce, **kwargs)
        self.alpha = check_number("alpha", alpha, above=0.0)
        self.beta = check_number("beta", beta, minimum=0.0, maximum=1.0)

    def build(self, input_shape):
        super().build(input_shape)
        # W - A rather than A, so that weights can be set from outside.
        self.deviations = [self._like(v) for v in self.network.trainable_variables]
        self.estimates = [self._like(v) for v in self.network.trainable_variables]

    def _like(self, variable):
        return self.add_weight(
            shape=variable.shape,
            dtype=variable.dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def train_step(self, *args):
        _check_optimizer(self.optimizer)
        *state, data = args
        if not state:
            return self._train(data)
        # On JAX the state of training comes and goes as tensors.
        variables = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        pairs = zip(sum(variables, []), sum(state[0], []))
        with keras.StatelessScope(pairs) as scope:
            logs = self._train(data)
        return logs, tuple([scope.get_current_value(v) for v in vs] for vs in variables)

    def _train(self, data):
        x, *self._targets = keras.utils.unpack_x_y_sample_weight(data)
        y, sample_weight = self._targets
        try:
            outputs = self(x, training=True)
        finally:
            self._targets = None
        loss = self.compute_loss(x, y, outputs, sample_weight, training=True)
        (tracker,) = (metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(loss, sample_weight=ops.shape(x)[0])
        return self.compute_metrics(x, y, outputs, sample_weight)

    def start_learning(self, weights):
        pairs = zip(weights, self.deviations)
        in_jax = keras.config.backend() == "jax"
        optimizer = self.optimizer.variables if in_jax else []
        return {
            "averages": [w - ops.convert_to_tensor(d) for w, d in pairs],
            "estimates": [ops.convert_to_tensor(g) for g in self.estimates],
            "optimizer": [ops.convert_to_tensor(v) for v in optimizer],
        }

    def learn(self, weights, gradients, memory):
        averages, estimates = memory["averages"], memory["estimates"]
        gradients = backends.active().mean_over_processes(gradients)
        _, penalties = backends.active().value_and_gradients(
            self._weight_penalty, weights
        )
        terms = zip(gradients, penalties, weights, averages, estimates)
        gradients = [
            gradient + penalty - g + self.alpha * (w - a)
            for gradient, penalty, w, a, g in terms
        ]
        weights, optimizer = self._apply(weights, gradients, memory["optimizer"])
        terms = zip(weights, averages, estimates)
        estimates = [g - self.alpha * (w - a) for w, a, g in terms]
        terms = zip(weights, averages, estimates)
        averages = [
            a + self.beta * (w - a) - self.beta / self.alpha * g for w, a, g in terms
        ]
        memory = {"averages": averages, "estimates": estimates, "optimizer": optimizer}
        return weights, memory

    def _weight_penalty(self, weights):
        with keras.StatelessScope(zip(self.network.trainable_variables, weights)):
            return sum(self.losses, ops.zeros(())), ()

    def _apply(self, weights, gradients, optimizer_values):
        """A step of the optimizer: tensors on JAX, its variables elsewhere."""
        if keras.config.backend() == "jax":
            return self.optimizer.stateless_apply(optimizer_values, gradients, weights)
        variables = self.network.trainable_variables
        self.optimizer.apply(gradients, variables)
        return [ops.stop_gradient(ops.convert_to_tensor(v)) for v in variables], []

    def finish_learning(self, weights, memory):
        averages = memory["averages"]
        values = weights + memory["estimates"] + memory["optimizer"]
        values += [w - a for w, a in zip(weights, averages)]
        variables = self.network.trainable_variables + self.estimates
        variables += self.optimizer.variables[: len(memory["optimizer"])]
        variables += self.deviations
        for variable, value in zip(variables, values):
            variable.assign(value)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}


def _check_optimizer(optimizer):
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if scales or optimizer.loss_scale_factor is not None:
        raise ValueError(
            "FPTT cannot scale the loss: use the dtype policy 'float32' or "
            "'mixed_bfloat16' and no `loss_scale_factor`. Received: "
            f"optimizer={optimizer}"
        )
