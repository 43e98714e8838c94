"""The surrogates: each class is its equations in `keras.ops`, and nothing else."""

import math
from typing import Any

import keras
from keras import ops

from keras_spiking.surrogates.registry import register
from keras_spiking.surrogates.surrogate import Number
from keras_spiking.surrogates.surrogate import Surrogate


def _precise(name: str, x: Any) -> Any:
    """An operation that Keras computes in float32 at most on JAX."""
    if keras.config.backend() == "jax" and not isinstance(x, keras.KerasTensor):
        import jax

        return getattr(jax.numpy, name)(x)
    return getattr(ops, name)(x)


@register("sigmoid")
class Sigmoid(Surrogate):
    """Sigmoid: `g'(x) = alpha s (1 - s)` with `g(x) = s = sigmoid(alpha x)`.

    Args:
        alpha: Float > 0, the steepness. Defaults to `4.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 4.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        s = ops.sigmoid(self.alpha * x)
        return self.alpha * s * (1.0 - s)

    def primitive(self, x: Any) -> Any:
        return ops.sigmoid(self.alpha * x)


@register("atan")
class ATan(Surrogate):
    """Arctangent: `g'(x) = (alpha / 2) / (1 + (pi alpha x / 2)^2)`.

    Primitive: `g(x) = arctan(pi alpha x / 2) / pi + 1/2`.

    Args:
        alpha: Float > 0, the slope at 0 is `alpha / 2`. Defaults to `2.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Fang et al., 2021](https://arxiv.org/abs/2007.05785)
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 2.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        z = (math.pi / 2 * self.alpha) * x
        return (self.alpha / 2) / (1.0 + z * z)

    def primitive(self, x: Any) -> Any:
        return _precise("arctan", (math.pi / 2 * self.alpha) * x) / math.pi + 0.5


@register("piecewise_quadratic")
class PiecewiseQuadratic(Surrogate):
    """Triangle: `g'(x) = max(0, alpha - alpha^2 |x|)`.

    Primitive: `-alpha^2 |x| x / 2 + alpha x + 1/2` within `|x| <= 1 / alpha`,
    0 below and 1 above.

    Args:
        alpha: Float > 0, height of the triangle. Defaults to `1.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Bellec et al., 2018](https://arxiv.org/abs/1803.09574)
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 1.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        height = self.alpha - self.alpha**2 * ops.abs(x)
        return ops.where(height > 0.0, height, 0.0)

    def primitive(self, x: Any) -> Any:
        x = ops.clip(x, -1.0 / self.alpha, 1.0 / self.alpha)
        return -0.5 * self.alpha**2 * ops.abs(x) * x + self.alpha * x + 0.5


@register("piecewise_exp")
class PiecewiseExp(Surrogate):
    """Two-sided exponential: `g'(x) = alpha / 2 exp(-alpha |x|)`.

    Primitive: `exp(alpha x) / 2` below 0, `1 - exp(-alpha x) / 2` above.

    Args:
        alpha: Float > 0, the decay rate. Defaults to `1.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Shrestha and Orchard, 2018](https://arxiv.org/abs/1810.08646)
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 1.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        return (self.alpha / 2) * ops.exp(-self.alpha * ops.abs(x))

    def primitive(self, x: Any) -> Any:
        tail = 0.5 * ops.exp(-self.alpha * ops.abs(x))
        return ops.where(x < 0, tail, 1.0 - tail)


@register("soft_sign")
class SoftSign(Surrogate):
    """Softsign: `g'(x) = alpha / (2 (1 + alpha |x|)^2)`.

    Primitive: `(alpha x / (1 + alpha |x|) + 1) / 2`.

    Args:
        alpha: Float > 0, the steepness. Defaults to `2.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 2.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        z = 1.0 + self.alpha * ops.abs(x)
        return (self.alpha / 2) / (z * z)

    def primitive(self, x: Any) -> Any:
        tail = 0.5 / (1.0 + self.alpha * ops.abs(x))
        return ops.where(x < 0, tail, 1.0 - tail)


@register("super_spike")
class SuperSpike(Surrogate):
    """SuperSpike: `g'(x) = alpha / (|x| + 1)^2`.

    Args:
        alpha: Float > 0, height of the derivative. Defaults to `1.0`.

    References:
        - [Zenke and Ganguli, 2018](https://arxiv.org/abs/1705.11146)
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        z = ops.abs(x) + 1.0
        return self.alpha / (z * z)


@register("nonzero_sign_log_abs")
class NonzeroSignLogAbs(Surrogate):
    """Logarithm: `g'(x) = 1 / (1 / alpha + |x|)`, cheap to compute.

    Primitive: `sign(x) log(alpha |x| + 1)` with `sign(0) = 1`; it is unbounded.

    Args:
        alpha: Float > 0, the slope at 0. Defaults to `1.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 1.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        return 1.0 / (1.0 / self.alpha + ops.abs(x))

    def primitive(self, x: Any) -> Any:
        magnitude = ops.log(self.alpha * ops.abs(x) + 1.0)
        return ops.where(x < 0, -magnitude, magnitude)


@register("erf")
class Erf(Surrogate):
    """Gaussian: `g'(x) = alpha / sqrt(pi) exp(-alpha^2 x^2)`.

    Primitive: `(1 + erf(alpha x)) / 2`.

    Args:
        alpha: Float > 0, the inverse width. Defaults to `2.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Esser et al., 2015](https://papers.nips.cc/paper/5862)
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 2.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        z = self.alpha * x
        return (self.alpha / math.sqrt(math.pi)) * ops.exp(-z * z)

    def primitive(self, x: Any) -> Any:
        return 0.5 * (1.0 + ops.erf(self.alpha * x))


@register("piecewise_leaky_relu")
class PiecewiseLeakyReLU(Surrogate):
    """Rectangle with leaks: `g'(x) = 1 / (2 w)` for `|x| < w`, else `c`.

    Primitive: `x / (2 w) + 1/2` inside, continued with slope `c` outside.

    Args:
        w: Float > 0, half the width of the rectangle. Defaults to `1.0`.
        c: Float >= 0, the slope outside. Defaults to `0.01`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.
    """

    w = Number(above=0.0)
    c = Number(minimum=0.0)

    def __init__(self, w: float = 1.0, c: float = 0.01, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.w = w
        self.c = c

    def derivative(self, x: Any) -> Any:
        inside = ops.abs(x) < self.w
        return ops.where(inside, ops.full_like(x, 0.5 / self.w), self.c)

    def primitive(self, x: Any) -> Any:
        inside = ops.clip(x, -self.w, self.w)
        return inside / (2.0 * self.w) + 0.5 + self.c * (x - inside)


@register("squarewave_fourier_series")
class SquarewaveFourierSeries(Surrogate):
    """First terms of a square wave's Fourier series.

    `g'(x) = 4 / T_period sum_{i=1}^{n-1} cos((2i - 1) 2 pi x / T_period)`.

    Args:
        n: Integer >= 2, the series has `n - 1` terms. Defaults to `2`.
        T_period: Float > 0, period of the square wave. Defaults to `8.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.
    """

    n = Number(int, minimum=2)
    T_period = Number(above=0.0)

    def __init__(self, n: int = 2, T_period: float = 8.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.n = n
        self.T_period = T_period

    def _frequencies(self) -> list[float]:
        return [(2 * i - 1) * 2.0 * math.pi / self.T_period for i in range(1, self.n)]

    def derivative(self, x: Any) -> Any:
        terms = (_precise("cos", w * x) for w in self._frequencies())
        return (4.0 / self.T_period) * sum(terms)

    def primitive(self, x: Any) -> Any:
        terms = (_precise("sin", w * x) / w for w in self._frequencies())
        return 0.5 + (4.0 / self.T_period) * sum(terms)


@register("s2nn")
class S2NN(Surrogate):
    """Sigmoid below the threshold, logarithm above.

    `g'(x) = alpha s (1 - s)`, `s = sigmoid(alpha x)`, for `x < 0`;
    `beta / (x + 1)` otherwise.

    Args:
        alpha: Float > 0, steepness below the threshold. Defaults to `4.0`.
        beta: Float > 0, slope just above the threshold. Defaults to `1.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Suetake et al., 2022](https://arxiv.org/abs/2201.10879)
    """

    alpha = Number(above=0.0)
    beta = Number(above=0.0)

    def __init__(self, alpha: float = 4.0, beta: float = 1.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha
        self.beta = beta

    def derivative(self, x: Any) -> Any:
        s = ops.sigmoid(self.alpha * x)
        above = self.beta / (ops.abs(x) + 1.0)
        return ops.where(x < 0, self.alpha * s * (1.0 - s), above)

    def primitive(self, x: Any) -> Any:
        above = self.beta * ops.log(ops.abs(x) + 1.0) + 0.5
        return ops.where(x < 0, ops.sigmoid(self.alpha * x), above)


@register("q_pseudo_spike")
class QPseudoSpike(Surrogate):
    """q-PseudoSpike: `g'(x) = (1 + 2 |x| / (alpha - 1))^-alpha`.

    Primitive: `tail = (1 + 2 |x| / (alpha - 1))^(1 - alpha) / 2` below 0,
    `1 - tail` above.

    Args:
        alpha: Float > 1, heaviness of the tail. Defaults to `2.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Herranz-Celotti and Rouat, 2022](https://arxiv.org/abs/2110.11065)
    """

    alpha = Number(above=1.0)

    def __init__(self, alpha: float = 2.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def _base(self, x):
        return 1.0 + (2.0 / (self.alpha - 1.0)) * ops.abs(x)

    def derivative(self, x: Any) -> Any:
        return ops.power(self._base(x), -self.alpha)

    def primitive(self, x: Any) -> Any:
        tail = 0.5 * ops.power(self._base(x), 1.0 - self.alpha)
        return ops.where(x < 0, tail, 1.0 - tail)


@register("leaky_k_relu")
class LeakyKReLU(Surrogate):
    """Leaky ReLU: `g'(x) = k` for `x >= 0`, else `leak`.

    Args:
        leak: Float, slope below the threshold. Defaults to `0.0`.
        k: Float, slope above the threshold. Defaults to `1.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.
    """

    leak = Number()
    k = Number()

    def __init__(self, leak: float = 0.0, k: float = 1.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.leak = leak
        self.k = k

    def derivative(self, x: Any) -> Any:
        return ops.where(x >= 0, ops.full_like(x, self.k), self.leak)

    def primitive(self, x: Any) -> Any:
        return self.derivative(x) * x


@register("fake_numerical_gradient")
class FakeNumericalGradient(Surrogate):
    """Fake numerical gradient: `g'(x) = min(1 / |x|, alpha)`.

    Args:
        alpha: Float > 0, the largest slope. Defaults to `0.3`.
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 0.3):
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        # 1 / max(|x|, 1 / alpha), so that nothing is divided by zero.
        magnitude, smallest = ops.abs(x), 1.0 / self.alpha
        return 1.0 / ops.where(magnitude > smallest, magnitude, smallest)


