"""Neurons whose gradient is that of their firing rate: DSR."""

from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.gradients import has_gradients
from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.decay import decay
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.parameter import POSITIVE
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_number

__all__ = ["DSRIFLayer", "DSRLIFLayer"]


class SpikeRepresentation(TemporalLayer):
    """Spikes forward, the clipped rate of the inputs backward."""

    v_threshold = Parameter(minimum=POSITIVE)
    alpha = Parameter(minimum=POSITIVE, maximum=1.0, differentiable=False)

    def spike(self, v):
        """Spikes of the height of the threshold."""
        return ops.where(v >= self.alpha * self.v_threshold, self.v_threshold, 0.0)

    def call(self, inputs, initial_state=None, mask=None):
        if mask is not None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' has the gradient of a rate over "
                "all time steps and takes no mask."
            )
        return super().call(inputs, initial_state)

    def run_steps(self, inputs, states=None, mask=None):
        fixed = ops.stop_gradient(inputs)
        outputs, states = super().run_steps(fixed, states, mask)
        if not has_gradients():
            return outputs, states
        states = tuple(ops.stop_gradient(state) for state in states)
        rate = self.rate(ops.cast(inputs, self.state_dtype))
        return straight_through(outputs, ops.cast(rate, outputs.dtype)), states

    def rate(self, x):
        """What stands for the outputs in the backward pass."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("keras_spiking")
class DSRIFLayer(SpikeRepresentation):
    """Integrate-and-fire neurons that are differentiated by their firing rate: DSR.

        H[t] = V[t-1] + X[t]
        Y[t] = v_threshold heaviside(H[t] - alpha v_threshold)
        V[t] = H[t] - Y[t]

    Over many steps the mean output is the mean input, clipped to
    `[0, v_threshold]`, and the gradient is that of this function: no surrogate is
    needed, and nothing is differentiated through time. It needs all steps in one call:
    to train, do not put these neurons into a `StepByStep`.

    Args:
        v_threshold: Float or array > 0, the height of the spikes. Defaults to `6.0`.
        alpha: Float or array in (0, 1], at which part of the threshold a neuron fires.
            1/2 makes the error of the mean smallest. Defaults to `0.5`.
        **kwargs: The arguments of `TemporalLayer`. The paper learns the threshold:
            `learnable="v_threshold"`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if a parameter is out of its range, or a mask is given.

    Example:

    >>> layer = keras_spiking.layers.DSRIFLayer(v_threshold=1.0)
    >>> y = layer(keras.ops.full((1, 8, 1), 0.25))
    >>> float(keras.ops.mean(y))
    0.25

    References:
        - [Meng et al., 2022](https://arxiv.org/abs/2205.00459)
    """

    def __init__(
        self,
        v_threshold: ArrayLike = 6.0,
        *,
        alpha: ArrayLike = 0.5,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.v_threshold = v_threshold
        self.alpha = alpha

    def step(self, x, states):
        (v,) = states
        h = bounded(v + x)
        y = self.spike(h)
        return y, (h - y,)

    def rate(self, x):
        mean = ops.mean(x, axis=1, keepdims=True)
        clipped = ops.where(mean > self.v_threshold, self.v_threshold, mean)
        clipped = ops.where(mean < 0.0, 0.0, clipped)
        return clipped + ops.zeros_like(x)


@keras.saving.register_keras_serializable("keras_spiking")
class DSRLIFLayer(SpikeRepresentation):
    """Leaky integrate-and-fire neurons that are differentiated by their rate: DSR.

    With `beta = exp(-dt / tau)`:

        H[t] = beta V[t-1] + (1 - beta) X[t]
        Y[t] = v_threshold / dt heaviside(H[t] - alpha v_threshold)
        V[t] = H[t] - dt Y[t]

    With the weights `w[t] = beta^(T - t)`, as later inputs count for more, the mean
    output is the mean input over `tau`, clipped to `[0, v_threshold / dt]`. The
    gradients of a loss, with `G[t]` that of `Y[t]`, are

        mean_w(G) / tau                     of each X[t], if 0 < mean_w(X) < limit
        T dt mean_w(G)                      of v_threshold, if mean_w(X) > limit

    with `limit = tau v_threshold / dt`. They need all steps in one call: to train, do
    not put these neurons into a `StepByStep`.

    Args:
        tau: Float > 0, the membrane time constant, in units of time. Defaults to
            `2.0`.
        dt: Float > 0, how long a time step is. Defaults to `0.05`.
        v_threshold: Float or array > 0, the threshold. Defaults to `1.0`.
        alpha: Float or array in (0, 1], at which part of the threshold a neuron fires.
            Defaults to `0.3`.
        **kwargs: The arguments of `TemporalLayer`. The paper learns the threshold:
            `learnable="v_threshold"`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if a parameter is out of its range, or a mask is given.

    Example:

    >>> layer = keras_spiking.layers.DSRLIFLayer(learnable="v_threshold")
    >>> layer(keras.random.uniform((2, 8, 10), maxval=30.0)).shape
    (2, 8, 10)

    References:
        - [Meng et al., 2022](https://arxiv.org/abs/2205.00459)
    """

    def __init__(
        self,
        tau: float = 2.0,
        *,
        dt: float = 0.05,
        v_threshold: ArrayLike = 1.0,
        alpha: ArrayLike = 0.3,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.tau = check_number("tau", tau, above=0.0)
        self.dt = check_number("dt", dt, above=0.0)
        self.v_threshold = v_threshold
        self.alpha = alpha

    def step(self, x, states):
        (v,) = states
        beta = decay(self.dt, self.tau)
        h = bounded(beta * v + (1.0 - beta) * x)
        spikes = self.spike(h)
        return spikes / self.dt, (h - spikes,)

    def rate(self, x):
        steps = x.shape[1]
        if steps is None:
            raise ValueError(
                f"DSRLIFLayer '{self.name}' needs a known number of time steps. "
                f"Received an input of shape {tuple(x.shape)}."
            )
        weights = [decay(self.dt * (steps - t), self.tau) for t in range(1, steps + 1)]
        weights = [weight / sum(weights) for weight in weights]
        weights = ops.convert_to_tensor(weights, dtype=x.dtype)
        weights = ops.reshape(weights, (1, steps, *(1,) * (len(x.shape) - 2)))
        mean = ops.stop_gradient(ops.sum(weights * x, axis=1, keepdims=True))
        limit = ops.stop_gradient(self.tau / self.dt * self.v_threshold + 0.0 * mean)
        total = ops.sum(x, axis=1, keepdims=True)
        within = ops.where(ops.logical_and(mean > 0.0, mean < limit), total, 0.0)
        beyond = ops.where(mean > limit, self.v_threshold, 0.0)
        return weights * (within / self.tau + steps * self.dt * beyond)

    def get_config(self):
        return {**super().get_config(), "tau": self.tau, "dt": self.dt}
