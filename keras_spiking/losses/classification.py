"""Classification from the outputs of all time steps."""

from typing import Any

import keras
from keras import ops

from keras_spiking.losses.over_time import LossOverTime
from keras_spiking.losses.over_time import one_hot
from keras_spiking.ops.reduce import mean
from keras_spiking.ops.reduce import reduce_time
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class TemporalEfficientTraining(LossOverTime):
    """Cross-entropy at every time step, averaged: temporal efficient training.

        L = (1 - lambda) mean_t CE(O[t], y) + lambda mean_t MSE(O[t], target)

    where the target of the second term is `target_potential` at the true class.
    Unlike the cross-entropy of the mean output, the first term requires every step
    to be right by itself.

    Args:
        regularization: Float in [0, 1], the weight `lambda` of the second term.
            Defaults to `0.0`.
        target_potential: Float, the target of the second term at the true class;
            the target of the others is 0. Usually the threshold of the neurons.
            Defaults to `1.0`.
        from_logits: Boolean, whether outputs are logits (membrane potentials,
            currents or spikes) or probabilities. Defaults to `True`.
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

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
        regularization: float = 0.0,
        target_potential: float = 1.0,
        from_logits: bool = True,
        *,
        name: str = "temporal_efficient_training",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        self.regularization = check_number(
            "regularization", regularization, minimum=0.0, maximum=1.0
        )
        self.target_potential = check_number("target_potential", target_potential)
        self.from_logits = check_bool("from_logits", from_logits)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        labels = ops.expand_dims(one_hot(y_true, y_pred), 1)
        labels = ops.broadcast_to(labels, ops.shape(y_pred))
        loss = keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=self.from_logits
        )
        if self.regularization:
            error = ops.square(y_pred - self.target_potential * labels)
            error = mean(error, axis=-1)
            loss = loss + self.regularization * (error - loss)
        return reduce_time(loss, "mean", mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "regularization": self.regularization,
            "target_potential": self.target_potential,
            "from_logits": self.from_logits,
        }


@keras.saving.register_keras_serializable("keras_spiking")
class FiringRateMSE(LossOverTime):
    """Mean squared error between firing rates and one-hot labels.

        L = mean_c (mean_t S[t, c] - y[c])^2

    Args:
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Integer labels `(batch,)` or `(batch, 1)`, or one-hot labels
            or target rates `(batch, classes)`.
        y_pred: Spikes `(batch, time, classes)`.

    Example:

    >>> loss = keras_spiking.losses.FiringRateMSE()
    >>> float(loss(keras.ops.array([0, 1]), keras.ops.zeros((2, 8, 4))))
    0.25
    """

    def __init__(
        self,
        *,
        name: str = "firing_rate_mse",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        rate = reduce_time(y_pred, "mean", mask)
        return mean(ops.square(rate - one_hot(y_true, y_pred)), axis=-1)
