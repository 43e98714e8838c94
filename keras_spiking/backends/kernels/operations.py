"""The element-wise operations: how each reads in C, and its derivative.

A derivative is written with the operators of expressions: given the gradient
`g` of the result, the arguments and the result, it returns the gradients of the
arguments, `None` for no gradient.
"""

import math
from collections import namedtuple

Operation = namedtuple("Operation", ["code", "gradient"])


def _where(condition, x, y):
    return condition.graph.apply("where", condition, x, y)


def _apply(op, x, *args):
    return x.graph.apply(op, x, *args)


def _power_gradient(g, x, y, out):
    to_base = g * y * _apply("power", x, y - 1.0)
    if y.is_constant():
        return to_base, None
    return to_base, g * out * _apply("log", x)


def _larger(g, x, y, out):
    # At a tie both sides get half, as the backends do it.
    half = _where(_apply("equal", x, y), 0.5 * g, 0.0)
    return _where(x > y, g, half), _where(x < y, g, half)


def _smaller(g, x, y, out):
    to_y, to_x = _larger(g, x, y, out)
    return to_x, to_y


def _no_gradient(g, *args):
    return (None,) * (len(args) - 1)


OPERATIONS = {
    "add": Operation("{0} + {1}", lambda g, x, y, out: (g, g)),
    "subtract": Operation("{0} - {1}", lambda g, x, y, out: (g, -g)),
    "multiply": Operation("{0} * {1}", lambda g, x, y, out: (g * y, g * x)),
    "divide": Operation("{0} / {1}", lambda g, x, y, out: (g / y, -(g * out) / y)),
    "negative": Operation("-{0}", lambda g, x, out: (-g,)),
    "power": Operation("POW({0}, {1})", _power_gradient),
    "maximum": Operation("MAXIMUM({0}, {1})", _larger),
    "minimum": Operation("MINIMUM({0}, {1})", _smaller),
    "absolute": Operation("ABS({0})", lambda g, x, out: (g * _apply("sign", x),)),
    "sign": Operation("SIGN({0})", _no_gradient),
    "exp": Operation("EXP({0})", lambda g, x, out: (g * out,)),
    "expm1": Operation("EXPM1({0})", lambda g, x, out: (g * (out + 1.0),)),
    "log": Operation("LOG({0})", lambda g, x, out: (g / x,)),
    "log1p": Operation("LOG1P({0})", lambda g, x, out: (g / (1.0 + x),)),
    "sqrt": Operation("SQRT({0})", lambda g, x, out: (g * 0.5 / out,)),
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
    # `trace` gives a spike its surrogate's derivative as the second argument.
    "spike": Operation(
        "{0} >= ZERO ? ONE : ZERO", lambda g, x, slope, out: (g * slope, None)
    ),
}