@register("log_tailed_relu")
class LogTailedReLU(Surrogate):
    """ReLU with a logarithmic tail.

    `g'(x) = alpha` for `x <= 0`, 1 for `0 < x <= 1`, `1 / x` for `x > 1`.

    Args:
        alpha: Float, slope below the threshold. Defaults to `0.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Cai et al., 2017](https://arxiv.org/abs/1702.00953)
    """

    alpha = Number()

    def __init__(self, alpha: float = 0.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        return ops.where(x > 0, 1.0 / ops.where(x > 1.0, x, 1.0), self.alpha)

    def primitive(self, x: Any) -> Any:
        tail = ops.log(ops.where(x > 1.0, x, 1.0)) + ops.where(x > 1.0, 1.0, x)
        return ops.where(x > 0, tail, self.alpha * x)


@register("rect")
class Rect(Surrogate):
    """Rectangle: `g'(x) = alpha` for `|x| < 1 / (2 alpha)`, else 0.

    Primitive: `clip(alpha x + 1/2, 0, 1)`.

    Args:
        alpha: Float > 0, height and inverse width. Defaults to `1.0`.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Wu et al., 2018](https://arxiv.org/abs/1706.02609)
    """

    alpha = Number(above=0.0)

    def __init__(self, alpha: float = 1.0, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.alpha = alpha

    def derivative(self, x: Any) -> Any:
        inside = ops.abs(x) < 0.5 / self.alpha
        return ops.where(inside, ops.full_like(x, self.alpha), 0.0)

    def primitive(self, x: Any) -> Any:
        return ops.clip(self.alpha * x + 0.5, 0.0, 1.0)


@register("straight_through")
class StraightThrough(Surrogate):
    """Straight-through estimator: `g'(x) = 1`, where `|x| <= width` if given.

    Args:
        width: Float > 0 or `None`, beyond this distance from the threshold the
            gradient is cut. Defaults to `None`, nowhere.
        spiking: Boolean, see `Surrogate`. Defaults to `True`.

    References:
        - [Bengio et al., 2013](https://arxiv.org/abs/1308.3432)
    """

    width = Number(optional=True, above=0.0)

    def __init__(self, width: float | None = None, *, spiking: bool = True):
        super().__init__(spiking=spiking)
        self.width = width

    def derivative(self, x: Any) -> Any:
        if self.width is None:
            return ops.ones_like(x)
        return ops.cast(ops.abs(x) <= self.width, x.dtype)

    def primitive(self, x: Any) -> Any:
        if self.width is None:
            return x
        return ops.clip(x, -self.width, self.width)
