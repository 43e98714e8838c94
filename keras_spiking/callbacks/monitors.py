"""Monitors: what happens inside of a model, recorded while it is trained."""

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking import backends
from keras_spiking.described import Described
from keras_spiking.files import complete_file
from keras_spiking.inspection import capture
from keras_spiking.inspection.selection import Selector
from keras_spiking.inspection.selection import check_layers
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.inspection.selection import select_layers
from keras_spiking.inspection.states import states_before_step
from keras_spiking.inspection.states import states_over_time
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer


class Monitor(Described, keras.callbacks.Callback):
    """Base class of the monitors.

    A monitor runs the model on data of its own, as `model(x, training=False)`
    does, at the end of an epoch or after a number of batches. Training steps
    stay as they are, and so do all variables of the model, its random seeds
    included. It warns once for each layer whose records are not finite.

    Args:
        data: What to run the model on, as one batch: inputs `x`, or a tuple
            `(x, y)` or `(x, y, sample_weight)`. May be `None` if only
            `record(model, x)` is used.
        layers: Which layers to watch, nested ones in `SeqToBatch`, `StepByStep`
            and sub-models included: a name, a class, a layer, a list of these,
            or a predicate of layers. Defaults to `None`, all spiking layers.
        transform: Function of an array `(batch, time, ...)` that returns what to
            keep of it, such as `lambda spikes: spikes.mean(axis=1)`. Defaults to
            `None`, everything.
        every: `"epoch"`, or an integer, the number of batches between records.
            Defaults to `"epoch"`.

    Attributes:
        records: Dictionary from names of layers to lists of arrays, one for each
            record. Further calls of a layer that is shared are kept under
            `"name:1"`, `"name:2"`, and so on.
    """

    def __init__(
        self,
        data: Any = None,
        layers: Selector = None,
        transform: Callable[[np.ndarray], ArrayLike] | None = None,
        every: str | int = "epoch",
    ):
        super().__init__()
        if transform is not None and not callable(transform):
            raise TypeError(
                "`transform` must be a function of an array. "
                f"Received: transform={transform!r}"
            )
        if every != "epoch":
            every = check_integer("every", every, minimum=1)
        self.data = data
        self.layers = check_layers(layers)
        self.transform = transform
        self.every = every
        self.records = {}
        self._warned = set()
        self._batches = 0
        self._compiled_for = None
        if every != "epoch":
            # Only now: Keras dispatches batches faster if nobody listens.
            self.on_train_batch_end = self._count_batch

    def on_train_begin(self, logs=None):
        if self.data is None:
            raise ValueError(
                f"{type(self).__name__} has no data to run the model on while it "
                "is trained: pass `data`."
            )
        select_layers(self.model, self.layers, self.watches)

    def on_epoch_begin(self, epoch, logs=None):
        self._batch = -1

    def on_epoch_end(self, epoch, logs=None):
        if self.every == "epoch":
            self._record_data()

    def _count_batch(self, batch, logs=None):
        before, self._batches = self._batches, self._batches + batch - self._batch
        self._batch = batch
        if self._batches // self.every > before // self.every:
            self._record_data()

    def _record_data(self):
        self.record(self.model, *keras.utils.unpack_x_y_sample_weight(self.data))

    def record(
        self,
        model: keras.layers.Layer,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
    ) -> dict[str, np.ndarray]:
        """Runs a model on a batch of data and adds to the records.

        Args:
            model: Keras model, or a layer.
            x: Inputs of the model.
            y: Targets, for gradients of the loss.
            sample_weight: Weights of the samples in the loss.

        Returns:
            Dictionary from names of layers to what has just been recorded.
        """
        _check_inputs(model, x)
        arrays = keras.tree.map_structure(_to_tensor, (x, y, sample_weight))
        if self._compiled_for is not model:
            if not model.built:
                model(keras.tree.map_structure(_symbol, arrays[0]))
            self._layers = select_layers(model, self.layers, self.watches)
            self._compiled_for = model
            self._compiled = backends.active().compiled(
                functools.partial(self._run, model)
            )
        values = [ops.convert_to_tensor(variable) for variable in _variables(model)]
        tensors, recorded = self._compiled(values, *arrays), {}
        for name in self._names:
            array = ops.convert_to_numpy(tensors[name])
            self._check_finite(name, array)
            if self.transform is not None:
                array = np.asarray(self.transform(array))
            recorded[name] = array
            self.records.setdefault(name, []).append(array)
        return recorded

    def _check_finite(self, name, array):
        if name not in self._warned and not np.isfinite(array).all():
            self._warned.add(name)
            warnings.warn(
                f"{type(self).__name__} has recorded values that are not finite in "
                f"layer '{name}'. See `keras_spiking.config.set_check_finite`.",
                stacklevel=3,
            )

    def _run(self, model, values, x, y, sample_weight):
        """Records as a pure function of the variables' values and the data."""

        def predict():
            return model(x, training=False)

        def loss():
            y_pred = predict()
            return model.compute_loss(x, y, y_pred, sample_weight, training=False)

        # The scope keeps what a call assigns, and it is dropped here.
        pairs = zip(_variables(model), values)
        with keras.StatelessScope(pairs, collect_losses=True):
            found = self.observe(model, predict, loss)
        self._names = list(found)  # compiled functions of JAX sort them
        return found

    def observe(
        self, model: keras.layers.Layer, predict: Callable, loss: Callable
    ) -> dict[str, Any]:
        """Runs `predict()` or `loss()`; returns `{name: tensor}`."""
        run = capture.Capture(model, self._layers, self.watch())
        run.run(predict)
        return run.assembled()

    def watches(self, layer: keras.layers.Layer) -> bool:
        """Whether a layer is watched if none are asked for."""
        return is_spiking(layer)

    def watch(self) -> dict[str, Callable]:
        """What to do at calls of methods of layers, see `inspection.capture`."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forgets all records."""
        self.records.clear()

    def to_npz(self, path: str | os.PathLike) -> None:
        """Saves the records: one array `(records, ...)` for each layer."""
        path = os.fspath(path)
        path = path if path.endswith(".npz") else f"{path}.npz"
        stacked = {}
        for name, arrays in self.records.items():
            shapes = sorted({array.shape for array in arrays})
            if len(shapes) > 1:
                raise ValueError(
                    f"The records of layer '{name}' have different shapes and do "
                    f"not fit into one array: {shapes}. Call `clear()` between "
                    "data of different shapes, or use a `transform`."
                )
            stacked[name] = np.stack(arrays)
        with complete_file(path) as temporary:
            np.savez(temporary, **stacked)


