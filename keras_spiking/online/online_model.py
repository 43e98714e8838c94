"""Models that compute their gradients forward in time."""

import functools

import keras
from keras import ops

from keras_spiking.backends.gradients import value_and_gradients
from keras_spiking.callbacks import hooks
from keras_spiking.callbacks.selection import all_layers
from keras_spiking.layers import contained
from keras_spiking.layers import streaming
from keras_spiking.layers.step_by_step import StepByStep
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_number


class OnlineModel(keras.Model):
    """Base class of models that are trained online, with `compile` and `fit`.

    The loss is taken at every time step, of the outputs at that step, and so is
    its gradient, through the layers but not back in time:

        L = mean_t L[t],    L[t] = loss(y, O[t])

    The gradients are summed up as time goes on, and the optimizer applies them at
    the end of the sequence. So the memory needed does not grow with the number of
    steps. The loss that is logged is that of the outputs reduced over time.

    Args:
        layer: Keras layer, model, or list of layers, see `StepByStep`.
        timesteps: Integer >= 1 to present an input `(batch, ...)` that often, or
            `None` if the input is a sequence. Defaults to `None`.
        reduce: What to return over time: `"mean"`, `"sum"` or `"last"`. Defaults
            to `"mean"`.
    """

    def __init__(self, layer, timesteps=None, reduce="mean", **kwargs):
        super().__init__(**kwargs)
        if reduce is None:
            raise ValueError(
                f"{type(self).__name__} needs a `reduce`: use 'mean', 'sum' or 'last'."
            )
        self.network = StepByStep(layer, timesteps=timesteps, reduce=reduce)
        self._targets = None
        self._training_run = _InCallContext(self._run_online)

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
        with hooks.around_calls(self.hooks()):
            outputs, gradients = self._training_run(inputs, training=True)
        # A loss of value 0 hands the gradients to the optimizer.
        variables = self.network.trainable_variables
        weights = [ops.convert_to_tensor(variable) for variable in variables]
        pairs = zip(gradients, weights)
        self.add_loss(sum(ops.sum(g * (w - ops.stop_gradient(w))) for g, w in pairs))
        return outputs

    def hooks(self):
        """What to put around calls of layers: see `callbacks.hooks`."""
        return []

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

        def advance(x, states, values):
            def loss(weights):
                mapping = list(zip(trainable + fixed, weights + values))
                y, new_states, updates, _ = network._advance(x, None, states, mapping)
                for i, update in updates.items():
                    mapping[i] = (mapping[i][0], update)
                new_values = [value for _, value in mapping[len(trainable) :]]
                target, sample_weight = self._targets
                value = self.compute_loss(x, target, y, sample_weight, training=True)
                return value / steps, (y, new_states, new_values)

            (_, others), gradients = value_and_gradients(loss, weights)
            return others, gradients

        def step(x, carry):
            states, values, gradients, total = carry
            (y, states, values), new = advance(x.get("x", inputs), states, values)
            gradients = [a + b for a, b in zip(gradients, new)]
            return (), (states, values, gradients, network._accumulate(total, y, None))

        # The first step, outside of the loop, shows which states there are.
        (y, states, values), gradients = advance(first, None, values)
        carry = (states, values, gradients, network._accumulate(None, y, None))
        if steps > 1:
            _, carry = time_loop(step, rest, carry, steps - 1, unroll=False)
        _, values, gradients, total = carry
        for variable, value in zip(fixed, values):
            variable.assign(value)
        if network.reduce == "mean":
            total = total / steps
        outputs = ops.stop_gradient(ops.cast(total, y.dtype))
        return outputs, [ops.stop_gradient(g) for g in gradients]

    def get_config(self):
        config = self.network.get_config()
        names = ("layer", "timesteps", "reduce")
        return {**super().get_config(), **{name: config[name] for name in names}}

    @classmethod
    def from_config(cls, config):
        layers = contained.deserialize(config["layer"])
        return cls(**{**config, "layer": layers})


class _InCallContext(keras.layers.Layer):
    """Calls a function in which layers know whether they are being trained.

    Keras tells them by the context of the outermost layer that was called. On JAX
    a model's `call` is not within one.
    """

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs, training=None):
        return self.function(inputs)


