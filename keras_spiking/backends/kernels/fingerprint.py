"""What a step reads of its layer, as values that can be compared.

A kernel serves a layer as long as everything that its step has read is as it was when
the kernel was made: numbers, the surrogate and its attributes, methods. Arrays and
weights count by their shapes, since kernels take them as arguments.
"""

import types
import weakref

import keras
import numpy as np

from keras_spiking.surrogates import Surrogate

_OF_OPERATIONS = frozenset(vars(keras.Operation()))


def fingerprint(layer, names):
    """What a layer has under the names of attributes, to be compared and hashed."""
    declared = type(layer).declared
    return tuple(_of(layer, name, declared.get(name)) for name in names)


def _of(layer, name, parameter):
    if parameter is None:
        return signature(getattr(layer, name, None))
    weight = parameter.weight(layer)
    value = parameter.given(layer) if weight is None else weight
    return (
        signature(value)
        if value is None or isinstance(value, float)
        else (
            "array",
            tuple(value.shape),
        )
    )


def signature(value, depth=3):
    """A value as something that can be compared and hashed."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return type(value), value
    if isinstance(value, (np.ndarray, np.generic)):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, keras.Variable):
        return "variable", tuple(value.shape), value.dtype
    if isinstance(value, keras.layers.Layer):
        return weakref.ref(value)
    if isinstance(value, types.MethodType):
        return value.__func__
    if depth and isinstance(value, (list, tuple)):
        return type(value), tuple(signature(v, depth - 1) for v in value)
    if depth and isinstance(value, dict):
        items = value.items()
        return type(value), tuple((k, signature(v, depth - 1)) for k, v in items)
    if depth and (isinstance(value, Surrogate) or _is_plain(value)):
        return type(value), attributes_of(value, depth)
    return _Identity(value)


def attributes_of(value, depth=3):
    """The attributes of an object, without those of Keras's operations."""
    return tuple(
        (name, signature(attribute, depth - 1))
        for name, attribute in vars(value).items()
        if name not in _OF_OPERATIONS
    )


def _is_plain(value):
    return hasattr(value, "__dict__") and not isinstance(
        value, (type, types.FunctionType, types.ModuleType)
    )


class _Identity:
    """An object that equals itself only."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, _Identity) and self.value is other.value

    def __hash__(self):
        return id(self.value)
