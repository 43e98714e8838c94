import math

import keras
from keras import ops

from keras_spiking.callbacks import hooks
from keras_spiking.callbacks.selection import check_layers
from keras_spiking.callbacks.selection import select_layers
from keras_spiking.layers.temporal_layer import TemporalLayer


class FiringRateLogger(keras.callbacks.Callback):
    """Logs how much neurons fire, measured in the training steps themselves.

    Adds to the logs of every epoch, for every spiking layer,

    - `"firing_rate/<layer>"`: spikes per neuron and time step, the mean over all
      samples of the epoch (masked steps do not count),
    - `"silent_fraction/<layer>"`: the part of the neurons that have not fired
      once in the epoch.

    So they appear in the `History` that `fit` returns, and in the callbacks that
    come behind this one, such as `CSVLogger` and `TensorBoard`. It is measured
    on what a layer returns: with `return_sequences=False` at the last step only.

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

    def __init__(self, layers=None):
        super().__init__()
        self.layers = check_layers(layers)
        self._counters = {}

    def on_train_begin(self, logs=None):
        selected = select_layers(self.model, self.layers)
        self._counters = {n: _Counter(n, layer) for n, layer in selected.items()}
        for counter in self._counters.values():
            hooks.add(counter.layer, "call", counter)
        self.model.make_train_function(force=True)

    def on_train_end(self, logs=None):
        for counter in self._counters.values():
            hooks.remove(counter.layer, "call", counter)
        self.model.make_train_function(force=True)

    def on_epoch_begin(self, epoch, logs=None):
        _ = self.model  # On JAX this brings the variables up to date.
        for counter in self._counters.values():
            counter.reset()

    def on_epoch_end(self, epoch, logs=None):
        _ = self.model  # On JAX this brings the variables up to date.
        for name, counter in self._counters.items():
            rate, silent = counter.result()
            if logs is not None:
                logs[f"firing_rate/{name}"] = rate
                logs[f"silent_fraction/{name}"] = silent

    def on_test_begin(self, logs=None):
        self._count(False)

    def on_test_end(self, logs=None):
        self._count(True)

    def _count(self, counts):
        for counter in self._counters.values():
            counter.counts = counts


class _Counter:
    """A hook that counts the spikes of each neuron of one layer."""

    def __init__(self, name, layer):
        if not isinstance(layer, TemporalLayer):
            raise TypeError(
                "FiringRateLogger watches spiking layers. Layer "
                f"'{name}' is a {type(layer).__name__}."
            )
        shape = layer.compute_output_shape(layer.get_build_config()["input_shape"])
        shape = shape[0] if layer.return_state else shape
        features = shape[2:] if layer.return_sequences else shape[1:]
        if None in features:
            raise ValueError(
                "FiringRateLogger needs to know how many neurons there are. Layer "
                f"'{name}' returns features of shape {features}: give the model a "
                "fixed input shape, or leave the layer out of `layers`."
            )
        self.layer = layer
        self.counts = True
        self.spikes = layer.probe.variable("spikes", features)
        self.steps = layer.probe.variable("steps", ())

    def __call__(self, call, inputs, *args, mask=None, **kwargs):
        outputs = call(inputs, *args, mask=mask, **kwargs)
        if self.counts:
            spikes = outputs[0] if self.layer.return_state else outputs
            over_time = self.layer.return_sequences
            # Without the gradient: on torch it would keep every batch alive.
            spikes = ops.cast(ops.stop_gradient(spikes), "float32")
            total = ops.sum(spikes, axis=(0, 1) if over_time else 0)
            self.spikes.assign(self.spikes + total)
            if mask is None or not over_time:
                steps = math.prod(ops.shape(spikes)[: 1 + over_time])
            else:
                steps = ops.sum(ops.cast(mask, "float32"))
            self.steps.assign(self.steps + ops.cast(steps, "float32"))
        return outputs

    def reset(self):
        for variable in (self.spikes, self.steps):
            variable.assign(ops.zeros(variable.shape))

    def result(self):
        spikes = ops.convert_to_numpy(self.spikes)
        steps = float(ops.convert_to_numpy(self.steps))
        return float(spikes.mean()) / max(steps, 1.0), float((spikes == 0).mean())
