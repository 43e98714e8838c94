"""The base class of losses over all time steps."""

from typing import Any

import keras
from keras import ops

from keras_spiking.described import Described


class _MaskOf(keras.layers.Layer):
    """Returns the mask that its input carries: only layers are told by Keras."""

    def __init__(self):
        super().__init__(autocast=False)
        self.supports_masking = True

    def call(self, x, mask=None):
        return mask


class LossOverTime(Described, keras.losses.Loss):
    """Base class of losses over outputs `(batch, time, ...)`: override `per_sample`.

    Keras weights the values of a loss by the mask that its outputs carry. Losses of
    this kind have one value per sample, and are given the mask of the time steps.
    """

    has_classes = True  # outputs are (batch, time, classes)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Where tensors take attributes the mask is one, and a layer costs time.
        has_attributes = hasattr(y_pred, "__dict__")
        mask = vars(y_pred).get("_keras_mask") if has_attributes else _MaskOf()(y_pred)
        outputs = y_pred if mask is None else (y_pred, mask)
        return super().__call__(y_true, outputs, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred, mask = y_pred if isinstance(y_pred, tuple) else (y_pred, None)
        y_pred = ops.convert_to_tensor(y_pred)
        if self.has_classes and len(y_pred.shape) != 3:
            raise ValueError(
                f"{type(self).__name__} needs the outputs of every time step, (batch, "
                f"time, classes). Received `y_pred` of shape {tuple(y_pred.shape)}. If "
                "the model averages over time, use a loss of keras.losses."
            )
        return self.per_sample(y_true, y_pred, mask)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        """The loss of each sample, `(batch,)`."""
        raise NotImplementedError


def one_hot(y_true: Any, y_pred: Any) -> Any:
    """Labels as one-hot labels for the classes of the outputs."""
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
