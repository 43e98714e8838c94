"""Losses over the times of spikes."""

import keras
from keras import ops

from keras_spiking.losses.classification import check_time_axis
from keras_spiking.losses.classification import one_hot
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_number


def first_spike_index(spikes):
    """Where the first spike of each neuron is.

    Args:
        spikes: Tensor `(batch, time, ...)` of 0 and 1.

    Returns:
        A tensor of booleans of the same shape, true at the first spike; all false
        for a neuron that does not fire.

    Example:

    >>> spikes = keras.ops.array([[0.0, 1.0, 1.0]])
    >>> [bool(b) for b in keras_spiking.losses.first_spike_index(spikes)[0]]
    [False, True, False]
    """
    fires = ops.cast(ops.convert_to_tensor(spikes) > 0.0, "int32")
    return ops.logical_and(fires == 1, ops.cumsum(fires, axis=1) == 1)


def first_spike_time(spikes):
    """The time step of each neuron's first spike, with a gradient.

    A neuron that does not fire has the time `timesteps`. The gradient says that a
    spike one step earlier makes the time less: it is -1 at the first spike, or,
    for a silent neuron, at every step.

    Args:
        spikes: Tensor `(batch, time, ...)` of 0 and 1.

    Returns:
        A tensor `(batch, ...)`.

    Example:

    >>> spikes = keras.ops.array([[[0.0], [1.0], [1.0]], [[0.0], [0.0], [0.0]]])
    >>> times = keras_spiking.losses.first_spike_time(spikes)
    >>> [float(t) for t in keras.ops.reshape(times, (-1,))]
    [1.0, 3.0]
    """
    spikes = ops.convert_to_tensor(spikes)
    first = ops.cast(first_spike_index(spikes), spikes.dtype)
    timesteps = spikes.shape[1]
    shape = (-1,) + (1,) * (len(spikes.shape) - 2)
    left = ops.cast(ops.arange(timesteps, 0, -1), spikes.dtype)
    time = timesteps - ops.sum(first * ops.reshape(left, shape), axis=1)
    silent = 1.0 - ops.max(first, axis=1, keepdims=True)
    moves = -ops.sum(ops.stop_gradient(first + silent) * spikes, axis=1)
    return straight_through(time, moves)


@keras.saving.register_keras_serializable("keras_spiking")
class FirstSpikeTimeLoss(keras.losses.Loss):
    """Mean squared error of the times of first spikes.

        L = mean_c (t_c - target_c)^2

    Args:
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Call arguments:
        y_true: Target times in time steps, `(batch, classes)`; `timesteps` for a
            neuron that shall not fire.
        y_pred: Spikes `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.FirstSpikeTimeLoss()
    >>> spikes = keras.ops.array([[[0.0], [0.0], [1.0]]])
    >>> float(loss(keras.ops.array([[1.0]]), spikes))
    1.0
    """

    def __init__(self, name="first_spike_time", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        check_time_axis("FirstSpikeTimeLoss", y_pred)
        error = first_spike_time(y_pred) - ops.cast(y_true, y_pred.dtype)
        return ops.mean(ops.square(error), axis=-1)


@keras.saving.register_keras_serializable("keras_spiking")
class TimeToFirstSpikeCrossentropy(keras.losses.Loss):
    """Cross-entropy of who fires first.

        L = -log softmax(-t / temperature)[y]

    Args:
        temperature: Float > 0, in time steps. Defaults to `1.0`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Call arguments:
        y_true: Integer labels `(batch,)` or one-hot labels `(batch, classes)`.
        y_pred: Spikes `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.TimeToFirstSpikeCrossentropy()
    >>> round(float(loss(keras.ops.array([3]), keras.ops.zeros((1, 5, 10)))), 3)
    2.303

    References:
        - [Göltz et al., 2021](https://arxiv.org/abs/1912.11443)
    """

    def __init__(
        self, temperature=1.0, name="time_to_first_spike_crossentropy", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.temperature = check_number("temperature", temperature, above=0.0)

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        check_time_axis("TimeToFirstSpikeCrossentropy", y_pred)
        logits = -first_spike_time(y_pred) / self.temperature
        labels = one_hot(y_true, y_pred)
        return keras.losses.categorical_crossentropy(labels, logits, from_logits=True)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("keras_spiking")
class TempotronLoss(keras.losses.Loss):
    """Squared distance to the threshold of the neurons that decide wrongly.

        L = sum_c wrong_c (V_max_c - v_threshold)^2

    A neuron is wrong if it fires (`V_max >= v_threshold`) for another class than
    its own, or does not fire for its own.

    Args:
        v_threshold: Float > 0, as of the `Tempotron`. Defaults to `1.0`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Call arguments:
        y_true: Integer labels `(batch,)` or one-hot labels `(batch, classes)`.
        y_pred: Largest potentials `(batch, classes)`.

    Example:

    >>> loss = keras_spiking.losses.TempotronLoss()
    >>> float(loss(keras.ops.array([0]), keras.ops.array([[0.5, 1.5]])))
    0.5

    References:
        - [Gütig and Sompolinsky, 2006](https://doi.org/10.1038/nn1643)
    """

    def __init__(self, v_threshold=1.0, name="tempotron", **kwargs):
        super().__init__(name=name, **kwargs)
        self.v_threshold = check_number("v_threshold", v_threshold, above=0.0)

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        excess = y_pred - self.v_threshold
        fires = ops.cast(excess >= 0.0, y_pred.dtype)
        wrong = ops.abs(fires - one_hot(y_true, y_pred))
        return ops.sum(wrong * ops.square(excess), axis=-1)

    def get_config(self):
        return {**super().get_config(), "v_threshold": self.v_threshold}
