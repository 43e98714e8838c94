"""Lets every layer of neurons fire at a given rate on data."""

import functools
import math
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking import backends
from keras_spiking.energy.fan_out import CONVOLUTIONS
from keras_spiking.energy.fan_out import DEPTHWISE
from keras_spiking.energy.fan_out import SEPARABLE
from keras_spiking.energy.fan_out import TRANSPOSED
from keras_spiking.inspection import hooks
from keras_spiking.inspection.selection import Selector
from keras_spiking.inspection.selection import all_layers
from keras_spiking.inspection.selection import check_layers
from keras_spiking.inspection.selection import check_spiking_model
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.inspection.selection import select_layers
from keras_spiking.inspection.wiring import reached
from keras_spiking.layers.containers.single_step import SingleStep
from keras_spiking.ops.time_loop import unrolled
from keras_spiking.parameter import current_value
from keras_spiking.progress import check_verbose
from keras_spiking.progress import progress_bar
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_number
from keras_spiking.validation import check_samples

__all__ = ["calibrate"]

# Layers whose output is multiplied when these weights are.
_WEIGHTS = {
    keras.layers.BatchNormalization: ("gamma", "beta"),
    keras.layers.GroupNormalization: ("gamma", "beta"),
    keras.layers.LayerNormalization: ("gamma", "beta"),
    SEPARABLE: ("pointwise_kernel", "bias"),
    (keras.layers.Dense, keras.layers.EinsumDense): ("kernel", "bias"),
    (*CONVOLUTIONS, *TRANSPOSED, *DEPTHWISE): ("kernel", "bias"),
}
_STEPS = 16  # of the bisection: a ten thousandth of the largest factor
_LARGEST = 2.0**20
_NEAR = 0.1  # relative, of a rate to the one that was aimed at


def calibrate(
    model: keras.layers.Layer,
    x: Any,
    firing_rate: float = 0.1,
    *,
    scale: str = "weights",
    layers: Selector = None,
    verbose: int = 0,
) -> dict[str, float]:
    """Scales what drives neurons until every layer fires at a given rate.

    Layer by layer, in the order in which they run, the weights and biases in front of
    the neurons, or the scale and shift of a normalisation that stands there, are
    multiplied by one factor. Where there are none that lead to these neurons only, the
    threshold is divided by it. The network can compute the same as before, it only
    starts elsewhere: use it before a training that starts with silent or saturated
    neurons.

    Batch normalisations take the mean and variance of `x` as their moving averages, so
    that neurons fire as much in training as in inference.

    Functions that Keras has compiled for the model are compiled again, since they hold
    thresholds as constants.

    Args:
        model: Keras model, or layer, with spiking neurons. Its weights are changed.
        x: Inputs of the model, a structure of arrays: one batch, of a hundred samples
            say.
        firing_rate: Float > 0, the mean number of spikes per neuron and time step that
            each layer is to have. Defaults to `0.1`.
        scale: `"weights"`, or `"thresholds"` to leave all weights as they are.
            Defaults to `"weights"`.
        layers: Which neurons are meant: a name, a class, a layer, a list of these, or a
            predicate of layers. Defaults to `None`, all spiking layers.
        verbose: 0, or 1 or 2 to show progress, as in `fit`. Defaults to `0`.

    Returns:
        Dictionary from names of layers to the firing rates on `x` afterwards.

    Raises:
        ValueError: if the model has no spiking neurons, or `x` does not fit its inputs.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((5, 20)),
    ...         keras.layers.Dense(30),
    ...         keras_spiking.layers.LIFLayer(name="lif"),
    ...     ]
    ... )
    >>> x = keras.random.uniform((16, 5, 20), seed=0)
    >>> rates = keras_spiking.calibrate(model, x, firing_rate=0.2)
    >>> round(rates["lif"], 1)
    0.2

    References:
        - [Mishkin and Matas, 2016](https://arxiv.org/abs/1511.06422)
        - [Rossbroich, Gygax and Zenke, 2022](https://doi.org/10.1088/2634-4386/ac97bb)
    """
    target = check_number("firing_rate", firing_rate, above=0.0)
    check_choice("scale", scale, ("weights", "thresholds"))
    verbose = check_verbose(verbose)
    check_spiking_model(model)
    selected = select_layers(model, check_layers(layers))
    for name, layer in selected.items():
        if not is_spiking(layer):
            raise TypeError(
                "`calibrate` is about spiking layers. Layer "
                f"'{name}' is a {type(layer).__name__}."
            )
    run = _Run(model, x)
    missed = {}
    order = run.order()
    progress = progress_bar(len(order), verbose, "layer")
    for layer in order:
        if isinstance(layer, keras.layers.BatchNormalization):
            _take_statistics(layer, run)
        elif name := next((n for n, y in selected.items() if y is layer), None):
            rate = _calibrate(layer, run, target, scale)
            if not target / 3.0 <= rate <= target * 3.0:
                missed[name] = rate
        progress.add(1)
    _forget_compiled(model)
    if missed:
        rates = ", ".join(f"'{n}' {rate:.2g}" for n, rate in missed.items())
        warnings.warn(
            f"No scale lets these layers fire at {target:g} spikes per neuron and "
            f"step: {rates}. Put a BatchNormalization in front of neurons that stay "
            "silent.",
            stacklevel=2,
        )
    return {
        name: _rate(layer, *run.inputs_of(layer)) for name, layer in selected.items()
    }


