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
