import math
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import LARGEST
from keras_spiking.ops.bounded import bounded
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_number

__all__ = ["EventPropLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class EventPropLayer(TemporalLayer):
    """LIF neurons with exact times of spikes and exact gradients: EventProp.

    Neurons with a current-based synapse in continuous time,

        tau dV/dt = -V + I,    tau_s dI/dt = -I

    that receive their input as jumps of `I` at the start of each step. Within a
    step `V` has a closed form. If it is above the threshold at the end, the time
    `s` of the crossing is solved for, in steps; `V` is reset to 0 there and
    continues from 0. The spike at `t + s` is passed on as two jumps that add up
    to 1:

        Y[t] += 1 - s,    Y[t+1] += s

    The next layer sees when a spike happened, not only in which step, and nothing
    jumps when a spike moves from one step to the next. A neuron fires once a step:
    a second spike waits for the start of the next one.

    There is no surrogate. By the implicit function theorem `ds = -dV(s) / V'(s)`,
    and differentiating the rest in reverse gives EventProp's adjoint equations
    with their jumps by `1 / V'` at the spikes. Gradients are those of the spike
    times, and exact. A neuron that is silent for a whole batch has none: initial
    weights must be large enough for neurons to fire. A jump of `I` by 1 raises `V`
    by at most 0.16 if `tau=20` and `tau_s=5`.

    Args:
        tau: Float > 0, the membrane time constant in time steps. Defaults to
            `20.0`.
        tau_s: Float > 0, the synaptic time constant, different from `tau`.
            Defaults to `5.0`.
        v_threshold: Float > 0, the threshold. Defaults to `1.0`.
        **kwargs: The arguments of `TemporalLayer`. There is nothing to learn.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`, the jumps of the synaptic currents:
            spikes, or outputs of another `EventPropLayer`, times weights.
        initial_state: List of three tensors `(batch, ...)`: `v`, `current` and
            what is `left` of a spike for the first step.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are those of `initial_state`.

    Raises:
        ValueError: if `tau` and `tau_s` are equal or not positive.

    Example:

    >>> layer = keras_spiking.layers.EventPropLayer(tau=10.0, tau_s=5.0)
    >>> spikes = layer(keras.ops.full((1, 5, 1), 2.0))
    >>> times = layer.spike_times(spikes)

    References:
        - [Wunderlich and Pehle, 2021](https://doi.org/10.1038/s41598-021-91786-z)
    """

    state_names = ("v", "current", "left")

    def __init__(
        self,
        tau: float = 20.0,
        *,
        tau_s: float = 5.0,
        v_threshold: float = 1.0,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.tau = check_number("tau", tau, above=0.0)
        self.tau_s = check_number("tau_s", tau_s, above=0.0)
        self.v_threshold = check_number("v_threshold", v_threshold, above=0.0)
        if tau == tau_s:
            raise ValueError(
                f"`tau` and `tau_s` must differ. Received: tau={tau!r}, tau_s={tau_s!r}"
            )

    @property
    def gain(self):
        """What a synaptic current contributes to the membrane potential."""
        return self.tau_s / (self.tau_s - self.tau)

    def _decay(self, v, current, time):
        """`V` and `I` after a time without input."""
        exp = math.exp if isinstance(time, float) else ops.exp
        slow, fast = exp(-time / self.tau), exp(-time / self.tau_s)
        return v * slow + self.gain * current * (fast - slow), current * fast

    def _slope(self, v, current):
        return ops.clip((current - v) / self.tau, 1e-6, LARGEST)

    def _crossing(self, v, current):
        """When the threshold is crossed, in [0, 1], if it is."""
        start_v, start_current = ops.stop_gradient(v), ops.stop_gradient(current)
        start, width = ops.zeros_like(v), 1.0
        # Bisection: the crossing lies in the first half, or after it.
        for _ in range(10):
            width = width / 2
            half_v, half_current = self._decay(start_v, start_current, width)
            later = half_v < self.v_threshold
            start = ops.where(later, start + width, start)
            start_v = ops.where(later, half_v, start_v)
            start_current = ops.where(later, half_current, start_current)
        rest = ops.full_like(v, width)
        for _ in range(2):  # Newton steps polish it.
            at_v, at_current = self._decay(start_v, start_current, rest)
            excess = at_v - self.v_threshold
            rest = ops.clip(rest - excess / self._slope(at_v, at_current), 0.0, width)
        time = ops.stop_gradient(start + rest)
        # The value is `time`; the gradient is -dV / V'.
        at_v, at_current = self._decay(v, current, time)
        slope = ops.stop_gradient(self._slope(at_v, at_current))
        time = time - (at_v - ops.stop_gradient(at_v)) / slope
        # A second spike, left over from the step before, happens at the start.
        return ops.where(v >= self.v_threshold, ops.zeros_like(time), time)

    def step(self, x, states):
        v, current, left = states
        current = bounded(current + x)
        end, end_current = self._decay(v, current, 1.0)
        fires = end >= self.v_threshold
        time = self._crossing(v, current)
        at_spike = current * ops.exp(-time / self.tau_s)
        after, _ = self._decay(ops.zeros_like(v), at_spike, 1.0 - time)
        # Not products with 0: where nothing fires, the time need not be a number.
        outputs = left + ops.where(fires, 1.0 - time, 0.0)
        left = ops.where(fires, time, 0.0)
        return outputs, (ops.where(fires, after, end), end_current, left)

    def spike_times(self, outputs):
        """Times of the spikes in steps since the start, infinite where there is
        none.

        Args:
            outputs: Tensor `(batch, time, ...)`, the outputs of the layer.
        """
        outputs = ops.convert_to_tensor(outputs)

        def find(y, left):
            y = y - left
            fires = y > 1e-4  # More than rounding leaves.
            time = ops.where(fires, 1.0 - y, ops.zeros_like(y))
            return ops.where(fires, time, ops.full_like(y, float("inf"))), time

        times, _ = time_loop(find, outputs, ops.zeros_like(outputs[:, 0]))
        shape = (-1,) + (1,) * (len(outputs.shape) - 2)
        start = ops.cast(ops.arange(outputs.shape[1]), outputs.dtype)
        return ops.reshape(start, shape) + times

    def get_config(self):
        return {
            **super().get_config(),
            "tau": self.tau,
            "tau_s": self.tau_s,
            "v_threshold": self.v_threshold,
        }
