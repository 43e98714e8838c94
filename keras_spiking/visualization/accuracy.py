"""How right a classifier is, had its input ended after each time step."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking.energy.observation import to_array
from keras_spiking.inspection import hooks
from keras_spiking.layers.containers.step_by_step import StepByStep

POINTS = 20  # of the curve, each of which is a run of the readout


@dataclasses.dataclass
class Accuracy:
    """What `accuracy_over_time` returns.

    Attributes:
        value: Float, the accuracy of the model.
        steps: Array, after how many time steps the others are.
        values: Array, the accuracy then.
        how: String, what the curve shows, or why there is none.
    """

    value: float
    steps: Any
    values: Any
    how: str


class _NoCurveError(Exception):
    """Says why there is no curve."""


def check_labels(y: Any, samples: int) -> np.ndarray:
    """Returns labels as integers, one for each sample."""
    labels = np.asarray(y if isinstance(y, np.ndarray) else ops.convert_to_numpy(y))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all():
        if np.all(labels.sum(1) == 1):
            labels = labels.argmax(1)
    whole = labels.dtype.kind in "iu" or (
        labels.dtype.kind == "f" and np.all(labels == np.round(labels))
    )
    if labels.ndim != 1 or len(labels) != samples or not whole:
        raise ValueError(
            f"`y` must be a class for each of the {samples} samples, as integers or "
            f"one-hot. Received: an array of shape {labels.shape}, dtype "
            f"{labels.dtype}. For other targets leave out `y`."
        )
    return labels.astype("int64")


def accuracy_over_time(
    model: keras.layers.Layer, parts: list, outputs: Any, labels: np.ndarray
) -> Accuracy:
    """The accuracy of a model, and that after fewer time steps.

    Args:
        model: Keras model of classes.
        parts: List of batches of inputs.
        outputs: Outputs of the model for all of them.
        labels: Array of integers.

    Raises:
        ValueError: if the outputs are no scores of classes.
    """
    scores = keras.tree.flatten(outputs)
    if len(scores) != 1 or scores[0].ndim not in (2, 3) or scores[0].shape[-1] < 2:
        raise ValueError(
            "Accuracy needs one output of shape (batch, classes) or (batch, time, "
            "classes), of at least two classes. Received outputs of shape "
            f"{[s.shape for s in scores]}. Leave out `y`."
        )
    (scores,) = scores
    if labels.max() >= scores.shape[-1] or labels.min() < 0:
        raise ValueError(
            f"`y` must be classes from 0 to {scores.shape[-1] - 1}, as many as the "
            f"model has outputs. Received: classes from {labels.min()} to "
            f"{labels.max()}."
        )
    if scores.ndim == 3:
        steps = _points(scores.shape[1])
        how = "the mean of the outputs up to each step"
        sequence = scores.cumsum(1)[:, steps - 1]
        values = _accuracy(sequence, labels)
        return Accuracy(float(values[-1]), steps, values, how)
    value = float(_accuracy(scores[:, None], labels)[0])
    try:
        steps, sequence, name = _prefixes(model, parts)
    except _NoCurveError as reason:
        return Accuracy(value, np.zeros(0, int), np.zeros(0), f"not shown: {reason}")
    how = f"'{name}' sees the steps up to each one only"
    return Accuracy(value, steps, _accuracy(sequence, labels), how)


def _points(timesteps):
    count = min(timesteps, POINTS)
    return np.unique(np.linspace(1, timesteps, count).round().astype(int))


def _accuracy(scores, labels):
    """Of scores `(batch, points, classes)`, for each point."""
    return (scores.argmax(-1) == labels[:, None]).mean(0)


def _prefixes(model, parts):
    """Outputs `(batch, points, classes)` of a model whose last reduction over time sees
    only the first steps, and the name of that layer."""
    reducing = [layer for layer in _chain(model) if _reduces(layer)]
    if not reducing:
        raise _NoCurveError(
            "no layer of the model itself is known to reduce over time (such as "
            "LILayer(reduce=...), FiringRate or StepByStep(reduce=...))"
        )
    layer = reducing[-1]
    head = _head(model, layer)
    found = []

    def hook(call, inputs, *args, mask=None, **kwargs):
        kwargs = kwargs if mask is None else {**kwargs, "mask": mask}
        run = _stepwise if isinstance(layer, StepByStep) else _again
        found.append(run(layer, call, inputs, mask, args, kwargs))
        return call(inputs, *args, **kwargs)

    curves = []
    for x in parts:
        found.clear()
        with keras.StatelessScope():
            with hooks.around([(layer, "call", hook)]):
                x = keras.tree.map_structure(ops.convert_to_tensor, x)
                model(x, training=False)
            if len(found) != 1:
                raise _NoCurveError(f"the model calls '{layer.name}' more than once")
            ((steps, prefixes),) = found
            if prefixes[0].ndim < 2:
                raise _NoCurveError(f"'{layer.name}' returns no features")
            scores = [head(ops.convert_to_tensor(p)) for p in prefixes]
        curves.append(np.stack([to_array(s) for s in scores], axis=1))
    return steps, np.concatenate(curves), layer.name


def _chain(model):
    """The layers of a model, those of sequential models inside of it too."""
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.Sequential):
            yield from _chain(layer)
        else:
            yield layer


def _reduces(layer):
    if isinstance(layer, keras.layers.RNN):
        return not layer.return_sequences
    return getattr(layer, "removes_time_axis", False) is True


def _head(model, layer):
    """What a model does with the outputs of a layer, as a function."""
    if isinstance(model, keras.Sequential):
        chain = list(_chain(model))
        behind = chain[[y is layer for y in chain].index(True) + 1 :]

        def head(x):
            for y in behind:
                x = y(x, training=False)
            return x

        return head
    return _tail(layer, model.outputs)


def _tail(layer, outputs):
    reason = f"what comes behind '{layer.name}' is no function of its outputs alone"
    try:
        tensor = layer.output
        if len(outputs) == 1 and outputs[0] is tensor:
            return lambda x: x
        tail = keras.Model(tensor, outputs)
    except (AttributeError, ValueError, RuntimeError):
        raise _NoCurveError(reason) from None

    def head(x):
        try:
            return keras.tree.flatten(tail(x, training=False))[0]
        except KeyError:  # Keras before 3.14 sees here what is missing
            raise _NoCurveError(reason) from None

    return head


def _again(layer, call, inputs, mask, args, kwargs):
    """The layer on the first steps, for several numbers of them."""
    steps = _points(inputs.shape[1])
    outputs = []
    for n in steps:
        if mask is not None:
            kwargs = {**kwargs, "mask": mask[:, :n]}
        try:
            y = call(inputs[:, :n], *args, **kwargs)
        except (TypeError, ValueError):
            raise _NoCurveError(f"'{layer.name}' takes no shorter sequences") from None
        outputs.append(to_array(y[0] if isinstance(y, (list, tuple)) else y))
    return steps, outputs


def _stepwise(layer, call, inputs, mask, args, kwargs):
    """Reductions over the first steps of a `StepByStep`, which runs once."""
    reduce = layer.reduce
    vars(layer)["reduce"] = None
    try:
        y = call(inputs, *args, **kwargs)
    finally:
        vars(layer)["reduce"] = reduce
    if mask is not None or isinstance(y, (list, tuple)):
        raise _NoCurveError(f"'{layer.name}' has a mask or several outputs")
    y = to_array(y)
    steps = _points(y.shape[1])
    if reduce == "last":
        return steps, [y[:, n - 1] for n in steps]
    total = y.cumsum(1, dtype="float64").astype("float32")
    return steps, [total[:, n - 1] / (n if reduce == "mean" else 1) for n in steps]
