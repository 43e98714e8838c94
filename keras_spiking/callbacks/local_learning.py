"""Local learning rules under `fit`."""

import copy
from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.backends.loading import active
from keras_spiking.described import Described
from keras_spiking.inspection import wiring
from keras_spiking.inspection.capture import Capture
from keras_spiking.inspection.hooks import HookedTraining
from keras_spiking.inspection.selection import select_layer
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.learning.learner import Learner
from keras_spiking.learning.learner import check_layer
from keras_spiking.learning.learner import check_synapse
from keras_spiking.online.online_model import OnlineModel
from keras_spiking.ops.time_loop import unrolled
from keras_spiking.validation import check_array
from keras_spiking.validation import check_number


class LocalLearning(Described, keras.callbacks.Callback):
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
        neuron: The spiking layer after the synapse, or its name. With `stateful=True`
            the traces go on from batch to batch, until its `reset_state()`.
        learning_rate: Float >= 0 or `None`. Defaults to `None`.
        bounds: Tuple of the smallest and the largest weight, kept after each
            batch, or `None`. Defaults to `None`.
        reward: Function of the targets and the outputs of a batch; returns a
            number, one for each sample or one for each time step. Or such
            a number. Defaults to `None`.

    Raises:
        TypeError: if an argument is of another type.
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

    def __init__(
        self,
        learner: Learner,
        neuron: keras.layers.Layer | str,
        learning_rate: float | None = None,
        bounds: tuple[float, float] | None = None,
        reward: Callable | ArrayLike | None = None,
    ):
        super().__init__()
        if not isinstance(learner, Learner):
            raise TypeError(
                "`learner` must be a `keras_spiking.learning.Learner`. "
                f"Received: learner={learner!r}"
            )
        if learning_rate is not None:
            check_number("learning_rate", learning_rate, minimum=0.0)
        if learner.takes_reward != (reward is not None):
            needs = "needs a" if learner.takes_reward else "takes no"
            raise ValueError(
                f"{type(learner).__name__} {needs} `reward`. Received: reward={reward}"
            )
        if reward is not None and not callable(reward):
            check_array("reward", ops.convert_to_numpy(reward))
        self.learner = learner
        self.neuron = check_layer("neuron", neuron)
        self.learning_rate = learning_rate
        self.bounds = _check_bounds(bounds)
        self.reward = reward
        self._learning = None
        if learning_rate is not None or bounds is not None:
            # Only now: Keras dispatches batches faster if nobody listens.
            self.on_train_batch_end = self._apply

    def on_train_begin(self, logs=None):
        model = self.model
        if isinstance(model, OnlineModel):
            raise ValueError(
                f"The {type(model).__name__} '{model.name}' learns online, step by "
                "step: local rules learn from whole sequences. Train another model of "
                "its layers by the rule."
            )
        learner = copy.copy(self.learner)
        learner.synapse = select_layer(model, learner.synapse)
        neuron = select_layer(model, self.neuron)
        hooks = [hook for *_, hook in HookedTraining.of(model).hooks]
        rules = {id(h.__self__): h.__self__ for h in hooks if hasattr(h, "__self__")}
        others = sum(
            isinstance(r, _Learning) and r is not self._learning for r in rules.values()
        )
        moves = self.learning_rate is not None
        learning = _Learning(model, learner, neuron, self.reward, moves, others)
        # After a `fit` like this one nothing has to be checked and compiled again.
        if self._learning is None or self._learning.key != learning.key:
            check_synapse(learner.synapse)
            _check_neuron(neuron)
            _check_follows(model, learner.synapse, neuron)
            self._learning = learning
        self._learning.make_variables()
        self._add_hooks()

    def _add_hooks(self):
        HookedTraining.of(self.model).add(self._learning.hooks())

    def on_epoch_begin(self, epoch, logs=None):
        # Another callback may have trained in its own way in between.
        self._add_hooks()

    def on_train_end(self, logs=None):
        HookedTraining.of(self.model).end()

    def _apply(self, batch, logs=None):
        _ = self.model  # On JAX this brings the variables up to date.
        kernel, delta = self._learning.learner.synapse.kernel, self._learning.delta
        weights = ops.convert_to_numpy(kernel)
        if self.learning_rate is not None:
            weights = weights + self.learning_rate * ops.convert_to_numpy(delta)
            delta.assign(ops.zeros(delta.shape))
        if self.bounds is not None:
            weights = np.clip(weights, *self.bounds)
        kernel.assign(weights)