class _Run:
    """Runs a model, whose variables stay as they are, and looks at layers."""

    def __init__(self, model, x):
        arrays = [np.asarray(ops.convert_to_numpy(a)) for a in keras.tree.flatten(x)]
        check_samples(
            "x", arrays, keras.tree.flatten(getattr(model, "inputs", None) or [])
        )
        self.model, self.x = model, keras.tree.map_structure(ops.convert_to_tensor, x)
        self._run([])  # builds what is not built
        self.layers = list(all_layers(model).values())
        single = [y for y in self.layers if isinstance(y, SingleStep)]
        self.callers = {id(y.layer): y for y in single}

    def _run(self, around):
        with unrolled(), hooks.around(around), keras.StatelessScope():
            self.model(self.x, training=False)

    def caller(self, layer):
        """What is called for a layer: the `SingleStep` around it, or itself."""
        return self.callers.get(id(layer), layer)

    def order(self):
        """Neurons and batch normalisations, in the order in which they run."""
        seen = []

        def note(layer):
            def hook(call, *args, **kwargs):
                if not any(y is layer for y in seen):
                    seen.append(layer)
                return call(*args, **kwargs)

            return self.caller(layer), "call", hook

        normalization = keras.layers.BatchNormalization
        self._run(
            [
                note(layer)
                for layer in self.layers
                if is_spiking(layer) or isinstance(layer, normalization)
            ]
        )
        return seen

    def calls_of(self, layer):
        """The inputs and masks of a layer, one pair for each call."""
        calls = []

        def note(call, inputs, *args, mask=None, **kwargs):
            calls.append((inputs, mask))
            kwargs = kwargs if mask is None else {**kwargs, "mask": mask}
            return call(inputs, *args, **kwargs)

        self._run([(self.caller(layer), "call", note)])
        return calls

    def inputs_of(self, layer):
        """The inputs of neurons over time, and their mask or `None`."""
        calls = self.calls_of(layer)
        if self.caller(layer) is not layer:
            calls = [(ops.expand_dims(x, 1), m) for x, m in calls]
        masks = [m for _, m in calls]
        if all(m is None for m in masks):
            mask = None
        else:
            masks = [m if len(m.shape) > 1 else ops.expand_dims(m, 1) for m in masks]
            mask = ops.concatenate(masks, axis=1)
        return ops.concatenate([x for x, _ in calls], axis=1), mask

    def feeding(self, layer):
        """The layers whose weights may be scaled for the sake of these neurons: those
        in front of them, without further weights in between, if they lead to no others.
        """
        caller = self.caller(layer)
        found = [(y, behind) for y, behind in self.wiring if caller in behind]
        return [y for y, _ in found] if all(len(b) == 1 for _, b in found) else []

    @functools.cached_property
    def wiring(self):
        """Layers with weights that scale, each with what receives its output."""
        nodes = [y for y in self.layers if is_spiking(y) or _weights(y)]
        wiring = []
        for node in filter(_weights, nodes):
            others = [self.caller(y) for y in nodes if y is not node]
            behind = reached(lambda: self._run([]), node, others)
            wiring.append((node, behind))
        return wiring


def _weights(layer):
    """The weights of a layer that scale its output, by which it may be scaled."""
    activation = getattr(layer, "activation", None)
    if activation not in (None, keras.activations.linear, keras.activations.relu):
        return []
    for classes, names in _WEIGHTS.items():
        if isinstance(layer, classes):
            found = [getattr(layer, name, None) for name in names]
            if found[0] is not None and layer.trainable:
                return [weight for weight in found if weight is not None]
    return []