class OutputMonitor(Monitor):
    """Records what layers return: the spikes of spiking layers.

    Takes the arguments of `Monitor`.

    Example:

    >>> model = keras.Sequential([keras_spiking.layers.LIFLayer(name="lif")])
    >>> monitor = keras_spiking.callbacks.OutputMonitor()
    >>> recorded = monitor.record(model, keras.ops.ones((2, 5, 3)))
    >>> monitor.records["lif"][0].shape
    (2, 5, 3)
    """

    def watch(self):
        return {"call": _note_outputs}


class InputMonitor(Monitor):
    """Records what enters layers: the input currents of spiking layers.

    Takes the arguments of `Monitor`.

    Example:

    >>> model = keras.Sequential([keras_spiking.layers.LIFLayer(name="lif")])
    >>> monitor = keras_spiking.callbacks.InputMonitor(layers="lif")
    >>> float(monitor.record(model, keras.ops.ones((2, 5, 3)))["lif"].mean())
    1.0
    """

    def watch(self):
        return {"call": _note_inputs}


class StateMonitor(Monitor):
    """Records the states of layers after every time step.

    The membrane potential, the first state, is recorded under the name of the
    layer, all further states under `"{layer}/{state}"` with the names that
    `layer.state_names` lists: the records of an `ALIFLayer` called `"alif"` are
    `"alif"` and `"alif/threshold"`.

    Args:
        data: See `Monitor`.
        layers: See `Monitor`. Defaults to `None`, all layers with states.
        transform: See `Monitor`.
        every: See `Monitor`.
        before_reset: Boolean, whether to record the membrane potential `H[t]` before
            the reset, which reaches the threshold where a neuron fires, in place of
            the potential `V[t]` after it. Defaults to `False`.

    Raises:
        ValueError: with `before_reset=True`, if a spiking layer does not reset by
            its method `reset`.

    Example:

    >>> model = keras.Sequential([keras_spiking.layers.LIFLayer(name="lif")])
    >>> monitor = keras_spiking.callbacks.StateMonitor()
    >>> monitor.record(model, keras.ops.ones((1, 3, 1)))["lif"][0, :, 0].tolist()
    [0.5, 0.75, 0.875]
    """

    def __init__(
        self,
        data: Any = None,
        layers: Selector = None,
        transform: Callable[[np.ndarray], ArrayLike] | None = None,
        every: str | int = "epoch",
        *,
        before_reset: bool = False,
    ):
        super().__init__(data, layers, transform, every)
        self.before_reset = check_bool("before_reset", before_reset)

    def watches(self, layer):
        return isinstance(layer, TemporalLayer)

    def watch(self):
        return {"call": self._at_call, "run_steps": self._at_run}

    def _at_call(self, run, name, call, x, *args, **kwargs):
        layer = run.layers[name]
        if not isinstance(layer, TemporalLayer):
            raise TypeError(
                f"StateMonitor watches layers with a state over time. Layer "
                f"'{name}' is a {type(layer).__name__}: use an OutputMonitor, or "
                "leave it out of `layers`."
            )
        if run.caller(layer) is not layer:  # a SingleStep
            states = states_before_step(layer, x)
            sequence = ops.expand_dims(x, 1)
            self._note(run, name, sequence, states, None, lambda s: ops.squeeze(s, 1))
        return call(x, *args, **kwargs)

    def _at_run(self, run, name, run_steps, inputs, states=None, mask=None):
        layer = run.layers[name]
        before = layer.states_before(inputs) if states is None else states
        self._note(run, name, inputs, before, mask)
        return run_steps(inputs, states, mask)

    def _note(self, run, name, inputs, states, mask, shaped=lambda states: states):
        layer = run.layers[name]
        methods = ("reset",) if self.before_reset else ()
        over_time, noted = states_over_time(layer, inputs, states, mask, methods)
        if self.before_reset and is_spiking(layer):
            if "reset" not in noted:
                raise ValueError(
                    "`before_reset=True` needs neurons that reset by their method "
                    f"`reset(h, spikes)`. {type(layer).__name__} '{layer.name}' does "
                    "not: leave it out of `layers`."
                )
            over_time = (noted["reset"], *over_time[1:])
        for i, (state, values) in enumerate(layer.named(over_time).items()):
            run.note(name, shaped(values), f"/{state}" if i else "")


