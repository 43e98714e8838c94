"""Rounds learned delays, and says what that changes."""

import contextlib
import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers.synapses.delay_line import LearnedDelays
from keras_spiking.validation import check_integer

__all__ = ["DelayReport", "round_delays"]

# So narrow that a Gaussian at a whole delay is one step.
_NARROW = 0.05


@dataclasses.dataclass
class DelayReport:
    """What `round_delays` returns; printing it shows a table.

    Attributes:
        layers: Dictionary: the name of each layer, and the differences between its
            delays and the rounded ones, an array.
        output_change: Float, the largest difference between an output before and
            after, or `None` without inputs.
        changed_decisions: Float, the share of samples, or of their steps, whose
            largest output has become another: an upper bound of the accuracy that is
            lost. `None` without inputs.
    """

    layers: dict[str, np.ndarray]
    output_change: float | None = None
    changed_decisions: float | None = None

    def __str__(self):
        lines = [f"{'layer':32}{'delays':>10}{'mean change':>14}{'largest':>10}"]
        lines += [
            f"{name[:31]:32}{x.size:10,}{np.mean(x):14.3f}{np.max(x):10.3f}"
            for name, x in self.layers.items()
        ]
        if self.output_change is not None:
            lines += [
                "",
                f"largest change of an output: {self.output_change:.4g}",
                f"decisions that change: {self.changed_decisions:.2%}",
            ]
        return "\n".join(lines)


def round_delays(
    model: keras.layers.Layer, inputs: Any = None, *, batch_size: int = 32
) -> DelayReport:
    """Rounds the learned delays of a model to whole time steps, in place.

    Afterwards `training=True` computes with the same delays as inference: Gaussians
    have become so narrow that all passes at one step. To train the weights on, set
    `layer.delay.trainable = False` and compile again.

    Args:
        model: Keras model or layer with `DelayedDense` or `LearnableDelay` layers.
        inputs: Array or tensor of inputs of the model, or `None`. With them, the
            outputs with delays as they were trained are compared with those with
            rounded ones. Defaults to `None`.
        batch_size: Integer >= 1, for `inputs`. Defaults to `32`.

    Returns:
        A `DelayReport`.

    Raises:
        ValueError: if there are no learned delays, they are not built, or a delay is
            not finite or out of range.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((20, 3)),
    ...         keras_spiking.layers.DelayedDense(4, sigma=0.5, name="synapses"),
    ...     ]
    ... )
    >>> report = keras_spiking.utils.round_delays(model)
    >>> report.layers["synapses"].shape
    (3, 4)
    >>> bool(report.layers["synapses"].max() <= 0.5)
    True
    """
    batch_size = check_integer("batch_size", batch_size, minimum=1)
    found = {
        name: layer
        for name, layer in all_layers(model).items()
        if isinstance(layer, LearnedDelays)
    }
    if not found:
        raise ValueError(
            f"'{model.name}' has no learned delays: no DelayedDense and no "
            "LearnableDelay."
        )
    whole = {name: _rounded(name, layer) for name, layer in found.items()}
    before = _outputs(model, found.values(), inputs, batch_size)
    changes = {}
    for name, layer in found.items():
        delay = ops.convert_to_numpy(layer.delay)
        changes[name] = np.abs(delay - whole[name])
        layer.delay.assign(whole[name])
        if layer.delay_kernel == "gaussian":
            layer.sigma.assign(_NARROW)
    if inputs is None:
        return DelayReport(changes)
    after = _outputs(model, found.values(), inputs, batch_size)
    decisions = before.argmax(axis=-1) != after.argmax(axis=-1)
    return DelayReport(
        changes, float(np.max(np.abs(after - before))), float(np.mean(decisions))
    )


def _rounded(name, layer):
    if not layer.built:
        raise ValueError(
            f"Layer '{name}' has no delays yet: build the model, or call it once."
        )
    delay = ops.convert_to_numpy(layer.delay)
    if not np.all((delay >= 0.0) & (delay <= layer.max_delay)):  # nor NaN
        raise ValueError(
            f"The delays of layer '{name}' must be from 0 to "
            f"max_delay={layer.max_delay}. They go from {np.min(delay)} to "
            f"{np.max(delay)}."
        )
    return np.rint(delay)


def _outputs(model, layers, inputs, batch_size):
    """Outputs at inference, with delays that are not rounded on the way."""
    if inputs is None:
        return None
    outputs = []
    with _not_rounded(layers):
        for start in range(0, len(inputs), batch_size):
            # Called, not by `predict`, whose compiled function may round.
            y = model(inputs[start : start + batch_size], training=False)
            outputs.append(ops.convert_to_numpy(ops.stop_gradient(y)))
    return np.concatenate(outputs).astype("float64")


@contextlib.contextmanager
def _not_rounded(layers):
    given = [(layer, layer.round_at_inference) for layer in layers]
    try:
        for layer, _ in given:
            layer.round_at_inference = False
        yield
    finally:
        for layer, rounds in given:
            layer.round_at_inference = rounds