def _calibrate(layer, run, target, scale):
    """Calibrates one layer of neurons. Returns their firing rate."""
    inputs, mask = run.inputs_of(layer)
    rate = _rate(layer, inputs, mask)

    def expected(factor):  # if the input does not depend on the output
        return _rate(layer, factor * inputs, mask)

    def measured(way, factor):
        way.multiply(factor)
        return _rate(layer, *run.inputs_of(layer))

    def misses(rate, tolerance=2.0 * _NEAR):
        return abs(rate - target) > tolerance * target

    weights = [w for y in run.feeding(layer) for w in _weights(y)]
    ways = [_Weights(weights)] if weights and scale == "weights" else []
    ways += (
        [_Threshold(layer)] if "v_threshold" in getattr(layer, "declared", ()) else []
    )
    for i, way in enumerate(ways):
        if not misses(rate, _NEAR):
            break
        if i > 0:
            ways[i - 1].multiply(1.0)
        rate = measured(way, _search(expected, target))
        if misses(rate):
            # Spikes come back to the neurons, or something in between is not linear.
            factor = _search(functools.partial(measured, way), target)
            rate = measured(way, factor)
    return rate


class _Weights:
    """Multiplies the input of neurons by weights."""

    def __init__(self, weights):
        self.weights = weights
        self.before = [ops.convert_to_numpy(w) for w in weights]

    def multiply(self, factor):
        for weight, value in zip(self.weights, self.before):
            weight.assign(value * factor)


class _Threshold:
    """Divides the distance of the threshold of neurons from their rest, as if their
    input were multiplied."""

    def __init__(self, layer):
        self.layer = layer
        self.threshold = current_value(layer, "v_threshold")
        self.baseline = _baseline(layer)

    def multiply(self, factor):
        distance = (self.threshold - self.baseline) / factor
        self.layer.v_threshold = np.maximum(self.baseline + distance, 0.0)


def _baseline(layer):
    value = current_value(layer, "v_reset")
    return 0.0 if value is None else value


def _rate(layer, inputs, mask):
    """Spikes per neuron and time step."""
    with keras.StatelessScope():
        if hasattr(layer, "run_steps"):
            first = ops.cast(inputs[:, 0], layer.state_dtype)
            states = layer.get_initial_state(first)
            outputs, _ = layer.run_steps(inputs, tuple(states), mask)
        else:
            outputs = layer(inputs, mask=mask)
    spikes = np.abs(ops.convert_to_numpy(ops.cast(outputs, "float32")))
    if mask is None:
        return float(np.mean(spikes))
    return float(np.mean(spikes[ops.convert_to_numpy(mask).astype("bool")]))


def _search(rate_of, target):
    """The factor whose rate comes closest to a target."""
    tried = {1.0: rate_of(1.0)}
    low, high = 1.0, 1.0
    while tried[high] < target and high < _LARGEST:
        low, high = high, high * 4.0
        tried[high] = rate_of(high)
    while tried[low] > target and low > 1.0 / _LARGEST:
        low, high = low / 4.0, low
        tried[low] = rate_of(low)
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        tried[middle] = rate_of(middle)
        if abs(tried[middle] - target) <= 0.02 * target:
            break
        low, high = (middle, high) if tried[middle] < target else (low, middle)

    def preference(factor):  # no large factor for a small difference
        miss = abs(tried[factor] - target) / target
        return round(miss, 1), abs(math.log(factor)) if miss > _NEAR else miss

    return min(tried, key=preference)


def _take_statistics(layer, run):
    """Lets a batch normalisation have the moving averages of its inputs."""
    inputs = []
    for x, mask in run.calls_of(layer):
        x = np.moveaxis(ops.convert_to_numpy(ops.cast(x, "float32")), layer.axis, -1)
        if mask is not None:
            mask = ops.convert_to_numpy(mask).astype("bool")
            over_time = mask.shape == x.shape[: mask.ndim]  # else time is folded
            x = x[mask if over_time else mask.reshape(len(mask))]
        inputs.append(x.reshape(-1, x.shape[-1]))
    x = np.concatenate(inputs)
    if layer.moving_mean.shape == x.shape[1:]:  # not one value for each time step
        layer.moving_mean.assign(x.mean(axis=0))
        layer.moving_variance.assign(x.var(axis=0))


def _forget_compiled(model):
    for layer in (model, *all_layers(model).values()):
        if isinstance(layer, keras.Model):
            backends.active().forget_compiled(layer)