class _GradientMonitor(Monitor):
    def observe(self, model, predict, loss):
        return capture.gradients(model, self._layers, self.watch(), loss)

    def record(self, model, x, y=None, sample_weight=None):
        if not getattr(model, "compiled", False):
            raise ValueError(
                f"{type(self).__name__} needs the loss of the model: call "
                f"`compile(loss=...)` on model '{model.name}' first."
            )
        return super().record(model, x, y, sample_weight)


class OutputGradientMonitor(_GradientMonitor, OutputMonitor):
    """Records the gradient of the loss with respect to what layers return.

    Takes the arguments of `Monitor`; `data` is `(x, y)`. The loss is the one
    that the model was compiled with, on all of `data` as one batch.

    Example:

    >>> model = keras.Sequential([keras_spiking.layers.LIFLayer(name="lif")])
    >>> model.compile(loss="mse")
    >>> monitor = keras_spiking.callbacks.OutputGradientMonitor()
    >>> if keras.config.backend() != "numpy":
    ...     x = keras.ops.ones((2, 5, 3))
    ...     gradient = monitor.record(model, x, x)["lif"]
    """


class InputGradientMonitor(_GradientMonitor, InputMonitor):
    """Records the gradient of the loss with respect to what enters layers.

    Takes the arguments of `Monitor`; `data` is `(x, y)`. The loss is the one
    that the model was compiled with, on all of `data` as one batch.

    Example:

    >>> model = keras.Sequential([keras_spiking.layers.LIFLayer(name="lif")])
    >>> model.compile(loss="mse")
    >>> monitor = keras_spiking.callbacks.InputGradientMonitor()
    >>> if keras.config.backend() != "numpy":
    ...     x = keras.ops.ones((2, 5, 3))
    ...     gradient = monitor.record(model, x, x)["lif"]
    """


def _note_outputs(run, name, call, *args, **kwargs):
    outputs = call(*args, **kwargs)
    if not isinstance(outputs, (list, tuple)):
        return run.note(name, outputs)
    return type(outputs)([run.note(name, outputs[0]), *outputs[1:]])


def _note_inputs(run, name, call, x, *args, **kwargs):
    if isinstance(x, (list, tuple)):
        return call(type(x)([run.note(name, x[0]), *x[1:]]), *args, **kwargs)
    return call(run.note(name, x), *args, **kwargs)


def _variables(model):
    return model.variables + getattr(model, "metrics_variables", [])


def _symbol(tensor):
    return keras.KerasTensor(
        tensor.shape, keras.backend.standardize_dtype(tensor.dtype)
    )


def _to_tensor(array):
    return None if array is None else ops.convert_to_tensor(array)


def _check_inputs(model, x):
    expected = keras.tree.flatten(getattr(model, "inputs", None) or [])
    for symbol, array in zip(expected, keras.tree.flatten(x)):
        shape = np.shape(array)
        fits = len(shape) == len(symbol.shape) and all(
            n is None or n == m for n, m in zip(symbol.shape, shape)
        )
        if not fits:
            raise ValueError(
                f"Model '{model.name}' takes inputs of shape {symbol.shape}. "
                f"Received data of shape {shape}."
            )
