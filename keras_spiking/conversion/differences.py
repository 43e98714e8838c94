from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.options import LayerOptions
from keras_spiking.nested_config import with_objects
from keras_spiking.validation import check_keywords


@keras.saving.register_keras_serializable("keras_spiking")
class Differences(keras.layers.Layer):
    """Any function of the mean input, as a sum over time steps.

        M[t] = (X[1] + ... + X[t]) / t
        Y[t] = t f(M[t]) - (t - 1) f(M[t-1])

    The outputs of all steps up to `t` add up to `t f(M[t])`: their mean is the function
    of the mean input, exactly, after every number of steps and however the input
    varies. That holds for functions of several inputs, too, such as the product of two
    spike trains. The outputs are real numbers, no spikes: neurons turn them into
    spikes. It runs inside of a `StepByStep`, one step at a time.

    Sums are kept in float32. Inputs that are not floats, such as masks, are the
    same in all steps and passed on as they are.

    Args:
        function: Keras model, the function of one or several inputs `(batch, ...)`.
            It has one output, and no state.

    Call arguments:
        inputs: Tensor `(batch, ...)`, or a list of these if the function takes
            several.

    Input shape:
        As the function's.

    Output shape:
        As the function's.

    Raises:
        TypeError: if `function` is not a Keras model.

    Example:

    >>> a, b = keras.Input((4,)), keras.Input((4,))
    >>> product = keras.Model([a, b], a * b)
    >>> keras_spiking.conversion.Differences(product)([a, b]).shape
    (None, 4)

    References:
        - [You et al., 2024](https://arxiv.org/abs/2406.03470)
        - [Jiang et al., 2024](https://openreview.net/forum?id=XrunSYwoLr)
    """

    def __init__(self, function: Any, **kwargs: Unpack[LayerOptions]):
        check_keywords(type(self), kwargs)
        super().__init__(**kwargs)
        if not isinstance(function, keras.Model):
            raise TypeError(
                "`function` must be a Keras model of what is computed. Received: "
                f"function={function!r} (of type {type(function).__name__})"
            )
        self.function = function

    def call(self, inputs):
        x = keras.tree.flatten(inputs)
        slot = streaming.Slot()
        sums = [ops.cast(v, "float32") if _varies(v) else v for v in x]
        time, before = ops.ones((), "float32"), None
        if slot.previous is not None:
            previous, before, time = slot.previous
            time = time + 1.0
            varying = iter(previous)
            sums = [next(varying) + s if _varies(s) else s for s in sums]
        means = [
            ops.cast(s / time, v.dtype) if _varies(v) else v for s, v in zip(sums, x)
        ]
        y = self.function(means if len(means) > 1 else means[0])
        total = time * ops.cast(y, "float32")
        slot.put(([s for s in sums if _varies(s)], total, time))
        return ops.cast(total if before is None else total - before, y.dtype)

    def compute_output_spec(self, inputs):
        shapes = [v.shape for v in keras.tree.flatten(inputs)]
        shape = self.function.compute_output_shape(
            shapes if len(shapes) > 1 else shapes[0]
        )
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        function = keras.saving.serialize_keras_object(self.function)
        return {**super().get_config(), "function": function}

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "function"))


def _varies(x):
    return keras.backend.is_float_dtype(x.dtype)
