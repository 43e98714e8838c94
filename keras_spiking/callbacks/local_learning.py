"""Local learning rules under `fit`."""

import keras
import numpy as np
from keras import ops

from keras_spiking.callbacks import hooks
from keras_spiking.callbacks.selection import select_layer
from keras_spiking.layers.containers import contained
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.learning.learner import Learner
from keras_spiking.learning.learner import check_synapse
from keras_spiking.validation import check_number


class LocalLearning(keras.callbacks.Callback):
    """Lets a synapse learn by a local rule while the model is trained.

    With a `learning_rate` the weights move by the rule after each batch,

        w <- w + learning_rate dw

    whatever the optimizer does with them; a model without a loss learns by this
    alone. Without a `learning_rate`, `-dw` is added to the gradient of the loss,
    and the optimizer of the model applies both.

    A rule with rewards gets those that the function `reward(y_true, y_pred)`
    returns for a batch.

    Args:
        learner: A `keras_spiking.learning.Learner`. Its synapse may be a layer of
            the model or the name of one, in a `SeqToBatch` or a sub-model, too.
        neuron: The spiking layer behind the synapse, or its name.
        learning_rate: Float or `None`. Defaults to `None`.
        bounds: Tuple of the smallest and the largest weight, kept after each
            batch, or `None`. Defaults to `None`.
        reward: Function of the targets and the outputs of a batch; returns a
            number, one for each sample or one for each time step. Or such
            a number. Defaults to `None`.

    Raises:
        ValueError: when training starts, if the layers do not exist, the
            synapse has no kernel or the neuron does not follow it.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((5, 3)),
    ...         keras.layers.Dense(4, name="synapse"),
    ...         keras_spiking.layers.LIFLayer(name="neuron"),
    ...     ]
    ... )
    >>> rule = keras_spiking.learning.Hebbian("synapse")
    >>> learning = keras_spiking.callbacks.LocalLearning(rule, "neuron", 0.01)
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("sgd")
    ...     x = keras.ops.ones((8, 5, 3))
    ...     history = model.fit(x, callbacks=[learning], verbose=0)
    """

    def __init__(self, learner, neuron, learning_rate=None, bounds=None, reward=None):
        super().__init__()
        if not isinstance(learner, Learner):
            raise TypeError(
                "`learner` must be a `keras_spiking.learning.Learner`. "
                f"Received: learner={learner!r}"
            )
        if learning_rate is not None:
            check_number("learning_rate", learning_rate)
        if bounds is not None and not (len(bounds) == 2 and bounds[0] <= bounds[1]):
            raise ValueError(
                "`bounds` must be the smallest and the largest weight. "
                f"Received: bounds={bounds!r}"
            )
        if learner.takes_reward != (reward is not None):
            needs = "needs a" if learner.takes_reward else "takes no"
            raise ValueError(
                f"{type(learner).__name__} {needs} `reward`. Received: reward={reward}"
            )
        self.learner = learner
        self.neuron = neuron
        self.learning_rate = learning_rate
        self.bounds = bounds
        self.reward = reward
        self._hooks = []
        if learning_rate is not None or bounds is not None:
            # Only now: Keras dispatches batches faster if nobody listens.
            self.on_train_batch_end = self._apply

    def on_train_begin(self, logs=None):
        model = self.model
        self.learner.synapse = select_layer(model, self.learner.synapse)
        self.neuron = select_layer(model, self.neuron)
        check_synapse(self.learner.synapse)
        _check_neuron(model, self.neuron)
        _check_follows(model, self.learner.synapse, self.neuron)
        self._make_variables()
        self._has_loss = model.loss is not None or bool(model.losses)
        self._variables = model.trainable_variables
        self._hooks = [
            (model, "call", self._around_model),
            (self.learner.synapse, "call", self._around_synapse),
            (self.neuron, "call", self._around_neuron),
            (self.neuron, "reset_state", self._around_reset),
            (model, "compute_loss", self._around_loss),
        ]
        for hook in self._hooks:
            hooks.add(*hook)
        model.make_train_function(force=True)

    def on_train_end(self, logs=None):
        for hook in self._hooks:
            hooks.remove(*hook)
        self.model.make_train_function(force=True)

    def _make_variables(self):
        synapse, neuron = self.learner.synapse, self.neuron
        self._delta = neuron.probe.variable(
            f"{synapse.name}_delta", synapse.kernel.shape
        )
        self._traces = []
        if neuron.stateful:
            rank = len(synapse.kernel.shape) - 1
            pre = synapse.get_build_config()["input_shape"][-rank:]
            post = neuron.get_build_config()["input_shape"][2:]
            self._traces = [
                neuron.probe.variable(
                    f"{synapse.name}_{side}", (neuron.batch_size, *shape), save=True
                )
                for side, shape in (("trace_pre", pre), ("trace_post", post))
            ]

    # What happens inside of a training step. All of it is traced together, so
    # that spikes can be handed over from the call of the model to its loss.

    def _around_model(self, call, *args, **kwargs):
        self._pre, self._spikes = None, []
        return call(*args, **kwargs)

    def _around_synapse(self, call, inputs, *args, **kwargs):
        self._pre = inputs
        return call(inputs, *args, **kwargs)

    def _around_neuron(self, call, inputs, *args, **kwargs):
        outputs = call(inputs, *args, **kwargs)
        if self._pre is not None:
            spikes = outputs[0] if self.neuron.return_state else outputs
            self._spikes.append((self._pre, spikes))
            self._pre = None
        return outputs

    def _around_reset(self, reset_state):
        reset_state()
        for trace in self._traces:
            trace.assign(ops.zeros(trace.shape))

    def _around_loss(
        self, compute_loss, x=None, y=None, y_pred=None, sample_weight=None, **kwargs
    ):
        learned = 0.0
        if kwargs.get("training", True):
            delta = self._delta_of_batch(y, y_pred)
            if self.learning_rate is None:
                kernel = ops.convert_to_tensor(self.learner.synapse.kernel)
                learned = -ops.sum(ops.stop_gradient(delta) * kernel)
            else:
                self._delta.assign(self._delta + delta)
        if self._has_loss:
            return compute_loss(x, y, y_pred, sample_weight, **kwargs) + learned
        # Gradients of zero, so that training by the rule alone needs no loss.
        zeros = (0.0 * ops.sum(ops.convert_to_tensor(v)) for v in self._variables)
        return sum(zeros, learned)

    def _delta_of_batch(self, y, y_pred):
        reward = self.reward
        if callable(reward):
            reward = reward(y, y_pred)
        total = 0.0
        for pre, post in self._spikes:
            traces = [ops.convert_to_tensor(t) for t in self._traces] or None
            delta, traces = self.learner(pre, post, reward, traces, return_traces=True)
            for variable, trace in zip(self._traces, traces):
                variable.assign(trace)
            total = total + delta
        return total

    def _apply(self, batch, logs=None):
        _ = self.model  # On JAX this brings the variables up to date.
        kernel = self.learner.synapse.kernel
        weights = ops.convert_to_numpy(kernel)
        if self.learning_rate is not None:
            weights = weights + self.learning_rate * ops.convert_to_numpy(self._delta)
            self._delta.assign(ops.zeros(self._delta.shape))
        if self.bounds is not None:
            weights = np.clip(weights, *self.bounds)
        kernel.assign(weights)


