"""What all optimizers that prune have in common."""

from typing import Any

import keras
from keras import ops

from keras_spiking.described import Described
from keras_spiking.pruning.kernels import check_layers
from keras_spiking.pruning.kernels import select


class PruningOptimizer(Described, keras.optimizers.Optimizer):
    """Base of optimizers that prune while another optimizer trains.

    A step gives each kernel to `prepare`, makes the step of the inner optimizer, and
    gives the kernel to `finish`. Both run where the training step runs, so they
    compile with it on every backend; what they remember are variables, which are saved
    with the model.

    Args:
        optimizer: Keras optimizer, or its name: what trains the weights. Its learning
            rate, schedules, clipping, weight decay and accumulation of gradients work
            as ever; moving averages of weights (`use_ema`) are refused.
        layers: Name of a layer, or list of names: whose kernels are pruned. The name of
            a container stands for the layers within. Defaults to `None`, all that have
            a variable called `kernel` or `..._kernel`. Biases, normalisation and the
            parameters of neurons are never pruned.
        name: Name of the optimizer.
    """

    def __init__(self, optimizer: Any, *, layers: Any = None, name: str | None = None):
        optimizer = keras.optimizers.get(optimizer)
        if optimizer is None:
            raise TypeError(
                "`optimizer` must be a Keras optimizer or its name. Received: "
                "optimizer=None"
            )
        if optimizer.use_ema:
            raise ValueError(
                f"{type(self).__name__} cannot prune moving averages of weights: use "
                f"an optimizer without `use_ema`. Received: optimizer={optimizer!r}"
            )
        if isinstance(optimizer, (PruningOptimizer, _LOSS_SCALE)):
            raise ValueError(
                f"{type(self).__name__} takes the optimizer that trains the weights "
                "itself. Put a LossScaleOptimizer around the pruning, and prune in one "
                f"way at a time. Received: optimizer={optimizer!r}"
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = optimizer
        self.layers = check_layers(layers)
        self._states = {}

    def build(self, variables: Any) -> None:
        """Creates what is remembered of each kernel, and the inner optimizer's."""
        if self.built:
            return
        states = {}
        for variable in select(variables, self.layers):
            states[id(variable)] = self.build_state(variable)
        self._states = states
        self.inner_optimizer.build(variables)
        super().build(variables)

    def build_state(self, variable: Any) -> tuple:
        """Creates the variables that are remembered of a kernel.

        Args:
            variable: `keras.Variable`, the kernel. Its values do not count: they may be
                loaded later.

        Returns:
            A tuple of variables, made by `self.add_variable_from_reference`.
        """
        return ()

    def prepare(self, variable: Any, state: tuple, gradient: Any) -> tuple:
        """What happens to a kernel before the step of the inner optimizer.

        Args:
            variable: `keras.Variable`, the kernel. It may be assigned to.
            state: Tuple of variables, as `build_state` returned it.
            gradient: Tensor, the gradient of the kernel.

        Returns:
            The gradient for the inner optimizer, and anything that `finish` needs. On
            PyTorch tensors of variables change with them: it must be computed.
        """
        raise NotImplementedError

    def finish(self, variable: Any, state: tuple, before: Any, step: "Step") -> None:
        """What happens to a kernel after the step of the inner optimizer.

        Args:
            variable: `keras.Variable`, the kernel. It is assigned to.
            state: Tuple of variables, as `build_state` returned it.
            before: What `prepare` returned.
            step: `Step`.
        """
        raise NotImplementedError

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Makes a step. See `keras.optimizers.Optimizer.apply`."""
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        variables = list(trainable_variables)
        if not self.built:
            with keras.name_scope(self.name):
                self.build(variables)
        grads = list(grads)
        if self.loss_scale_factor is not None:
            grads = [g if g is None else g / self.loss_scale_factor for g in grads]
        inner = self.inner_optimizer
        step = Step(inner)
        pruned = []
        for i, variable in enumerate(variables):
            if id(variable) in self._states and grads[i] is not None:
                state = self._states[id(variable)]
                gradient = ops.cast(grads[i], variable.dtype)
                grads[i], before = self.prepare(variable, state, gradient)
                pruned.append((variable, state, before))
        inner.apply(grads, variables)
        step.end(inner)
        for variable, state, before in pruned:
            self.finish(variable, state, before, step)

    @property
    def variables(self) -> list:
        return super().variables + self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any):
        self.inner_optimizer.learning_rate = learning_rate

    def scale_loss(self, loss: Any) -> Any:
        return self.inner_optimizer.scale_loss(loss)

    def get_config(self) -> dict[str, Any]:
        return {
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "layers": self.layers,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "PruningOptimizer":
        optimizer = keras.saving.deserialize_keras_object(
            config["optimizer"], custom_objects=custom_objects
        )
        return cls(**{**config, "optimizer": optimizer})


_LOSS_SCALE = keras.optimizers.LossScaleOptimizer


class Step:
    """A step of the inner optimizer.

    Attributes:
        number: Integer tensor, how many steps were before.
        learning_rate: Scalar tensor.
        made: Integer tensor, 1, or 0 if gradients were only accumulated.
    """

    def __init__(self, optimizer: Any):
        self.number = ops.add(optimizer.iterations, 0)  # a copy on PyTorch
        self.learning_rate = ops.multiply(optimizer.learning_rate, 1.0)
        self.made = None

    def end(self, optimizer: Any) -> None:
        self.made = ops.subtract(optimizer.iterations, self.number)

    def size(self, dtype: Any) -> Any:
        """The learning rate, or 0 if gradients were only accumulated."""
        return ops.cast(self.learning_rate, dtype) * ops.cast(self.made, dtype)
