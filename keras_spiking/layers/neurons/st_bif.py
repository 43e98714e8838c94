from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer

__all__ = ["STBIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class STBIFLayer(TemporalLayer):
    """Bipolar integrate-and-fire neurons that count their spikes: ST-BIF.

        H[t] = V[t-1] + X[t] / scale,    V[0] = 1/2
        S[t] = 1 if H[t] >= 1 and N[t-1] < highest
        S[t] = -1 if H[t] < 0 and N[t-1] > lowest, else 0
        N[t] = N[t-1] + S[t],    V[t] = H[t] - S[t]
        Y[t] = scale S[t]

    With time enough, the sum of the outputs is the sum of the inputs as a quantiser of
    `levels` values rounds and clips it: a network with quantised activations becomes a
    spiking one with the same results. There is no gradient: train the quantised
    network.

    Args:
        scale: Float or array > 0, the step of the quantiser. Defaults to `1.0`.
        levels: Integer >= 2, the number of its values. Defaults to `16`.
        signed: Boolean, whether the values of the sum are `-levels // 2` to
            `levels // 2 - 1`, or 0 to `levels - 1`, in steps. Defaults to `False`.
        **kwargs: The arguments of `TemporalLayer`. There is nothing to learn.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the membrane potential `v` and the `count` of
        positive spikes minus negative ones.

    Raises:
        ValueError: if `scale` is not positive or `levels` is less than 2.

    Example:

    >>> layer = keras_spiking.layers.STBIFLayer(scale=0.5)
    >>> y = layer(keras.ops.array([[[1.3], [0.0], [0.0], [-0.6], [0.0]]]))
    >>> [float(v) for v in keras.ops.reshape(y, (-1,))]
    [0.5, 0.5, 0.5, -0.5, -0.5]

    References:
        - [You et al., 2024](https://arxiv.org/abs/2406.03470)
    """

    state_names = ("v", "count")
    scale = Parameter(minimum=POSITIVE, differentiable=False)

    def __init__(
        self,
        scale: ArrayLike = 1.0,
        *,
        levels: int = 16,
        signed: bool = False,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.scale = scale
        self.levels = check_integer("levels", levels, minimum=2)
        self.signed = check_bool("signed", signed)

    @property
    def bounds(self):
        """The lowest and the highest value of the count."""
        if self.signed:
            return -self.levels // 2, self.levels // 2 - 1
        return 0, self.levels - 1

    def get_initial_state(self, x):
        v, count = super().get_initial_state(x)
        return v + 0.5, count

    def step(self, x, states):
        v, count = states
        lowest, highest = self.bounds
        h = bounded(v + ops.stop_gradient(x) / self.scale)
        up = ops.logical_and(h >= 1.0, count < float(highest))
        down = ops.logical_and(h < 0.0, count > float(lowest))
        spikes = ops.cast(up, h.dtype) - ops.cast(down, h.dtype)
        return self.scale * spikes, (h - spikes, count + spikes)

    def get_config(self):
        return {**super().get_config(), "levels": self.levels, "signed": self.signed}
