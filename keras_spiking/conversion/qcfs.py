import keras
from keras import ops

from keras_spiking.constraints import Interval
from keras_spiking.validation import check_number
from keras_spiking.validation import check_timesteps


@keras.saving.register_keras_serializable("keras_spiking")
class QCFS(keras.layers.Layer):
    """Quantisation clip-floor-shift: an activation that converts without loss.

        y = threshold clip(floor(x levels / threshold + 1/2) / levels, 0, 1)

    That is the firing rate, times the threshold, of an integrate-and-fire neuron
    after `levels` time steps, if its membrane potential starts at half the
    threshold. A network trained (or fine-tuned) with it in the place of ReLU
    keeps its accuracy when it is converted and simulated for few time steps. The
    gradient goes straight through the floor; the threshold is learned.

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

    Example:

    >>> layer = keras_spiking.conversion.QCFS(levels=4, threshold=1.0)
    >>> y = layer(keras.ops.array([-0.5, 0.1, 0.4, 0.9, 2.0]))
    >>> [float(v) for v in keras.ops.convert_to_numpy(y)]
    [0.0, 0.0, 0.5, 1.0, 1.0]

    References:
        - [Bu et al., 2022](https://arxiv.org/abs/2303.04347)
    """

    def __init__(self, levels=8, threshold=4.0, **kwargs):
        super().__init__(**kwargs)
        try:
            self.levels = check_timesteps(levels)
        except (TypeError, ValueError):
            raise ValueError(
                f"`levels` must be an integer of at least 1. Received: levels={levels}"
            ) from None
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
        y = ops.clip(inputs / threshold, 0.0, 1.0) * self.levels
        return (y + ops.stop_gradient(ops.floor(y + 0.5) - y)) / self.levels * threshold

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        threshold = self.initial_threshold
        return {**config, "levels": self.levels, "threshold": threshold}
