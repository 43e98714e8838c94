from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.layers.made_in_build import MadeInBuild
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.time_loop import hold
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer


@keras.saving.register_keras_serializable("keras_spiking")
class LinearRecurrent(MadeInBuild, StepByStep):
    """A recurrent network: a dense layer of the next input and the last output.

        Y[t] = layers([X[t], Y[t-1]] W + b),    Y[-1] = 0

    Args:
        layer: Keras layer, model, or list of layers. See `StepByStep`.
        units: Integer >= 1, the number of features that the dense layer hands to the
            layers, or `None`: as many as the input has. Defaults to `None`.
        use_bias: Boolean. Defaults to `True`.
        kernel_initializer: Initializer of `W`. Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of `b`. Defaults to `"zeros"`.
        reduce: What to return over time: `None` for the outputs of all steps, or
            `"mean"`, `"sum"` or `"last"`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ..., features)`.
        mask: Boolean tensor `(batch, time)`, see `StepByStep`. In masked steps `Y`
            stays as it was.

    Input shape:
        `(batch, time, ..., features)`.

    Output shape:
        `(batch, time, ..., outputs)`; without the time axis if `reduce` is given.

    Raises:
        ValueError: if the layers change other axes than the last one.

    Example:

    >>> recurrent = keras_spiking.layers.LinearRecurrent(
    ...     [keras_spiking.layers.LIFLayer(), keras.layers.Dense(3)], units=8
    ... )
    >>> tuple(recurrent(keras.ops.ones((2, 5, 4))).shape)
    (2, 5, 3)
    >>> tuple(recurrent.connection.kernel.shape)
    (7, 8)

    References:
        - [Fang et al., 2023](https://arxiv.org/abs/2310.16620)
    """

    def __init__(
        self,
        layer: Any,
        *,
        units: int | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        reduce: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(layer, reduce=reduce, **kwargs)
        if units is not None:
            units = check_integer("units", units, minimum=1)
        self.units = units
        self.use_bias = check_bool("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape):
        *axes, features = self.step_shape(input_shape)
        units = features if self.units is None else self.units
        self.connection = self.make_dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            dtype=self.dtype_policy,
            name="connection",
        )
        # The layers tell how many outputs there are to be fed back.
        super().build((*input_shape[:-1], units))
        *others, outputs = self.step_output.shape
        if tuple(others[1:]) != tuple(axes[1:]):
            raise ValueError(
                f"The output of LinearRecurrent '{self.name}' is fed back and must "
                "have the shape of its input but for the last axis. Received features "
                f"of shape {(*axes[1:], features)} and an output of "
                f"{(*others[1:], outputs)}."
            )
        self.connection.build((*axes, features + outputs))

    def made_in_build(self):
        return [self.connection]

    def call_step(self, x, mask=None, training=None):
        if not self.connection.built:
            return super().call_step(x, mask, training)
        slot = streaming.Slot()
        previous = slot.previous
        if previous is None:
            shape = (*ops.shape(x)[:-1], self.step_output.shape[-1])
            previous = ops.zeros(shape, dtype=self.compute_dtype)
        current = self.connection(ops.concatenate([x, previous], axis=-1))
        y = super().call_step(current, mask, training)
        slot.put(y if mask is None else hold(mask, y, previous))
        return y

    def get_config(self):
        config = super().get_config()
        del config["timesteps"]
        return {
            **config,
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