@keras.saving.register_keras_serializable("keras_spiking")
class SLTT(OnlineModel):
    """Spatial learning through time: gradients within each time step only.

    The loss is taken at every time step, and its gradient goes through the layers
    but not back in time, through no membrane potential. The optimizer
    applies the mean over time at the end of a sequence. The memory needed does
    not grow with the number of time steps.

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

    Example:

    >>> stack = [keras.layers.Dense(8), keras_spiking.layers.LIFLayer()]
    >>> model = keras_spiking.online.SLTT(
    ...     stack + [keras.layers.Dense(2)], timesteps=10
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("adam", "mse")
    ...     x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
    ...     history = model.fit(x, y, verbose=0)

    References:
        - [Meng et al., 2023](https://arxiv.org/abs/2302.14311)
    """


@keras.saving.register_keras_serializable("keras_spiking")
class OTTT(OnlineModel):
    """Online training through time: gradients with traces of the inputs.

    As in `SLTT` no gradient goes back in time. But each synapse keeps a trace of
    what has entered it,

        tr[t] = tr[t-1] - tr[t-1] / tau + X[t],

    and the gradient of its weights at a step takes the trace in place of the
    input, so that earlier inputs, which the membrane potential of the neurons
    behind still holds, get their part of the credit. Layers behind the last
    neurons have no membrane to hold anything and no trace.

    Args:
        layer: Keras layer, model, or list of layers, see `StepByStep`.
        timesteps: Integer >= 1 to present an input `(batch, ...)` that often, or
            `None` if the input is a sequence `(batch, time, ...)`. Defaults to
            `None`.
        tau: Float >= 1, the time constant of the traces in time steps: that of
            the neurons. Defaults to `2.0`.
        reduce: What to return over time: `"mean"`, `"sum"` or `"last"`. Defaults
            to `"mean"`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`, `(batch, ...)` with `timesteps`.

    Input shape:
        `(batch, time, ...)`, or `(batch, ...)` with `timesteps`.

    Output shape:
        `(batch, ...)`.

    Example:

    >>> stack = [keras.layers.Dense(8), keras_spiking.layers.LIFLayer(tau=3.0)]
    >>> model = keras_spiking.online.OTTT(
    ...     stack + [keras.layers.Dense(2)], timesteps=10, tau=3.0
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("adam", "mse")
    ...     x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
    ...     history = model.fit(x, y, verbose=0)

    References:
        - [Xiao et al., 2022](https://arxiv.org/abs/2210.04195)
    """

    def __init__(self, layer, timesteps=None, tau=2.0, reduce="mean", **kwargs):
        super().__init__(layer, timesteps, reduce, **kwargs)
        self.tau = check_number("tau", tau, minimum=1.0)

    def hooks(self):
        layers = list(all_layers(self.network).values())
        neurons = [isinstance(layer, TemporalLayer) for layer in layers]
        return [
            (layer, functools.partial(_with_trace, layer, self.tau))
            for i, layer in enumerate(layers)
            if _is_synapse(layer) and any(neurons[i:])
        ]

    def get_config(self):
        return {**super().get_config(), "tau": self.tau}


def _is_synapse(layer):
    has_weights = layer.trainable_variables and not layer.non_trainable_variables
    holds_layers = contained.inner_layers(layer) or contained.has_time_axis(layer)
    return bool(has_weights) and not holds_layers


def _with_trace(layer, tau, call, x, *args, **kwargs):
    slot = streaming.Slot()
    trace = ops.stop_gradient(x)
    if slot.previous is not None:
        trace = trace + slot.previous - slot.previous / tau
    slot.put(trace)
    frozen = [(v, ops.stop_gradient(ops.convert_to_tensor(v))) for v in layer.variables]
    with keras.StatelessScope(frozen):
        outputs = call(x, *args, **kwargs)
    # Adds nothing but a gradient, which goes to the weights only.
    credit = call(trace, *args, **kwargs)
    return outputs + credit - ops.stop_gradient(credit)
