"""Spike similarity: samples of one class should have similar spikes."""

from typing import Any

import keras
from keras import ops

from keras_spiking.losses.over_time import LossOverTime
from keras_spiking.ops.reduce import mean
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_number

KERNELS = ("linear", "polynomial", "sigmoid", "gaussian")


def kernel_dot_product(
    x: Any, y: Any, kernel: str = "linear", argument: float | None = None
) -> Any:
    """Inner products of all rows of `x` with all rows of `y` in a kernel's space.

        linear:      x^T y
        polynomial:  (x^T y)^argument
        sigmoid:     sigmoid(argument x^T y)
        gaussian:    exp(-|x - y|^2 / (2 argument^2))

    Args:
        x: Tensor `(n, features)`.
        y: Tensor `(m, features)`.
        kernel: `"linear"`, `"polynomial"`, `"sigmoid"` or `"gaussian"`. Defaults
            to `"linear"`.
        argument: Float, for all kernels but the linear one; > 0 for the Gaussian.

    Returns:
        A tensor `(n, m)`.

    Example:

    >>> x = keras.ops.eye(3)
    >>> keras_spiking.losses.kernel_dot_product(x, x).shape
    (3, 3)
    """
    check_choice("kernel", kernel, KERNELS)
    argument = _check_argument(kernel, argument)
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    product = x @ ops.transpose(y)  # `ops.matmul` is float32 at most on PyTorch
    if kernel == "linear":
        return product
    if kernel == "polynomial":
        return ops.power(product, argument)
    if kernel == "sigmoid":
        return ops.sigmoid(argument * product)
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    others = ops.expand_dims(ops.sum(ops.square(y), axis=-1), 0)
    distance = ops.relu(squares + others - 2.0 * product)
    return ops.exp(-distance / (2.0 * argument**2))


def _check_argument(kernel, argument):
    if kernel == "linear":
        if argument is not None:
            raise ValueError(
                "The linear kernel takes no `argument`: leave it out, or choose "
                f"another `kernel`. Received: argument={argument!r}"
            )
        return None
    above = 0.0 if kernel == "gaussian" else None
    return check_number("argument", argument, above=above)


@keras.saving.register_keras_serializable("keras_spiking")
class SpikeSimilarity(LossOverTime):
    """Pulls the spikes of samples with a shared label together, others apart.

        L_i = mean_j loss(similarity(S_i, S_j), do i and j share a label?)

    The similarity is `kernel_dot_product` of all spikes of two samples; the
    linear kernel is normalised, `x^T y / (|x| |y|)`.

    Args:
        kernel: See `kernel_dot_product`. Defaults to `"linear"`.
        argument: See `kernel_dot_product`. Defaults to `None`.
        loss: `"mse"`, `"l1"` or `"bce"`. Defaults to `"mse"`.
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Integer labels `(batch,)`, or labels `(batch, classes)` of 0 and 1.
        y_pred: Spikes `(batch, time, ...)`.

    Example:

    >>> loss = keras_spiking.losses.SpikeSimilarity()
    >>> spikes = keras.ops.ones((2, 4, 3))
    >>> round(float(loss(keras.ops.array([0, 1]), spikes)), 3)
    0.5
    """

    has_classes = False

    def __init__(
        self,
        kernel: str = "linear",
        argument: float | None = None,
        loss: str = "mse",
        *,
        name: str = "spike_similarity",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        self.kernel = check_choice("kernel", kernel, KERNELS)
        self.argument = _check_argument(kernel, argument)
        self.loss = check_choice("loss", loss, ("mse", "l1", "bce"))

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        y_true = ops.convert_to_tensor(y_true)
        if len(y_true.shape) == 2 and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        if len(y_true.shape) == 1:
            shared = ops.expand_dims(y_true, 0) == ops.expand_dims(y_true, 1)
        else:
            labels = ops.cast(y_true, y_pred.dtype)
            shared = labels @ ops.transpose(labels) > 0.0
        shared = ops.cast(shared, y_pred.dtype)
        x = ops.reshape(y_pred, (ops.shape(y_pred)[0], -1))
        if self.kernel == "linear":
            # Not the root of a sum that may be 0: its gradient is infinite.
            norm = ops.sum(ops.square(x), axis=-1, keepdims=True)
            x = x * ops.rsqrt(norm + 1e-8)
        similarity = kernel_dot_product(x, x, self.kernel, self.argument)
        if self.loss == "bce":
            similarity = ops.clip(similarity, 0.0, 1.0)
            return keras.losses.binary_crossentropy(shared, similarity)
        error = similarity - shared
        error = ops.square(error) if self.loss == "mse" else ops.abs(error)
        return mean(error, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel": self.kernel,
            "argument": self.argument,
            "loss": self.loss,
        }
