"""Metrics of spikes: rates, silence, synaptic operations, accuracy over time."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.validation import check_array
from keras_spiking.validation import check_fan_out
from keras_spiking.validation import check_timesteps

__all__ = [
    "AccuracyAtEveryTimeStep",
    "FiringRate",
    "SilentFraction",
    "SynapticOperations",
]


@keras.saving.register_keras_serializable("keras_spiking.metrics")
class FiringRate(keras.metrics.Mean):
    """Mean firing rate of an output, in spikes per neuron and time step.

    Args:
        name: Name of the metric.
        dtype: Dtype of the metric. Defaults to `keras.config.floatx()`.

    Example:

    >>> metric = keras_spiking.metrics.FiringRate()
    >>> metric.update_state(None, keras.ops.array([[[0.0], [1.0]]]))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str = "firing_rate", *, dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None):
        y_pred = ops.convert_to_tensor(y_pred)
        axes = tuple(range(1, len(y_pred.shape)))
        return super().update_state(ops.mean(y_pred, axis=axes), sample_weight)


@keras.saving.register_keras_serializable("keras_spiking.metrics")
class SilentFraction(keras.metrics.Mean):
    """Fraction of neurons that never fire within a sample, averaged over samples.

    Args:
        name: Name of the metric.
        dtype: Dtype of the metric. Defaults to `keras.config.floatx()`.

    Example:

    >>> metric = keras_spiking.metrics.SilentFraction()
    >>> metric.update_state(None, keras.ops.array([[[0.0, 1.0], [0.0, 1.0]]]))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str = "silent_fraction", *, dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None):
        spikes = ops.sum(ops.abs(ops.convert_to_tensor(y_pred)), axis=1)
        silent = ops.cast(spikes == 0.0, self.dtype)
        axes = tuple(range(1, len(silent.shape)))
        return super().update_state(ops.mean(silent, axis=axes), sample_weight)


@keras.saving.register_keras_serializable("keras_spiking.metrics")
class SynapticOperations(keras.metrics.Mean):
    """Synaptic operations per sample: spikes times the synapses behind each.

    Args:
        fan_out: Float >= 0, the number of synapses per neuron, such as `units` of a
            following `Dense`; or an array of the features' shape, one for each neuron,
            such as `keras_spiking.energy.fan_out` returns it for a convolution.
        name: Name of the metric.
        dtype: Dtype of the metric. Defaults to `keras.config.floatx()`.

    Example:

    >>> metric = keras_spiking.metrics.SynapticOperations(fan_out=10)
    >>> metric.update_state(None, keras.ops.array([[[0.0, 1.0], [1.0, 1.0]]]))
    >>> float(metric.result())
    30.0
    """

    def __init__(
        self,
        fan_out: ArrayLike,
        *,
        name: str = "synaptic_operations",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.fan_out = check_array("fan_out", fan_out, minimum=0.0)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None):
        y_pred = ops.convert_to_tensor(y_pred)
        check_fan_out(self.fan_out, y_pred)
        operations = ops.cast(y_pred != 0.0, self.dtype) * self.fan_out
        axes = tuple(range(1, len(operations.shape)))
        return super().update_state(ops.sum(operations, axis=axes), sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fan_out": np.asarray(self.fan_out).tolist()}


@keras.saving.register_keras_serializable("keras_spiking.metrics")
class AccuracyAtEveryTimeStep(keras.metrics.Metric):
    """Accuracy of what a network says after 1, 2, ... time steps.

    A class is predicted from the sum of the outputs up to a step. The result has
    one value a step: how long has one to wait for a good answer?

    Args:
        timesteps: Integer >= 1, the number of time steps.
        name: Name of the metric.
        dtype: Dtype of the metric. Defaults to `keras.config.floatx()`.

    Example:

    >>> metric = keras_spiking.metrics.AccuracyAtEveryTimeStep(2)
    >>> outputs = keras.ops.array([[[1.0, 0.0], [0.0, 2.0]]])
    >>> metric.update_state(keras.ops.array([1]), outputs)
    >>> [float(a) for a in metric.result()]
    [0.0, 1.0]
    """

    def __init__(
        self,
        timesteps: int,
        *,
        name: str = "accuracy_at_every_time_step",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.timesteps = check_timesteps(timesteps)
        self.correct = self.add_weight(
            shape=(self.timesteps,), initializer="zeros", name="correct"
        )
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None):
        y_pred = ops.convert_to_tensor(y_pred)
        if len(y_pred.shape) != 3 or y_pred.shape[1] not in (None, self.timesteps):
            raise ValueError(
                f"AccuracyAtEveryTimeStep needs outputs (batch, {self.timesteps}, "
                f"classes). Received `y_pred` of shape {tuple(y_pred.shape)}."
            )
        y_true = ops.convert_to_tensor(y_true)
        if len(y_true.shape) == 2:
            one_hot = y_true.shape[-1] != 1
            y_true = ops.argmax(y_true, -1) if one_hot else ops.squeeze(y_true, -1)
        predicted = ops.argmax(ops.cumsum(y_pred, axis=1), axis=-1)
        labels = ops.expand_dims(ops.cast(y_true, predicted.dtype), 1)
        correct = ops.cast(predicted == labels, self.dtype)
        weight = ops.ones_like(correct[:, 0])
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
        correct = ops.sum(correct * ops.expand_dims(weight, 1), axis=0)
        self.correct.assign_add(correct)
        self.count.assign_add(ops.sum(weight))

    def result(self) -> Any:
        count = ops.convert_to_tensor(self.count)
        return self.correct / ops.where(count > 1.0, count, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "timesteps": self.timesteps}
