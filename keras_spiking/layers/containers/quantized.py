from typing import Any
from typing import Unpack

import keras

from keras_spiking import quantizers
from keras_spiking.layers.options import Explicit
from keras_spiking.layers.options import LayerOptions
from keras_spiking.validation import check_keywords


@keras.saving.register_keras_serializable("keras_spiking")
class Quantized(Explicit, keras.layers.Wrapper):
    """Trains a layer such as Dense or Conv2D with quantised weights.

    The layer computes with `quantizer(weight)` while the optimizer moves the
    float weight: quantisation-aware training. `model.quantize` of Keras, which has a
    grid of its own, leaves the layer as it is, and warns.

    Args:
        layer: Keras layer with a `kernel` and possibly a `bias`.
        kernel_quantizer: Callable, or a name, see `keras_spiking.quantizers.get`.
            Defaults to `"loihi"`.
        bias_quantizer: The same for the bias. Defaults to `None`, a float bias.

    Call arguments:
        inputs: As the layer's.

    Raises:
        ValueError: if the layer has no kernel, or Keras has quantised it.

    Example:

    >>> layer = keras_spiking.layers.Quantized(keras.layers.Dense(3))
    >>> tuple(layer(keras.ops.ones((2, 5, 4))).shape)
    (2, 5, 3)
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        *,
        kernel_quantizer: Any = "loihi",
        bias_quantizer: Any = None,
        **kwargs: Unpack[LayerOptions],
    ):
        check_keywords(type(self), kwargs)
        super().__init__(layer, **kwargs)
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(
                f"Quantized trains float weights, and Keras has quantised layer "
                f"'{layer.name}'. Wrap it before `model.quantize`, which leaves out "
                f"what is wrapped. Received: dtype={layer.dtype_policy.name!r}"
            )
        layer.quantize = self._refuse_quantize
        self.kernel_quantizer = quantizers.get(kernel_quantizer)
        self.bias_quantizer = quantizers.get(bias_quantizer)

    def build(self, input_shape):
        super().build(input_shape)
        if not hasattr(self.layer, "kernel"):
            raise ValueError(
                "Quantized takes a layer with a `kernel`, such as Dense or Conv2D. "
                f"Received: {self.layer!r}"
            )

    def _refuse_quantize(self, mode=None, type_check=True, config=None):
        raise NotImplementedError(
            f"Layer '{self.layer.name}' stays as it is: Quantized '{self.name}' has "
            "trained its weights on a grid of their own. To have them in 8 bits, see "
            '`keras_spiking.inference.compile(model, weights="int8")`.'
        )

    def quantized_weights(self) -> tuple[Any, Any]:
        """The kernel and the bias (or `None`) that the layer computes with."""
        quantized = []
        for weight, quantizer in self._pairs():
            value = None if weight is None else keras.ops.convert_to_tensor(weight)
            if value is not None and quantizer is not None:
                value = quantizer(value)
            quantized.append(value)
        return tuple(quantized)

    def _pairs(self):
        return (
            (self.layer.kernel, self.kernel_quantizer),
            (getattr(self.layer, "bias", None), self.bias_quantizer),
        )

    def call(self, inputs):
        quantized = self.quantized_weights()
        values = [(v, keras.ops.convert_to_tensor(v)) for v in self.layer.variables]
        for (weight, _), value in zip(self._pairs(), quantized):
            if weight is not None:
                values.append((weight, value))
        with keras.StatelessScope(values):
            return self.layer(inputs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "kernel_quantizer": serialize(self.kernel_quantizer),
            "bias_quantizer": serialize(self.bias_quantizer),
        }
