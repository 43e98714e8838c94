"""Classification from the outputs of all time steps."""

import keras
from keras import ops

from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class TemporalEfficientTraining(keras.losses.Loss):
    """Cross-entropy at every time step, averaged: temporal efficient training.

        L = (1 - lambda) mean_t CE(O[t], y) + lambda mean_t MSE(O[t], target)

    where the target of the second term is `target_potential` at the true class.
    The first term is what sets this loss apart from the cross-entropy of the
    mean output: every step has to be right by itself.

    Args:
        regularization: Float in [0, 1], the weight `lambda` of the second term.
            Defaults to `0.0`.
        target_potential: Float, the output that the second term asks for at the
            true class; it asks for 0 elsewhere. Usually the threshold of the
            neurons. Defaults to `1.0`.
        from_logits: Boolean, whether outputs are logits (membrane potentials,
            currents or spikes) or probabilities. Defaults to `True`.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Call arguments:
        y_true: Integer labels `(batch,)` or `(batch, 1)`, or one-hot labels
            `(batch, classes)`.
        y_pred: Outputs `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.TemporalEfficientTraining()
    >>> outputs = keras.ops.zeros((2, 5, 10))
    >>> round(float(loss(keras.ops.array([3, 7]), outputs)), 3)
    2.303

    References:
        - [Deng et al., 2022](https://arxiv.org/abs/2202.11946)
    """

    def __init__(
        self,
        regularization=0.0,
        target_potential=1.0,
        from_logits=True,
        name="temporal_efficient_training",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.regularization = check_number(
            "regularization", regularization, minimum=0.0
        )
        if regularization > 1.0:
            raise ValueError(
                "`regularization` must be at most 1. "
                f"Received: regularization={regularization}"
            )
        self.target_potential = check_number("target_potential", target_potential)
        self.from_logits = bool(from_logits)

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        check_time_axis("TemporalEfficientTraining", y_pred)
        labels = ops.expand_dims(one_hot(y_true, y_pred), 1)
        labels = ops.broadcast_to(labels, ops.shape(y_pred))
        loss = keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=self.from_logits
        )
        if self.regularization:
            error = ops.square(y_pred - self.target_potential * labels)
            error = ops.mean(error, axis=-1)
            loss = loss + self.regularization * (error - loss)
        return ops.mean(loss, axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "regularization": self.regularization,
            "target_potential": self.target_potential,
            "from_logits": self.from_logits,
        }


@keras.saving.register_keras_serializable("keras_spiking")
class FiringRateMSE(keras.losses.Loss):
    """Mean squared error between firing rates and one-hot labels.

        L = mean_c (mean_t S[t, c] - y[c])^2

    Args:
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Call arguments:
        y_true: Integer labels `(batch,)` or `(batch, 1)`, or one-hot labels
            or target rates `(batch, classes)`.
        y_pred: Spikes `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.FiringRateMSE()
    >>> float(loss(keras.ops.array([0, 1]), keras.ops.zeros((2, 8, 4))))
    0.25
    """

    def __init__(self, name="firing_rate_mse", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        check_time_axis("FiringRateMSE", y_pred)
        rate = ops.mean(y_pred, axis=1)
        return ops.mean(ops.square(rate - one_hot(y_true, y_pred)), axis=-1)


def check_time_axis(name, y_pred):
    if len(y_pred.shape) != 3:
        raise ValueError(
            f"{name} needs the outputs of every time step, (batch, time, "
            f"classes). Received `y_pred` of shape {tuple(y_pred.shape)}. If the "
            "model averages over time, use a loss of keras.losses."
        )


def one_hot(y_true, y_pred):
    classes = y_pred.shape[-1]
    y_true = ops.convert_to_tensor(y_true)
    if len(y_true.shape) == 2 and y_true.shape[-1] == classes:
        return ops.cast(y_true, y_pred.dtype)
    if len(y_true.shape) == 2 and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if len(y_true.shape) != 1:
        raise ValueError(
            "`y_true` must be integer labels (batch,) or one-hot labels (batch, "
            f"{classes}). Received `y_true` of shape {tuple(y_true.shape)}."
        )
    return ops.one_hot(ops.cast(y_true, "int32"), classes, dtype=y_pred.dtype)
