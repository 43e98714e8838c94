"""The element-wise operations: how each reads in C, and its derivative.

A derivative is written with the operators of expressions: given the gradient
`g` of the result, the arguments and the result, it returns the gradients of the
arguments, `None` for no gradient.

Where a derivative is a matter of convention (at a tie, at zero, at NaN), backends
differ, and kernels do what the reference does on the backend in use.
"""

import math
from collections import namedtuple

import keras

TENSORFLOW = keras.config.backend() == "tensorflow"
TORCH = keras.config.backend() == "torch"
JAX = keras.config.backend() == "jax"

Operation = namedtuple("Operation", ["code", "gradient"])


def _where(condition, x, y):
    return condition.graph.apply("where", condition, x, y)


def _apply(op, x, *args):
    return x.graph.apply(op, x, *args)


def _power_gradient(g, x, y, out):
    lower = y.value - 1.0 if y.is_constant() else y - 1.0
    to_base = g * y * _apply("power", x, lower)
    if TORCH:
        to_base = _where(_apply("equal", y, 0.0), 0.0, to_base)
    if y.is_constant():
        return to_base, None
    if TENSORFLOW:
        return to_base, g * out * _where(x > 0.0, _apply("log", x), 0.0)
    is_zero = _apply("equal", x, 0.0)
    if TORCH:
        is_zero = _apply("logical_and", is_zero, y >= 0.0)
        return to_base, g * _where(is_zero, 0.0, out * _apply("log", x))
    return to_base, g * out * _apply("log", _where(is_zero, 1.0, x))


def _extreme_gradient(wins, wins_or_ties):
    def gradient(g, x, y, out):
        if TENSORFLOW:
            chosen = _apply(wins_or_ties, x, y)
            return _where(chosen, g, 0.0), _where(chosen, 0.0, g)
        x_wins, y_wins = _apply(wins, x, y), _apply(wins, y, x)
        tie = _apply("equal", x, y)
        if TORCH:  # both get all of it where one is NaN
            g = _where(tie, 0.5 * g, g)
            return _where(y_wins, 0.0, g), _where(x_wins, 0.0, g)
        half = _where(tie, 0.5, 0.0)
        return g * _where(x_wins, 1.0, half), g * _where(y_wins, 1.0, half)

    return gradient


_maximum_gradient = _extreme_gradient("greater", "greater_equal")
_minimum_gradient = _extreme_gradient("less", "less_equal")


def _clip_gradient(g, x, low, high, out):
    if TENSORFLOW:
        g, to_low = _maximum_gradient(g, _apply("minimum", x, high), low, out)
        to_x, to_high = _minimum_gradient(g, x, high, out)
    elif TORCH:
        is_inside = _apply("logical_and", x >= low, _apply("less_equal", x, high))
        to_x = _where(is_inside, g, 0.0)
        to_low = _where(_apply("logical_and", x < low, low < high), g, 0.0)
        to_high = _where(_apply("logical_or", x > high, high < low), g, 0.0)
    else:
        g, to_high = _minimum_gradient(g, _apply("maximum", x, low), high, out)
        to_x, to_low = _maximum_gradient(g, x, low, out)
    return to_x, to_low, to_high


def _relu_gradient(g, x, out):
    if TORCH:
        return (_where(_apply("less_equal", x, 0.0), 0.0, g),)
    return (g * (x > 0.0) if TENSORFLOW else _where(x > 0.0, g, 0.0),)


def _absolute_gradient(g, x, out):
    if JAX:
        return (_where(x >= 0.0, g, -g),)
    return (g * _apply("sign", x),)


def _unless_zero(g, gradient):
    # TensorFlow's derivatives of roots are 0 where `g` is, even at zero and NaN.
    return _where(_apply("equal", g, 0.0), 0.0, gradient) if TENSORFLOW else gradient


def _sqrt_gradient(g, x, out):
    return (_unless_zero(g, g * 0.5 / out),)


def _reciprocal_gradient(g, x, out):
    return (_unless_zero(g, -(g * out * out)),)


def _rsqrt_gradient(g, x, out):
    return (_unless_zero(g, g * -0.5 * (out / x if JAX else out * out * out)),)


def _no_gradient(g, *args):
    return (None,) * (len(args) - 1)


def _to_like(g, value, like, out):
    finite = _apply("less", _apply("absolute", like), math.inf)
    return None, _where(finite, g, 0.0)


