"""Surrogate gradients: a Heaviside spike whose derivative is smooth.

A neuron fires `S = heaviside(H - v_threshold)`, whose derivative is zero
almost everywhere. A surrogate keeps the step in the forward pass and puts a
chosen derivative `g'(x)` in its place in the backward pass. Where a closed form
exists, `primitive` is the smooth function `g` that `g'` belongs to.

Every surrogate is one class: its equations, in `keras.ops`, and nothing else.
"""

import inspect
import math

import keras
from keras import ops

from keras_spiking.validation import check_number


def heaviside(x):
    """1 where `x >= 0`, else 0, in the dtype of `x`."""
    return ops.cast(x >= 0, x.dtype)


def _has_gradients():
    if keras.config.backend() == "torch":
        import torch

        # TorchScript cannot hold functions of Python.
        return not torch.jit.is_tracing()
    return keras.config.backend() not in ("numpy", "openvino")


class Surrogate(keras.Operation):
    """Base class of the surrogates: override `derivative`.

    Calling it gives spikes, `heaviside(x)`; differentiating the call gives
    `derivative(x)`.

    Call arguments:
        x: Float tensor, the membrane potential minus the threshold.

    Example:

    >>> @keras.saving.register_keras_serializable(package="my_project")
    ... class Gaussian(keras_spiking.surrogates.Surrogate):
    ...     def derivative(self, x):
    ...         return keras.ops.exp(-keras.ops.square(x))
    >>> spikes = Gaussian()(keras.ops.array([-0.5, 0.0, 0.5]))
    """

    def __init__(self, name=None):
        super().__init__(name=name)

    def derivative(self, x):
        """`g'(x)`, used in place of the derivative of the Heaviside step."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement `derivative(x)`."
        )

    def primitive(self, x):
        """`g(x)`, the smooth function that `derivative` is the slope of."""
        raise NotImplementedError(
            f"The surrogate {type(self).__name__} has no primitive function "
            "in closed form."
        )

    def __call__(self, x):
        if isinstance(x, keras.KerasTensor):
            return self.symbolic_call(x)
        return self.call(ops.convert_to_tensor(x))

    def call(self, x):
        if not _has_gradients():
            return heaviside(x)

        # Keras's backends differ in how they call `grad`: this form suits all.
        # It must capture `x` and never the spikes: on torch an output that is
        # captured keeps its own graph alive.
        @ops.custom_gradient
        def spike(x):
            def grad(*args, upstream=None):
                upstream = args[0] if upstream is None else upstream
                return upstream * self.derivative(x)

            return heaviside(x), grad

        return spike(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def get_config(self):
        return {
            name: getattr(self, name)
            for name in inspect.signature(type(self).__init__).parameters
            if name not in ("self", "name")
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        arguments = (f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({', '.join(arguments)})"


_CLASSES = {}


def _register(name):
    def decorate(cls):
        _CLASSES[name] = cls
        return keras.saving.register_keras_serializable("keras_spiking")(cls)

    return decorate


@_register("sigmoid")
class Sigmoid(Surrogate):
    """Sigmoid: `g'(x) = alpha s (1 - s)` with `g(x) = s = sigmoid(alpha x)`.

    Args:
        alpha: Float > 0, the steepness. Defaults to `4.0`.
    """

    def __init__(self, alpha=4.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        s = ops.sigmoid(self.alpha * x)
        return self.alpha * s * (1.0 - s)

    def primitive(self, x):
        return ops.sigmoid(self.alpha * x)


@_register("atan")
class ATan(Surrogate):
    """Arctangent: `g'(x) = (alpha / 2) / (1 + (pi alpha x / 2)^2)`.

    Primitive: `g(x) = arctan(pi alpha x / 2) / pi + 1/2`.

    Args:
        alpha: Float > 0, the slope at 0 is `alpha / 2`. Defaults to `2.0`.

    References:
        - [Fang et al., 2021](https://arxiv.org/abs/2007.05785)
    """

    def __init__(self, alpha=2.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        z = (math.pi / 2 * self.alpha) * x
        return (self.alpha / 2) / (1.0 + z * z)

    def primitive(self, x):
        return ops.arctan((math.pi / 2 * self.alpha) * x) / math.pi + 0.5


@_register("piecewise_quadratic")
class PiecewiseQuadratic(Surrogate):
    """Triangle: `g'(x) = max(0, alpha - alpha^2 |x|)`.

    Primitive: `-alpha^2 |x| x / 2 + alpha x + 1/2` within `|x| <= 1 / alpha`,
    0 below and 1 above.

    Args:
        alpha: Float > 0, height of the triangle. Defaults to `1.0`.

    References:
        - [Bellec et al., 2018](https://arxiv.org/abs/1803.09574)
    """

    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        return ops.relu(self.alpha - self.alpha**2 * ops.abs(x))

    def primitive(self, x):
        x = ops.clip(x, -1.0 / self.alpha, 1.0 / self.alpha)
        return -0.5 * self.alpha**2 * ops.abs(x) * x + self.alpha * x + 0.5


@_register("piecewise_exp")
class PiecewiseExp(Surrogate):
    """Two-sided exponential: `g'(x) = alpha / 2 exp(-alpha |x|)`.

    Primitive: `exp(alpha x) / 2` below 0, `1 - exp(-alpha x) / 2` above.

    Args:
        alpha: Float > 0, the decay rate. Defaults to `1.0`.

    References:
        - [Shrestha and Orchard, 2018](https://arxiv.org/abs/1810.08646)
    """

    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        return (self.alpha / 2) * ops.exp(-self.alpha * ops.abs(x))

    def primitive(self, x):
        tail = 0.5 * ops.exp(-self.alpha * ops.abs(x))
        return ops.where(x < 0, tail, 1.0 - tail)


@_register("soft_sign")
class SoftSign(Surrogate):
    """Softsign: `g'(x) = alpha / (2 (1 + alpha |x|)^2)`.

    Primitive: `(alpha x / (1 + alpha |x|) + 1) / 2`.

    Args:
        alpha: Float > 0, the steepness. Defaults to `2.0`.
    """

    def __init__(self, alpha=2.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        z = 1.0 + self.alpha * ops.abs(x)
        return (self.alpha / 2) / (z * z)

    def primitive(self, x):
        return 0.5 * (self.alpha * x / (1.0 + self.alpha * ops.abs(x)) + 1.0)


@_register("super_spike")
class SuperSpike(Surrogate):
    """SuperSpike: `g'(x) = alpha / (|x| + 1)^2`.

    Args:
        alpha: Float > 0, height of the derivative. Defaults to `1.0`.

    References:
        - [Zenke and Ganguli, 2018](https://arxiv.org/abs/1705.11146)
    """

    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        z = ops.abs(x) + 1.0
        return self.alpha / (z * z)


@_register("nonzero_sign_log_abs")
class NonzeroSignLogAbs(Surrogate):
    """Logarithm: `g'(x) = 1 / (1 / alpha + |x|)`, cheap to compute.

    Primitive: `sign(x) log(alpha |x| + 1)` with `sign(0) = 1`; it is unbounded.

    Args:
        alpha: Float > 0, the slope at 0. Defaults to `1.0`.
    """

    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        return 1.0 / (1.0 / self.alpha + ops.abs(x))

    def primitive(self, x):
        magnitude = ops.log(self.alpha * ops.abs(x) + 1.0)
        return ops.where(x < 0, -magnitude, magnitude)


@_register("erf")
class Erf(Surrogate):
    """Gaussian: `g'(x) = alpha / sqrt(pi) exp(-alpha^2 x^2)`.

    Primitive: `(1 + erf(alpha x)) / 2`.

    Args:
        alpha: Float > 0, the inverse width. Defaults to `2.0`.

    References:
        - [Esser et al., 2015](https://papers.nips.cc/paper/5862)
    """

    def __init__(self, alpha=2.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        z = self.alpha * x
        return (self.alpha / math.sqrt(math.pi)) * ops.exp(-z * z)

    def primitive(self, x):
        return 0.5 * (1.0 + ops.erf(self.alpha * x))


@_register("piecewise_leaky_relu")
class PiecewiseLeakyReLU(Surrogate):
    """Rectangle with leaks: `g'(x) = 1 / (2 w)` for `|x| < w`, else `c`.

    Primitive: `x / (2 w) + 1/2` inside, continued with slope `c` outside.

    Args:
        w: Float > 0, half the width of the rectangle. Defaults to `1.0`.
        c: Float >= 0, the slope outside of it. Defaults to `0.01`.
    """

    def __init__(self, w=1.0, c=0.01):
        super().__init__()
        self.w = check_number("w", w, above=0.0)
        self.c = check_number("c", c, minimum=0.0)

    def derivative(self, x):
        inside = ops.abs(x) < self.w
        return ops.where(inside, ops.full_like(x, 0.5 / self.w), self.c)

    def primitive(self, x):
        inside = ops.clip(x, -self.w, self.w)
        return inside / (2.0 * self.w) + 0.5 + self.c * (x - inside)


@_register("squarewave_fourier_series")
class SquarewaveFourierSeries(Surrogate):
    """First terms of a square wave's Fourier series.

    `g'(x) = 4 / T_period sum_{i=1}^{n-1} cos((2i - 1) 2 pi x / T_period)`.

    Args:
        n: Integer >= 2, the series has `n - 1` terms. Defaults to `2`.
        T_period: Float > 0, period of the square wave. Defaults to `8.0`.
    """

    def __init__(self, n=2, T_period=8.0):
        super().__init__()
        self.n = int(check_number("n", n, minimum=2))
        self.T_period = check_number("T_period", T_period, above=0.0)

    def _frequencies(self):
        return [(2 * i - 1) * 2.0 * math.pi / self.T_period for i in range(1, self.n)]

    def derivative(self, x):
        terms = (ops.cos(w * x) for w in self._frequencies())
        return (4.0 / self.T_period) * sum(terms)

    def primitive(self, x):
        terms = (ops.sin(w * x) / w for w in self._frequencies())
        return 0.5 + (4.0 / self.T_period) * sum(terms)


@_register("s2nn")
class S2NN(Surrogate):
    """Sigmoid below the threshold, logarithm above.

    `g'(x) = alpha s (1 - s)`, `s = sigmoid(alpha x)`, for `x < 0`;
    `beta / (x + 1)` otherwise.

    Args:
        alpha: Float > 0, steepness below the threshold. Defaults to `4.0`.
        beta: Float > 0, slope just above the threshold. Defaults to `1.0`.

    References:
        - [Suetake et al., 2022](https://arxiv.org/abs/2201.10879)
    """

    def __init__(self, alpha=4.0, beta=1.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)
        self.beta = check_number("beta", beta, above=0.0)

    def derivative(self, x):
        s = ops.sigmoid(self.alpha * x)
        above = self.beta / (ops.abs(x) + 1.0)
        return ops.where(x < 0, self.alpha * s * (1.0 - s), above)

    def primitive(self, x):
        above = self.beta * ops.log(ops.abs(x) + 1.0) + 0.5
        return ops.where(x < 0, ops.sigmoid(self.alpha * x), above)


@_register("q_pseudo_spike")
class QPseudoSpike(Surrogate):
    """q-PseudoSpike: `g'(x) = (1 + 2 |x| / (alpha - 1))^-alpha`.

    Primitive: `tail = (1 + 2 |x| / (alpha - 1))^(1 - alpha) / 2` below 0,
    `1 - tail` above.

    Args:
        alpha: Float > 1, heaviness of the tail. Defaults to `2.0`.

    References:
        - [Herranz-Celotti and Rouat, 2022](https://arxiv.org/abs/2110.11065)
    """

    def __init__(self, alpha=2.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=1.0)

    def _base(self, x):
        return 1.0 + (2.0 / (self.alpha - 1.0)) * ops.abs(x)

    def derivative(self, x):
        return ops.power(self._base(x), -self.alpha)

    def primitive(self, x):
        tail = 0.5 * ops.power(self._base(x), 1.0 - self.alpha)
        return ops.where(x < 0, tail, 1.0 - tail)


@_register("leaky_k_relu")
class LeakyKReLU(Surrogate):
    """Leaky ReLU: `g'(x) = k` for `x >= 0`, else `leak`.

    Args:
        leak: Float, slope below the threshold. Defaults to `0.0`.
        k: Float, slope above the threshold. Defaults to `1.0`.
    """

    def __init__(self, leak=0.0, k=1.0):
        super().__init__()
        self.leak = check_number("leak", leak)
        self.k = check_number("k", k)

    def derivative(self, x):
        return ops.where(x >= 0, ops.full_like(x, self.k), self.leak)

    def primitive(self, x):
        return self.derivative(x) * x


@_register("fake_numerical_gradient")
class FakeNumericalGradient(Surrogate):
    """Fake numerical gradient: `g'(x) = min(1 / |x|, alpha)`.

    Args:
        alpha: Float > 0, the largest slope. Defaults to `0.3`.
    """

    def __init__(self, alpha=0.3):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        # 1 / max(|x|, 1 / alpha), so that nothing is divided by zero. With
        # `ops.maximum` and a number, float64 would become float32 on torch.
        smallest = 1.0 / self.alpha
        return 1.0 / (smallest + ops.relu(ops.abs(x) - smallest))


@_register("log_tailed_relu")
class LogTailedReLU(Surrogate):
    """ReLU with a logarithmic tail.

    `g'(x) = alpha` for `x <= 0`, 1 for `0 < x <= 1`, `1 / x` for `x > 1`.

    Args:
        alpha: Float, slope below the threshold. Defaults to `0.0`.

    References:
        - [Cai et al., 2017](https://arxiv.org/abs/1702.00953)
    """

    def __init__(self, alpha=0.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha)

    def derivative(self, x):
        return ops.where(x > 0, 1.0 / (1.0 + ops.relu(x - 1.0)), self.alpha)

    def primitive(self, x):
        excess = ops.relu(x - 1.0)
        tail = ops.log(1.0 + excess) + x - excess
        return ops.where(x > 0, tail, self.alpha * x)


@_register("rect")
class Rect(Surrogate):
    """Rectangle: `g'(x) = alpha` for `|x| < 1 / (2 alpha)`, else 0.

    Primitive: `clip(alpha x + 1/2, 0, 1)`.

    Args:
        alpha: Float > 0, height and inverse width. Defaults to `1.0`.

    References:
        - [Wu et al., 2018](https://arxiv.org/abs/1706.02609)
    """

    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = check_number("alpha", alpha, above=0.0)

    def derivative(self, x):
        inside = ops.abs(x) < 0.5 / self.alpha
        return ops.where(inside, ops.full_like(x, self.alpha), 0.0)

    def primitive(self, x):
        return ops.clip(self.alpha * x + 0.5, 0.0, 1.0)


@_register("straight_through")
class StraightThrough(Surrogate):
    """Straight-through estimator: `g'(x) = 1`, where `|x| <= width` if given.

    Args:
        width: Float > 0 or `None`, beyond this distance from the threshold the
            gradient is cut. Defaults to `None`, nowhere.

    References:
        - [Bengio et al., 2013](https://arxiv.org/abs/1308.3432)
    """

    def __init__(self, width=None):
        super().__init__()
        if width is not None:
            width = check_number("width", width, above=0.0)
        self.width = width

    def derivative(self, x):
        if self.width is None:
            return ops.ones_like(x)
        return ops.cast(ops.abs(x) <= self.width, x.dtype)

    def primitive(self, x):
        if self.width is None:
            return x
        return ops.clip(x, -self.width, self.width)


@keras.saving.register_keras_serializable("keras_spiking")
class FromDerivative(Surrogate):
    """The surrogate whose derivative is the given function.

    `surrogates.get` makes one of any callable.

    Args:
        function: Callable, takes and returns a float tensor: `g'(x)`. To save a
            model that uses it, register it with
            `keras.saving.register_keras_serializable`.
    """

    def __init__(self, function):
        super().__init__()
        self.function = function

    def derivative(self, x):
        return self.function(x)

    def get_config(self):
        function = keras.saving.serialize_keras_object(self.function)
        return {"function": function}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["function"]))


def names():
    """Names that `get` knows, in alphabetical order."""
    return sorted(_CLASSES)


def get(identifier):
    """Returns the surrogate that `identifier` stands for.

    Args:
        identifier: A `Surrogate`, the name of one (`"sigmoid"`, `"atan"`,
            `"PiecewiseExp"`, ...), its configuration, or any callable, which is
            taken for the derivative `g'(x)`.

    Raises:
        ValueError: for a name that does not exist, listing those that do.
        TypeError: for anything else.

    Example:

    >>> keras_spiking.surrogates.get("atan")
    ATan(alpha=2.0)
    """
    if isinstance(identifier, Surrogate):
        return identifier
    if isinstance(identifier, str):
        for name, cls in _CLASSES.items():
            if identifier in (name, cls.__name__):
                return cls()
        raise ValueError(
            f"Unknown surrogate: surrogate={identifier!r}. Pass one of "
            f"{', '.join(names())}, a `Surrogate`, or a callable that computes "
            "the derivative."
        )
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Surrogate):
        return identifier()
    if callable(identifier):
        return FromDerivative(identifier)
    raise TypeError(
        "`surrogate` must be a name, a `Surrogate` or a callable that computes "
        f"the derivative. Received: surrogate={identifier!r}"
    )


def serialize(surrogate):
    """Configuration of a surrogate, for `get`."""
    return keras.saving.serialize_keras_object(surrogate)
