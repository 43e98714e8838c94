from typing import Any

import keras
from keras import ops


def straight_through(value: Any, like: Any) -> Any:
    """`value`, to the last bit, with the gradient of `like`.

    Args:
        value: Tensor, the result of the forward pass.
        like: Tensor of the same shape and dtype, which receives the gradient. Where
            it is not finite it receives none.
    """
    if any(isinstance(x, keras.KerasTensor) for x in (value, like)):
        return StraightThrough().symbolic_call(value, like)
    value, like = (ops.convert_to_tensor(x) for x in (value, like))
    # Exactly 0, so that no bit of `value` changes, not even the sign of a zero.
    zero = ops.where(ops.abs(like) < float("inf"), ops.stop_gradient(like) - like, 0.0)
    return ops.stop_gradient(value) - zero


@keras.saving.register_keras_serializable("keras_spiking.ops")
class StraightThrough(keras.Operation):
    """What symbolic tensors record of `straight_through`; kernels know its name."""

    def call(self, value, like):
        return straight_through(value, like)

    def compute_output_spec(self, value, like):
        return keras.KerasTensor(value.shape, dtype=value.dtype)