class _Learning:
    """What a rule does inside of the training steps of a model.

    All of it is traced together, so that spikes can be handed over from the call of the
    model to its loss.

    Args:
        model: The model.
        learner: The rule, for a layer of the model.
        neuron: The layer after the synapse.
        reward: See `LocalLearning`.
        moves: Boolean, whether the change of a batch is kept in a variable; else it
            goes to the optimizer.
        others: Integer, how many rules there are in this `fit` already.
    """

    def __init__(self, model, learner, neuron, reward, moves, others):
        self.model, self.learner, self.neuron = model, learner, neuron
        self.reward = reward
        self.moves = moves
        self.has_loss = model.loss is not None or bool(model.losses)
        # Variables are found again by their names, those of resumed trainings, too.
        self.suffix = f"_{others}" if others else ""
        values = {**vars(self), **{f"learner.{k}": v for k, v in vars(learner).items()}}
        del values["learner"]
        self.key = type(learner), {name: _identity(v) for name, v in values.items()}

    def hooks(self):
        return [
            (self.model, "call", self.around_model),
            (self.model, "compute_loss", self.around_loss),
        ]

    def make_variables(self):
        synapse, neuron = self.learner.synapse, self.neuron
        name = f"{synapse.name}{self.suffix}"
        self.delta = neuron.probe.variable(f"{name}_delta", synapse.kernel.shape)
        self.delta.assign(ops.zeros(self.delta.shape))  # an interrupted step's
        self.traces = []
        if neuron.stateful:
            rank = len(synapse.kernel.shape) - 1
            pre = synapse.get_build_config()["input_shape"][-rank:]
            post = neuron.get_build_config()["input_shape"][2:]
            shapes = ((neuron.batch_size, *features) for features in (pre, post))
            shapes = self.learner.trace_shapes(*shapes)
            self.traces = [
                neuron.probe.variable(f"{name}_{trace}", shape, save=True)
                for trace, shape in shapes.items()
            ]

    def around_model(self, call, *args, **kwargs):
        layers = {"pre": self.learner.synapse, "post": self.neuron}
        capture = Capture(self.model, layers, {"call": self.note})
        outputs = capture.run(lambda: call(*args, **kwargs))
        self.spikes = self.pairs(capture.assembled())
        return outputs

    def note(self, capture, name, call, inputs, *args, **kwargs):
        outputs = call(inputs, *args, **kwargs)
        if name == "pre":
            capture.note(name, inputs)
        else:
            capture.note(name, outputs[0] if self.neuron.return_state else outputs)
        return outputs

    def pairs(self, spikes):
        """What entered the synapse and what the neuron sent, for each of its calls."""
        pre, post = (
            [x for name, x in spikes.items() if name.startswith(side)]
            for side in ("pre", "post")
        )
        if len(pre) != len(post):
            raise ValueError(
                f"Synapse '{self.learner.synapse.name}' is called {len(pre)} times for "
                f"{len(post)} calls of neuron '{self.neuron.name}'. Local rules need "
                "as many: give each synapse a neuron of its own."
            )
        return list(zip(pre, post))

    def around_loss(
        self, compute_loss, x=None, y=None, y_pred=None, sample_weight=None, **kwargs
    ):
        delta, self.spikes = self.delta_of_batch(y, y_pred), []
        (delta,) = active().sum_over_processes([delta])
        learned = 0.0
        if not self.moves:
            kernel = ops.convert_to_tensor(self.learner.synapse.kernel)
            learned = -ops.sum(ops.stop_gradient(delta) * kernel)
        else:
            self.delta.assign(self.delta + delta)
        if self.has_loss:
            return compute_loss(x, y, y_pred, sample_weight, **kwargs) + learned
        # Gradients of zero, so that training by the rule alone needs no loss.
        weights = map(ops.convert_to_tensor, self.model.trainable_variables)
        return sum((0.0 * ops.sum(w) for w in weights), learned)

    def delta_of_batch(self, y, y_pred):
        reward = self.reward
        if callable(reward):
            reward = reward(y, y_pred)
        total = 0.0
        for pre, post in self.spikes:
            traces = tuple(ops.convert_to_tensor(t) for t in self.traces)
            if not traces:
                total = total + self.learner(pre, post, reward)
                continue
            delta, traces = self.learner(pre, post, reward, traces, return_traces=True)
            for variable, trace in zip(self.traces, traces):
                variable.assign(trace)
            total = total + delta
        return total


def _identity(value):
    simple = value is None or isinstance(value, (bool, int, float, str))
    return value if simple else id(value)


def _check_bounds(bounds):
    if bounds is None:
        return None
    numbers = np.asarray(bounds, "object").reshape(-1).tolist()
    real = [isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers]
    if np.ndim(bounds) != 1 or len(numbers) != 2 or not all(real):
        raise TypeError(
            "`bounds` must be a tuple of two numbers, the smallest and the largest "
            f"weight. Received: bounds={bounds!r}"
        )
    if not numbers[0] <= numbers[1]:
        raise ValueError(
            "`bounds` must be the smallest and the largest weight, in this order. "
            f"Received: bounds={bounds!r}"
        )
    return tuple(numbers)


def _check_neuron(neuron):
    if not isinstance(neuron, TemporalLayer) or not neuron.return_sequences:
        raise ValueError(
            "The neuron must be a spiking layer with `return_sequences=True`. "
            f"Received: {type(neuron).__name__} '{neuron.name}'"
        )


def _check_follows(model, synapse, neuron):
    features = neuron.get_build_config()["input_shape"][2:]
    sent = synapse.compute_output_shape(synapse.get_build_config()["input_shape"])
    follows = tuple(sent[-len(features) :]) == tuple(features)
    if follows and getattr(model, "inputs", None):
        x = [_zeros(symbol) for symbol in model.inputs]
        x = x[0] if len(x) == 1 else x
        with unrolled():  # so that values can be looked at
            reached = wiring.reached(
                lambda: model(x, training=False), synapse, [neuron]
            )
        follows = bool(reached)
    if not follows:
        raise ValueError(
            f"Neuron '{neuron.name}', which takes features of shape {features}, "
            f"does not follow the synapse '{synapse.name}', which returns "
            f"{tuple(sent)}. Name the spiking layer that the synapse feeds."
        )


def _zeros(symbol):
    return ops.zeros([1 if n is None else n for n in symbol.shape], symbol.dtype)
