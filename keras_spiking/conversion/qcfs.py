from typing import Unpack

import keras
from keras import ops

from keras_spiking.constraints import Interval
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops import rounding
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_keywords
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class QCFS(keras.layers.Layer):
    """Quantisation clip-floor-shift: an activation that converts without loss.

        y = threshold clip(floor(x levels / threshold + 1/2) / levels, 0, 1)

    That is the firing rate, times the threshold, of an integrate-and-fire neuron
    after `levels` time steps, if its membrane potential starts at half the
    threshold. A network trained (or fine-tuned) with it in place of ReLU
    keeps its accuracy when it is converted and simulated for few time steps. The
    gradient passes straight through the floor; the threshold is learned.

    Args:
        levels: Integer >= 1, number of quantisation steps. Defaults to `8`.
        threshold: Float > 0, initial threshold. Defaults to `4.0`.

    Call arguments:
        inputs: Tensor of any shape.

    Input shape:
        Any.

    Output shape:
        As the input.

    Raises:
        ValueError: if `levels < 1` or `threshold <= 0`.
        TypeError: if `levels` is not an integer.

    Example:

    >>> layer = keras_spiking.conversion.QCFS(levels=4, threshold=1.0)
    >>> y = layer(keras.ops.array([-0.5, 0.1, 0.4, 0.9, 2.0]))
    >>> [float(v) for v in keras.ops.convert_to_numpy(y)]
    [0.0, 0.0, 0.5, 1.0, 1.0]

    References:
        - [Bu et al., 2022](https://arxiv.org/abs/2303.04347)
    """

    def __init__(
        self,
        levels: int = 8,
        *,
        threshold: float = 4.0,
        **kwargs: Unpack[LayerOptions],
    ):
        check_keywords(type(self), kwargs)
        super().__init__(**kwargs)
        self.levels = check_integer("levels", levels, minimum=1)
        self.initial_threshold = check_number("threshold", threshold, above=0.0)
        self.supports_masking = True

    def build(self, input_shape):
        self.threshold = self.add_weight(
            name="threshold",
            shape=(),
            initializer=keras.initializers.Constant(self.initial_threshold),
            constraint=Interval(1e-3),
        )

    def call(self, inputs):
        threshold = ops.cast(self.threshold, inputs.dtype)
        y = rounding.clip(inputs / threshold, 0.0, 1.0) * self.levels
        return rounding.floor(y + 0.5) / self.levels * threshold

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        threshold = self.initial_threshold
        return {**config, "levels": self.levels, "threshold": threshold}
