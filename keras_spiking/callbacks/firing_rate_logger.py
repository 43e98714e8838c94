import dataclasses
import math
import warnings

import keras
import numpy as np
from keras import ops

from keras_spiking.backends.loading import active
from keras_spiking.described import Described
from keras_spiking.inspection.hooks import HookedTraining
from keras_spiking.inspection.selection import Selector
from keras_spiking.inspection.selection import check_layers
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.inspection.selection import select_layers


class FiringRateLogger(Described, keras.callbacks.Callback):
    """Logs how much neurons fire, measured in the training steps themselves.

    Adds to the logs of every training step and epoch, for every spiking layer,

    - `"firing_rate/{layer}"`: spikes per neuron and time step, the mean over all
      samples of the epoch so far (masked steps do not count),
    - `"silent_fraction/{layer}"`: the part of the neurons that have not fired
      once in the epoch so far.

    So they appear in the progress bar, in the `History` that `fit` returns, and in
    all other callbacks, such as `CSVLogger` and `TensorBoard`, whatever their order.
    They are measured on what a layer returns: with `return_sequences=False` at the
    last step only.

    It warns once of a layer that is silent (99 % of its neurons have not fired in an
    epoch) or saturated (90 % of them have fired at nearly every step), since such a
    layer hardly learns, and of one whose outputs or final states are not finite.

    Args:
        layers: Which layers to watch: a name, a class, a layer, a list of these,
            or a predicate of layers. Defaults to `None`, all spiking layers.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((5, 3)),
    ...         keras.layers.Dense(4),
    ...         keras_spiking.layers.LIFLayer(name="lif"),
    ...     ]
    ... )
    >>> logger = keras_spiking.callbacks.FiringRateLogger()
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("sgd", "mse")
    ...     x, y = keras.ops.ones((8, 5, 3)), keras.ops.ones((8, 5, 4))
    ...     history = model.fit(x, y, callbacks=[logger], verbose=0)
    ...     rates = history.history["firing_rate/lif"]
    """

    def __init__(self, layers: Selector = None):
        super().__init__()
        self.layers = check_layers(layers)
        self._counters = {}
        self._warned = set()

    def on_train_begin(self, logs=None):
        selected = select_layers(self.model, self.layers)
        for name, layer in selected.items():
            _check_layer(name, layer)
        self._counters = {n: _counter(layer) for n, layer in selected.items()}
        self._add_hooks()

    def _add_hooks(self):
        hooks = [hook for c in self._counters.values() for hook in c.hooks()]
        rates = _Rates(self.model, self._counters)
        HookedTraining.of(self.model).add([*hooks, (self.model, "train_step", rates)])

    def on_train_end(self, logs=None):
        HookedTraining.of(self.model).end()

    def on_epoch_begin(self, epoch, logs=None):
        # Another callback may have trained in its own way in between.
        self._add_hooks()
        _ = self.model  # On JAX this brings the variables up to date.
        for counter in self._counters.values():
            counter.reset()

    def on_epoch_end(self, epoch, logs=None):
        _ = self.model  # On JAX this brings the variables up to date.
        found = {"not finite": [], "silent": [], "saturated": []}
        for name, counter in self._counters.items():
            state = counter.state()
            if state is not None and name not in self._warned:
                self._warned.add(name)
                found[state].append(f"'{name}'")
        for state, names in found.items():
            if names:
                names = ("Layer " if len(names) == 1 else "Layers ") + ", ".join(names)
                warnings.warn(_REMEDIES[state].format(names), stacklevel=2)


# A layer is silent, or saturated, if that share of its neurons is.
SILENT = 0.99
SATURATED = 0.9
ALWAYS = 0.99  # the share of steps in which a saturated neuron fires, at least

_REMEDIES = {
    "not finite": "{}: outputs or states are not finite. See "
    "`keras_spiking.config.set_check_finite`.",
    "silent": "{}: silent, at least 99 % of the neurons have not fired in this epoch. "
    "They pass on nothing, and learn little or nothing. Call "
    "`keras_spiking.calibrate(model, x)` before the training, put a BatchNormalization "
    "in front of the neurons, or use LIFLayer(decay_input=False).",
    "saturated": "{}: saturated, at least 90 % of the neurons have fired at nearly "
    "every step of this epoch, whatever the input. Scale images of 0 to 255 to "
    "[0, 1], call `keras_spiking.calibrate(model, x)` before the training, or use a "
    "smaller learning rate.",
}


