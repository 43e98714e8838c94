from collections.abc import Callable
from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.time_loop import hold


@keras.saving.register_keras_serializable("keras_spiking")
class ElementwiseRecurrent(StepByStep):
    """A recurrent network: the output of a step is combined with the next input.

        Y[t] = layers(function(X[t], Y[t-1])),    Y[-1] = 0

    Args:
        layer: Keras layer, model, or list of layers, whose output has the shape
            of its input. See `StepByStep`.
        function: Element-wise function of `X[t]` and `Y[t-1]`: a callable, or the
            name of an operation in `keras.ops` such as `"add"`, `"multiply"`,
            `"maximum"`. Defaults to `"add"`.
        reduce: What to return over time: `None` for the outputs of all steps, or
            `"mean"`, `"sum"` or `"last"`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        mask: Boolean tensor `(batch, time)`, see `StepByStep`. In masked steps `Y`
            stays as it was.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `reduce` is given.

    Raises:
        ValueError: if the output has another shape than the input.

    Example:

    >>> recurrent = keras_spiking.layers.ElementwiseRecurrent(
    ...     [keras.layers.Dense(8), keras_spiking.layers.LIFLayer()]
    ... )
    >>> tuple(recurrent(keras.ops.ones((2, 5, 8))).shape)
    (2, 5, 8)

    References:
        - [Fang et al., 2023](https://arxiv.org/abs/2310.16620)
    """

    def __init__(
        self,
        layer: Any,
        function: str | Callable[[Any, Any], Any] = "add",
        *,
        reduce: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(layer, reduce=reduce, **kwargs)
        self.function = _get_function(function)

    def build(self, input_shape):
        super().build(input_shape)
        shape = self.step_shape(input_shape)
        if self.step_output.shape[1:] != shape[1:]:
            raise ValueError(
                f"The output of ElementwiseRecurrent '{self.name}' is fed back "
                "and must have the shape of its input. Received features of "
                f"shape {shape[1:]} and an output of {self.step_output.shape[1:]}."
            )

    def call_step(self, x, mask=None, training=None):
        slot = streaming.Slot()
        previous = ops.zeros_like(x) if slot.previous is None else slot.previous
        y = super().call_step(self.function(x, previous), mask, training)
        if mask is None:
            slot.put(y)
        else:
            slot.put(hold(mask, y, previous))
        return y

    def get_config(self):
        config = super().get_config()
        del config["timesteps"]
        function = self.function
        name = getattr(function, "__name__", "")
        if getattr(ops, name, None) is function:
            # Where Keras reads HDF5 files, it replaces "add" alone by its layer.
            function = f"keras.ops.{name}"
        else:
            function = keras.saving.serialize_keras_object(function)
        return {**config, "function": function}


def _get_function(given):
    function = given
    if isinstance(function, dict):
        function = keras.saving.deserialize_keras_object(function)
    if isinstance(function, str):
        name = function.removeprefix("keras.ops.")
        function = None if name.startswith("_") else getattr(ops, name, None)
    if not callable(function):
        raise ValueError(
            "`function` must be a callable of two tensors or the name of an "
            f"operation in keras.ops. Received: function={given!r}"
        )
    return function