OPERATIONS = {
    "add": Operation("{0} + {1}", lambda g, x, y, out: (g, g)),
    "subtract": Operation("{0} - {1}", lambda g, x, y, out: (g, -g)),
    "multiply": Operation("{0} * {1}", lambda g, x, y, out: (g * y, g * x)),
    "divide": Operation("{0} / {1}", lambda g, x, y, out: (g / y, -(g * out) / y)),
    "negative": Operation("-{0}", lambda g, x, out: (-g,)),
    "power": Operation("POW({0}, {1})", _power_gradient),
    "maximum": Operation("MAXIMUM({0}, {1})", _maximum_gradient),
    "minimum": Operation("MINIMUM({0}, {1})", _minimum_gradient),
    "clip": Operation(
        "MAXIMUM(MINIMUM({0}, {2}), {1})"
        if TENSORFLOW
        else "MINIMUM(MAXIMUM({0}, {1}), {2})",
        _clip_gradient,
    ),
    "relu": Operation("MAXIMUM({0}, ZERO)", _relu_gradient),
    "absolute": Operation("ABS({0})", _absolute_gradient),
    # The sign of NaN is 0 on PyTorch.
    "sign": Operation(
        "{0} == {0} ? SIGN({0}) : ZERO" if TORCH else "SIGN({0})", _no_gradient
    ),
    "exp": Operation("EXP({0})", lambda g, x, out: (g * out,)),
    "expm1": Operation("EXPM1({0})", lambda g, x, out: (g * (out + 1.0),)),
    "log": Operation("LOG({0})", lambda g, x, out: (g / x,)),
    "log1p": Operation("LOG1P({0})", lambda g, x, out: (g / (1.0 + x),)),
    "sqrt": Operation("SQRT({0})", _sqrt_gradient),
    "reciprocal": Operation("ONE / {0}", _reciprocal_gradient),
    "rsqrt": Operation("ONE / SQRT({0})", _rsqrt_gradient),
    "sin": Operation("SIN({0})", lambda g, x, out: (g * _apply("cos", x),)),
    "cos": Operation("COS({0})", lambda g, x, out: (-(g * _apply("sin", x)),)),
    "arctan": Operation("ATAN({0})", lambda g, x, out: (g / (1.0 + x * x),)),
    "tanh": Operation("TANH({0})", lambda g, x, out: (g * (1.0 - out * out),)),
    "sigmoid": Operation("SIGMOID({0})", lambda g, x, out: (g * out * (1.0 - out),)),
    "softplus": Operation(
        "SOFTPLUS({0})", lambda g, x, out: (g * _apply("sigmoid", x),)
    ),
    "erf": Operation(
        "ERF({0})",
        lambda g, x, out: (g * (2.0 / math.sqrt(math.pi)) * _apply("exp", -(x * x)),),
    ),
    "floor": Operation("FLOOR({0})", _no_gradient),
    "ceil": Operation("CEIL({0})", _no_gradient),
    "trunc": Operation("TRUNC({0})", _no_gradient),
    "round": Operation("RINT({0})", _no_gradient),
    "greater": Operation("{0} > {1}", _no_gradient),
    "greater_equal": Operation("{0} >= {1}", _no_gradient),
    "less": Operation("{0} < {1}", _no_gradient),
    "less_equal": Operation("{0} <= {1}", _no_gradient),
    "equal": Operation("{0} == {1}", _no_gradient),
    "not_equal": Operation("{0} != {1}", _no_gradient),
    "logical_and": Operation("{0} && {1}", _no_gradient),
    "logical_or": Operation("{0} || {1}", _no_gradient),
    "logical_not": Operation("!{0}", _no_gradient),
    "to_real": Operation("{0} ? ONE : ZERO", _no_gradient),
    "where": Operation(
        "{0} ? {1} : {2}",
        lambda g, c, x, y, out: (None, _where(c, g, 0.0), _where(c, 0.0, g)),
    ),
    "stop_gradient": Operation("{0}", _no_gradient),
    "straight_through": Operation("{0}", _to_like),
    # Halves of `bounded`: each is one instruction if it stands in a line of its own.
    "at_most": Operation("AT_MOST({1}, {0})", lambda g, x, limit, out: (g, None)),
    "at_least": Operation("AT_LEAST({1}, {0})", lambda g, x, limit, out: (g, None)),
    # `trace` gives a spike its surrogate's derivative as the second argument.
    "spike": Operation(
        "{0} >= ZERO ? ONE : ZERO", lambda g, x, slope, out: (g * slope, None)
    ),
}