def _check_layer(name, layer):
    if not (is_spiking(layer) and hasattr(layer, "probe")):
        raise TypeError(
            "FiringRateLogger watches spiking layers. Layer "
            f"'{name}' is a {type(layer).__name__}."
        )
    if None in _features(layer):
        raise ValueError(
            "FiringRateLogger needs to know how many neurons there are. Layer "
            f"'{name}' returns features of shape {_features(layer)}: give the model a "
            "fixed input shape, or leave the layer out of `layers`."
        )


def _features(layer):
    shape = layer.compute_output_shape(layer.get_build_config()["input_shape"])
    shape = shape[0] if _returns_state(layer) else shape
    return shape[2:] if _is_over_time(layer) else shape[1:]


def _returns_state(layer):
    return getattr(layer, "return_state", False)


def _is_over_time(layer):
    return getattr(layer, "return_sequences", True)


@dataclasses.dataclass
class _Rates:
    """A hook around training steps: adds rates to what they log."""

    model: keras.Model
    counters: dict

    def __call__(self, call, *args):
        if keras.config.backend() != "jax":
            return {**call(*args), **self.results()}
        # On JAX a step returns the new values of variables.
        logs, state = call(*args)
        pairs = zip(self.model.non_trainable_variables, state[1])
        with keras.StatelessScope(pairs):
            return {**logs, **self.results()}, state

    def results(self):
        logs = {}
        for name, counter in self.counters.items():
            spikes = ops.convert_to_tensor(counter.spikes)
            steps = ops.maximum(ops.convert_to_tensor(counter.steps), 1.0)
            silent = ops.cast(ops.equal(spikes, 0.0), "float32")
            logs[f"firing_rate/{name}"] = ops.mean(spikes) / steps
            logs[f"silent_fraction/{name}"] = ops.mean(silent)
        return logs


def _counter(layer):
    """The one counter of a layer, for whatever `fit` it is used."""
    return vars(layer.probe).get("counter") or _Counter(layer)


class _Counter:
    """Counts the spikes of each neuron of one layer, in variables of the layer."""

    def __init__(self, layer):
        vars(layer.probe)["counter"] = self
        self.layer = layer
        self.spikes = layer.probe.variable("spikes", _features(layer))
        self.steps = layer.probe.variable("steps", ())
        self.not_finite = layer.probe.variable("not_finite", ())

    def hooks(self):
        hooks = [(self.layer, "call", self.count)]
        if hasattr(self.layer, "run_steps"):
            hooks.append((self.layer, "run_steps", self.check))
        return hooks

    def count(self, call, inputs, *args, mask=None, **kwargs):
        kwargs = kwargs if mask is None else {**kwargs, "mask": mask}
        outputs = call(inputs, *args, **kwargs)
        spikes = outputs[0] if _returns_state(self.layer) else outputs
        over_time = _is_over_time(self.layer)
        # Without the gradient: on torch it would keep every batch alive.
        spikes = ops.cast(ops.stop_gradient(spikes), "float32")
        total = ops.sum(spikes, axis=(0, 1) if over_time else 0)
        if mask is None or not over_time:
            steps = math.prod(ops.shape(spikes)[: 1 + over_time])
        else:
            steps = ops.sum(ops.cast(mask, "float32"))
        steps = ops.cast(steps, "float32")
        total, steps = active().sum_over_processes([total, steps])
        self.spikes.assign(self.spikes + total)
        self.steps.assign(self.steps + steps)
        self._note_finite([total])
        return outputs

    def check(self, run_steps, inputs, states=None, mask=None):
        states = self.layer.states_before(inputs) if states is None else states
        outputs, states = run_steps(inputs, states, mask)
        self._note_finite(states)
        return outputs, states

    def _note_finite(self, tensors):
        for tensor in tensors:
            finite = ops.all(ops.isfinite(ops.stop_gradient(tensor)))
            note = 1.0 - ops.cast(finite, "float32")
            self.not_finite.assign(ops.maximum(self.not_finite, note))

    def state(self):
        """What is wrong in this epoch, or `None`."""
        if float(ops.convert_to_numpy(self.not_finite)) > 0.0:
            return "not finite"
        steps = float(ops.convert_to_numpy(self.steps))
        spikes = ops.convert_to_numpy(self.spikes)
        if steps and np.mean(spikes == 0.0) >= SILENT:
            return "silent"
        # Neurons that may fire more than once in a step do that without being stuck.
        always = (spikes >= ALWAYS * steps) & (spikes <= steps)
        return "saturated" if steps and np.mean(always) >= SATURATED else None

    def reset(self):
        for variable in (self.spikes, self.steps, self.not_finite):
            variable.assign(ops.zeros(variable.shape))
