"""Monitors: what goes on inside of a model, recorded while it is trained."""

import functools
import os

import keras
import numpy as np
from keras import ops

from keras_spiking import backends
from keras_spiking.callbacks import capture
from keras_spiking.callbacks.selection import check_layers
from keras_spiking.callbacks.selection import is_spiking
from keras_spiking.callbacks.selection import select_layers
from keras_spiking.layers import streaming
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.time_loop import hold
from keras_spiking.ops.time_loop import time_loop


class Monitor(keras.callbacks.Callback):
    """Base class of the monitors.

    A monitor runs the model on data of its own, as `model(x, training=False)`
    does, at the end of an epoch or after a number of batches. Training steps
    stay as they are, and so do all variables of the model, its random seeds
    included.

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

    def __init__(self, data=None, layers=None, transform=None, every="epoch"):
        super().__init__()
        if transform is not None and not callable(transform):
            raise TypeError(
                "`transform` must be a function of an array. "
                f"Received: transform={transform!r}"
            )
        whole = isinstance(every, int) and not isinstance(every, bool)
        if every != "epoch" and not (whole and every >= 1):
            raise ValueError(
                '`every` must be "epoch" or a number of batches of at least 1. '
                f"Received: every={every!r}"
            )
        self.data = data
        self.layers = check_layers(layers)
        self.transform = transform
        self.every = every
        self.records = {}
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

    def record(self, model, x, y=None, sample_weight=None):
        """Runs a model on a batch of data and adds to the records.

        Args:
            model: Keras model.
            x: Inputs of the model.
            y: Targets, for gradients of the loss.
            sample_weight: Weights of the samples in the loss.

        Returns:
            Dictionary from names of layers to what has just been recorded.
        """
        _check_inputs(model, x)
        arrays = keras.tree.map_structure(_to_tensor, (x, y, sample_weight))
        if self._compiled_for is not model:
            self._layers = select_layers(model, self.layers, self.watches)
            self._compiled_for = model
            self._compiled = backends.active().compiled(
                functools.partial(self._run, model)
            )
        variables = model.variables + model.metrics_variables
        values = [ops.convert_to_tensor(variable) for variable in variables]
        recorded = self._compiled(values, *arrays)
        for name, tensor in recorded.items():
            array = ops.convert_to_numpy(tensor)
            if self.transform is not None:
                array = np.asarray(self.transform(array))
            recorded[name] = array
            self.records.setdefault(name, []).append(array)
        return recorded

    def _run(self, model, values, x, y, sample_weight):
        """Records as a pure function of the variables' values and the data."""
        variables = model.variables + model.metrics_variables

        def loss():
            y_pred = model(x, training=False)
            return model.compute_loss(x, y, y_pred, sample_weight, training=False)

        # The scope keeps what a call assigns, and it is dropped here.
        with keras.StatelessScope(zip(variables, values), collect_losses=True):
            return self.observe(model, lambda: model(x, training=False), loss)

    def observe(self, model, predict, loss):
        """Runs `predict()` or `loss()`; returns `{name: tensor}`."""
        run = capture.Capture(model, self._layers, self.watch)
        run.run(predict)
        return run.assembled()

    def watches(self, layer):
        """Whether a layer is watched if none are asked for."""
        return is_spiking(layer)

    def watch(self, run, call, name, x, *args, **kwargs):
        """Calls a layer and gives what is watched to `run.note(name, tensor)`."""
        raise NotImplementedError

    def clear(self):
        """Forgets all records."""
        self.records.clear()

    def to_npz(self, path):
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
        temporary = f"{path}.{os.getpid()}.tmp"
        try:
            with open(temporary, "wb") as file:
                np.savez(file, **stacked)
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.remove(temporary)


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

    def watch(self, run, call, name, x, *args, **kwargs):
        outputs = call(x, *args, **kwargs)
        if not isinstance(outputs, (list, tuple)):
            return run.note(name, outputs)
        return type(outputs)([run.note(name, outputs[0]), *outputs[1:]])


class InputMonitor(Monitor):
    """Records what enters layers: the input currents of spiking layers.

    Takes the arguments of `Monitor`.

    Example:

    >>> model = keras.Sequential([keras_spiking.layers.LIFLayer(name="lif")])
    >>> monitor = keras_spiking.callbacks.InputMonitor(layers="lif")
    >>> float(monitor.record(model, keras.ops.ones((2, 5, 3)))["lif"].mean())
    1.0
    """

    def watch(self, run, call, name, x, *args, **kwargs):
        if isinstance(x, (list, tuple)):
            return call(type(x)([run.note(name, x[0]), *x[1:]]), *args, **kwargs)
        return call(run.note(name, x), *args, **kwargs)


class StateMonitor(Monitor):
    """Records the states of layers after every time step.

    The membrane potential, the first state, is recorded under the name of the
    layer, the next states under `"name/state_1"`, `"name/state_2"`, and so on.
    Potentials are those after the reset. Takes the arguments of `Monitor`.

    Example:

    >>> model = keras.Sequential([keras_spiking.layers.LIFLayer(name="lif")])
    >>> monitor = keras_spiking.callbacks.StateMonitor()
    >>> monitor.record(model, keras.ops.ones((1, 3, 1)))["lif"][0, :, 0].tolist()
    [0.5, 0.75, 0.875]
    """

    def watches(self, layer):
        return isinstance(layer, TemporalLayer)

    def watch(self, run, call, name, x, *args, **kwargs):
        layer = run.layers[name]
        if not isinstance(layer, TemporalLayer):
            raise TypeError(
                f"StateMonitor watches layers with a state over time. Layer "
                f"'{name}' is a {type(layer).__name__}: use an OutputMonitor, or "
                "leave it out of `layers`."
            )
        for i, states in enumerate(_states_over_time(layer, x, *args, **kwargs)):
            run.note(name, states, f"/state_{i}" if i else "")
        return call(x, *args, **kwargs)


class _GradientMonitor(Monitor):
    def observe(self, model, predict, loss):
        return capture.gradients(model, self._layers, self.watch, loss)

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


def _states_over_time(layer, inputs, initial_state=None, mask=None):
    inputs = ops.cast(inputs, layer.state_dtype)
    states = streaming.previous_state()
    if initial_state is not None or states is None:
        states = layer.states_before(inputs, initial_state)

    def step(x, states):
        _, new_states = layer.step(x["input"], states)
        if mask is not None:
            new_states = hold(x["mask"], new_states, states)
        return new_states, new_states

    sequences = {"input": inputs}
    if mask is not None:
        sequences["mask"] = ops.cast(mask, "bool")
    return time_loop(step, sequences, tuple(states))[0]


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
