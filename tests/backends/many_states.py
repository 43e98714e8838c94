"""Neurons with many states, for tests and benchmarks."""

from keras import ops

from keras_spiking import layers


class Coupled(layers.TemporalLayer):
    """States that all act on each other."""

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def get_initial_state(self, x):
        return super().get_initial_state(x) * self.count

    def step(self, x, states):
        total = sum(states)
        states = tuple(
            s + 0.1 * (ops.tanh(0.3 * total + 0.2 * s * s + x) - s) for s in states
        )
        return states[0], states


def _rate(v, scale):
    """v / (1 - exp(-v / scale)), also at 0."""
    is_zero = ops.abs(v) < 1e-3
    v = ops.where(is_zero, 1.0, v)
    return ops.where(is_zero, scale, v / (1.0 - ops.exp(-v / scale)))


class HodgkinHuxley(layers.SpikingLayer):
    """The membrane potential in mV, and how open the gates m, h and n are.

    References:
        - [Hodgkin and Huxley, 1952](https://doi.org/10.1113/jphysiol.1952.sp004764)
    """

    def __init__(self, dt=0.02, v_threshold=0.0, **kwargs):
        super().__init__(v_threshold=v_threshold, **kwargs)
        self.dt = dt

    def get_initial_state(self, x):
        zeros = ops.zeros_like(x, dtype=self.state_dtype)
        return tuple(zeros + value for value in (-65.0, 0.053, 0.596, 0.318))

    def step(self, x, states):
        v, m, h, n = states
        sodium = 120.0 * m * m * m * h * (v - 50.0)
        potassium = 36.0 * n * n * n * n * (v + 77.0)
        leak = 0.3 * (v + 54.4)
        new = v + self.dt * (x - sodium - potassium - leak)

        def gate(value, opening, closing):
            return value + self.dt * (opening * (1.0 - value) - closing * value)

        m = gate(m, 0.1 * _rate(v + 40.0, 10.0), 4.0 * ops.exp(-(v + 65.0) / 18.0))
        h = gate(
            h,
            0.07 * ops.exp(-(v + 65.0) / 20.0),
            1.0 / (1.0 + ops.exp(-(v + 35.0) / 10.0)),
        )
        n = gate(n, 0.01 * _rate(v + 55.0, 10.0), 0.125 * ops.exp(-(v + 65.0) / 80.0))
        return self.fire(new) * ops.cast(v < self.v_threshold, v.dtype), (new, m, h, n)
