"""An independent reference in NumPy and float64: neurons with their gradients."""

import numpy as np


class Neuron:
    """IF, LIF and parametric LIF neurons, differentiated by hand.

    Charge is `h = keep v + gain x + bias`, which covers all three.

    Args:
        tau: Float, or `None` for integrate-and-fire neurons.
        derivative: Function of `h - v_threshold`, the surrogate's derivative.
    """

    def __init__(
        self,
        derivative,
        tau=None,
        decay_input=True,
        v_threshold=1.0,
        v_reset=0.0,
        detach_reset=False,
    ):
        self.derivative = derivative
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.detach_reset = detach_reset
        self.rest = 0.0 if v_reset is None else v_reset
        leak = 0.0 if tau is None else 1.0 / tau
        self.keep = 1.0 - leak
        self.gain = leak if decay_input and tau is not None else 1.0
        self.bias = self.rest * leak

    def forward(self, x):
        """Returns spikes, potentials after reset and before, `(batch, time, ...)`."""
        x = np.asarray(x, "float64")
        v = np.full(x[:, 0].shape, self.rest)
        history = []
        for t in range(x.shape[1]):
            h = self.keep * v + self.gain * x[:, t] + self.bias
            s = (h >= self.v_threshold).astype("float64")
            if self.v_reset is None:
                v = h - self.v_threshold * s
            else:
                v = np.where(s == 1.0, self.v_reset, h)
            history.append((s, v, h))
        return [np.stack(a, 1) for a in zip(*history)]

    def gradient(self, x, weight):
        """Gradient of `sum(weight * spikes)` with respect to `x`."""
        spikes, _, h = self.forward(x)
        slope = self.derivative(h - self.v_threshold)
        # dV[t] / dH[t], once the spike's own dependence on H[t] is counted.
        if self.v_reset is None:
            along, jump = np.ones_like(h), -self.v_threshold * np.ones_like(h)
        else:
            along, jump = 1.0 - spikes, self.v_reset - h
        if not self.detach_reset:
            along = along + jump * slope
        gradient = np.zeros_like(h)
        from_next = np.zeros_like(h[:, 0])
        for t in reversed(range(h.shape[1])):
            grad_h = weight[:, t] * slope[:, t] + from_next * along[:, t]
            gradient[:, t] = grad_h * self.gain
            from_next = grad_h * self.keep
        return gradient

    def draw_inputs(self, shape, margin=1e-4):
        """Random inputs and weights whose spikes do not hang on rounding."""
        for seed in range(1000):
            generator = np.random.default_rng(seed)
            x = generator.uniform(-0.5, 2.5, shape).astype("float32")
            _, _, h = self.forward(x)
            if np.abs(h - self.v_threshold).min() > margin:
                return x, generator.normal(size=shape).astype("float32")
        raise AssertionError("no inputs keep away from the threshold")