def _check_neuron(model, neuron):
    if not isinstance(neuron, TemporalLayer) or not neuron.return_sequences:
        raise ValueError(
            "The neuron must be a spiking layer with `return_sequences=True`. "
            f"Received: {type(neuron).__name__} '{neuron.name}'"
        )

    def holds_neuron(layer):
        is_neuron = contained.find(layer, lambda inner: inner is neuron)
        return isinstance(layer, StepByStep) and is_neuron is not None

    if (container := contained.find(model, holds_neuron)) is not None:
        raise ValueError(
            f"Neuron '{neuron.name}' is in the {type(container).__name__} "
            f"'{container.name}', which goes through time step by step. Local "
            "rules learn from whole sequences: use `SeqToBatch` for the synapse, "
            "and the neuron behind it."
        )


def _check_follows(model, synapse, neuron):
    """Sends NaN from the synapse: it passes all layers but spiking ones."""
    arrived = []

    def from_synapse(call, inputs, *args, **kwargs):
        return call(inputs, *args, **kwargs) * float("nan")

    def at_neuron(call, inputs, *args, **kwargs):
        arrived.append(bool(np.isnan(ops.convert_to_numpy(inputs)).any()))
        return call(inputs, *args, **kwargs)

    features = neuron.get_build_config()["input_shape"][2:]
    sent = synapse.compute_output_shape(synapse.get_build_config()["input_shape"])
    follows = tuple(sent[-len(features) :]) == tuple(features)
    if follows and getattr(model, "inputs", None):
        x = [_zeros(symbol) for symbol in model.inputs]
        x = x[0] if len(x) == 1 else x
        values = [(v, ops.convert_to_tensor(v)) for v in model.variables]
        around = [(synapse, from_synapse), (neuron, at_neuron)]
        with keras.StatelessScope(values), hooks.around_calls(around):
            model(x, training=False)
        follows = any(arrived)
    if not follows:
        raise ValueError(
            f"Neuron '{neuron.name}', which takes features of shape {features}, "
            f"does not follow the synapse '{synapse.name}', which returns "
            f"{tuple(sent)}. Name the spiking layer that the synapse feeds."
        )


def _zeros(symbol):
    return ops.zeros([1 if n is None else n for n in symbol.shape], symbol.dtype)
