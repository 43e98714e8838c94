"""Neurons whose output is more than one bit: analog, counts, differences."""

from typing import Any
from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LIFOptions
from keras_spiking.layers.options import PotentialOptions
from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.spiking_layer import check_soft_reset
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import refuse_keywords

__all__ = ["ILIFLayer", "LIAFLayer", "SigmaDeltaLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class LIAFLayer(LIFLayer):
    """Leaky integrate and analog fire: spikes reset, the output is analog.

        Y[t] = activation(H[t] - v_threshold)      (threshold_related=True)
        Y[t] = activation(H[t])                    (threshold_related=False)

    `H`, the spikes and the reset are those of `LIFLayer`.

    Args:
        activation: Name of an activation of Keras, or a callable. Defaults to
            `"relu"`.
        threshold_related: Boolean, whether the threshold is subtracted. Defaults
            to `True`.
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        **kwargs: The arguments of `LIFLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Example:

    >>> layer = keras_spiking.layers.LIAFLayer("relu", tau=4.0)
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Wu et al., 2021](https://arxiv.org/abs/2011.06176)
    """

    def __init__(
        self,
        activation: Any = "relu",
        *,
        threshold_related: bool = True,
        **kwargs: Unpack[LIFOptions],
    ):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.threshold_related = check_bool("threshold_related", threshold_related)

    def step(self, x, states):
        (v,) = states
        h = self.charge(x, v)
        v = self.reset(h, self.fire(h))
        if self.threshold_related:
            h = h - self.v_threshold
        return self.activation(h), (v,)

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "threshold_related": self.threshold_related,
        }


@keras.saving.register_keras_serializable("keras_spiking")
class ILIFLayer(LIFLayer):
    """Integer LIF neurons: a time step may hold up to `D` spikes.

        S[t] = round(clip(H[t] / v_threshold, 0, D))
        V[t] = H[t] - v_threshold S[t]

    `H` charges as in `LIFLayer`. The derivative of the rounding is 1 where it
    is not clipped. At inference, a count `S[t]` can be unfolded into `S[t]`
    binary spikes.

    Args:
        D: Integer >= 1, the largest number of spikes in a time step. Defaults to
            `4`.
        tau: Float or array >= 1, the membrane time constant. Defaults to `4 / 3`.
        decay_input: Boolean. Defaults to `False`.
        v_threshold: Float or array > 0, the threshold. Defaults to `1.0`.
        v_reset: `None`: the reset is soft.
        **kwargs: The other arguments of `LIFLayer`, without `surrogate`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `D` is less than 1, `v_threshold` is not positive, or a hard
            reset is asked for.
        TypeError: if `surrogate` is given.

    Example:

    >>> counts = keras_spiking.layers.ILIFLayer()(keras.ops.full((1, 3, 1), 2.45))
    >>> [int(c) for c in keras.ops.reshape(counts, (-1,))]
    [2, 3, 2]

    References:
        - [Luo et al., 2024](https://arxiv.org/abs/2407.20708)
    """

    defaults = {"v_reset": None}
    v_threshold = Parameter(minimum=POSITIVE)

    def __init__(
        self,
        D: int = 4,
        *,
        tau: ArrayLike = 4 / 3,
        decay_input: bool = False,
        **kwargs: Unpack[PotentialOptions],
    ):
        why = "the gradient passes straight through the rounding"
        refuse_keywords(type(self), kwargs, surrogate=why)
        check_soft_reset(type(self), kwargs)
        super().__init__(tau, decay_input=decay_input, **self.with_defaults(kwargs))
        self.D = check_integer("D", D, minimum=1)

    def fire(self, h):
        count = ops.clip(h / self.v_threshold, 0.0, float(self.D))
        return straight_through(ops.round(count), count)

    def get_config(self):
        config = {**super().get_config(), "D": self.D}
        del config["surrogate"]
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config.pop("surrogate", None)  # of 0.1.0, without effect
        return super().from_config(config)


@keras.saving.register_keras_serializable("keras_spiking")
class SigmaDeltaLayer(TemporalLayer):
    """Sigma-delta neurons: they accumulate differences and send differences.

        A[t] = A[t-1] + X[t]
        D[t] = activation(A[t]) - R[t-1]
        Y[t] = D[t] if |D[t]| >= threshold else 0
        R[t] = R[t-1] + Y[t]

    After a layer that sends differences, the sum of `Y` over time follows
    `activation` of the sum of `X` to within the threshold: an artificial network
    that computes only what changes. The gradient of `Y` is that of `D`.

    Args:
        threshold: Float or array >= 0, the smallest difference that is sent. It
            has no gradient and cannot be learned. Defaults to `0.1`.
        activation: Name of an activation of Keras, or a callable. Defaults to
            `"relu"`.
        **kwargs: The arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are `A`, called `total`, and `R`, called `sent`.

    Example:

    >>> layer = keras_spiking.layers.SigmaDeltaLayer(threshold=0.5)
    >>> y = layer(keras.ops.array([[[1.0], [0.2], [0.4], [-2.0]]]))
    >>> [round(float(v), 1) for v in keras.ops.reshape(y, (-1,))]
    [1.0, 0.0, 0.6, -1.6]

    References:
        - [O'Connor and Welling, 2016](https://arxiv.org/abs/1611.02024)
    """

    state_names = ("total", "sent")
    threshold = Parameter(minimum=0.0, differentiable=False)

    def __init__(
        self,
        threshold: ArrayLike = 0.1,
        *,
        activation: Any = "relu",
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.threshold = threshold
        self.activation = keras.activations.get(activation)

    def step(self, x, states):
        total, sent = states
        total = total + bounded(x)
        change = self.activation(total) - sent
        is_sent = ops.cast(ops.abs(change) >= self.threshold, change.dtype)
        y = straight_through(change * is_sent, change)
        return y, (total, sent + y)

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
        }
