"""Parameters of neurons: fixed or learnable, one for all or one each."""

import contextlib

import numpy as np
from keras import ops

from keras_spiking.constraints import Interval
from keras_spiking.validation import check_array
from keras_spiking.validation import check_choice

SHARING = ("layer", "channel", "neuron")


class Parameter:
    """Declares a parameter of a `SpikingLayer`, as a class attribute.

    Assigning to it checks the value. Reading it gives a float, or, for an array
    and for what the layer learns, a tensor that broadcasts over the features.

    Args:
        minimum: Float, the smallest value that makes sense, or `None`.
        maximum: Float, the largest value that makes sense, or `None`.
        optional: Boolean, whether `None` is a value.
        learnable: Boolean, whether it is a weight without being asked for.

    Example:

    >>> class Leaky(keras_spiking.layers.SpikingLayer):
    ...     tau = keras_spiking.layers.Parameter(minimum=1.0)
    ...
    ...     def __init__(self, tau=2.0, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.tau = tau
    ...
    ...     def charge(self, x, v):
    ...         return v - v / self.tau + x
    >>> layer = Leaky(tau=3.0, learnable="tau")
    """

    def __init__(self, minimum=None, maximum=None, optional=False, learnable=False):
        self.minimum = minimum
        self.maximum = maximum
        self.optional = optional
        self.learnable = learnable

    def __set_name__(self, owner, name):
        self.name = name

    def __set__(self, layer, value):
        if value is None and self.optional:
            if self.name in layer.learnable:
                raise ValueError(
                    f"`{self.name}=None` cannot be learned: give it a value or "
                    f"leave it out of `learnable={layer.learnable}`."
                )
        else:
            value = check_array(self.name, value, self.minimum, self.maximum)
        layer.parameter_values[self.name] = value

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        if self.name in layer.parameter_symbols:
            return layer.parameter_symbols[self.name]
        weight = layer.parameter_weights.get(self.name)
        if weight is not None:
            return self.from_weight(ops.convert_to_tensor(weight))
        if self.name not in layer.parameter_values:
            raise AttributeError(f"`{self.name}` has not been set yet.")
        value = layer.parameter_values[self.name]
        if isinstance(value, np.ndarray):
            return ops.convert_to_tensor(value, dtype=layer.state_dtype)
        return value

    def build(self, layer, features):
        """Checks the shape of the value; makes a weight of what is learned."""
        value = layer.parameter_values[self.name]
        if value is None:
            return
        _check_broadcast(self.name, np.shape(value), features)
        if not (self.learnable or self.name in layer.learnable):
            return
        sharing = layer.learnable.get(self.name)
        shape = _shape(self.name, value, sharing, features, layer.data_format)
        value = self.to_weight(np.broadcast_to(value, shape))
        bounded = self.minimum is not None or self.maximum is not None
        layer.parameter_weights[self.name] = layer.add_weight(
            name=self.name,
            shape=shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
            constraint=Interval(self.minimum, self.maximum) if bounded else None,
            dtype=layer.state_dtype,
            autocast=False,
        )

    def to_weight(self, value):
        """The array that is learned in place of the parameter's value."""
        return value

    def from_weight(self, weight):
        """The parameter's value, a tensor, from what is learned in its place."""
        return weight


class Fraction(Parameter):
    """A parameter between 0 and 1 that is learned as `sigmoid(weight)`.

    The layer takes the value to start from as the argument `init_{name}`.
    """

    def __init__(self, optional=False):
        super().__init__(optional=optional, learnable=True)

    def __set__(self, layer, value):
        if value is not None:
            check_array(f"init_{self.name}", value, above=0.0, below=1.0)
        super().__set__(layer, value)

    def to_weight(self, value):
        return np.log(value) - np.log1p(-value)

    def from_weight(self, weight):
        return ops.sigmoid(weight)


def parameters(cls):
    """The parameters that a class declares or inherits: `{name: Parameter}`."""
    return {
        name: value
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, Parameter)
    }


@contextlib.contextmanager
def replaced_parameters(layer, replace):
    """Lets something else stand in for a layer's tensor-valued parameters.

    Args:
        layer: Layer that declares parameters.
        replace: Function from a parameter's tensor to what stands in for it.

    Yields:
        Dictionary from names to what stands in.
    """
    symbols = layer.parameter_symbols
    for name in parameters(type(layer)):
        value = getattr(layer, name)
        if value is not None and not isinstance(value, float):
            symbols[name] = replace(value)
    try:
        yield dict(symbols)
    finally:
        symbols.clear()


def normalize_learnable(learnable, cls):
    """Returns `learnable` as a dictionary from names to how it is shared."""
    if learnable is None:
        return {}
    if isinstance(learnable, str):
        learnable = (learnable,)
    if not isinstance(learnable, dict):
        learnable = dict.fromkeys(learnable)
    for name, sharing in learnable.items():
        check_choice("learnable", name, tuple(parameters(cls)))
        if sharing is not None:
            check_choice(f"learnable[{name!r}]", sharing, SHARING)
    return dict(learnable)


def _check_broadcast(name, shape, features):
    pairs = zip(reversed(shape), reversed(features))
    fits = all(n == 1 or m is None or n == m for n, m in pairs)
    if len(shape) > len(features) or not fits:
        raise ValueError(
            f"`{name}` must broadcast over the features, whose shape is "
            f"{tuple(features)} (the input's without batch and time). "
            f"Received an array of shape {shape}."
        )


def _shape(name, value, sharing, features, data_format):
    if sharing is None:
        return np.shape(value)
    if sharing == "layer":
        shape = ()
    elif sharing == "neuron":
        shape = tuple(features)
    elif data_format == "channels_first" and len(features) > 1:
        shape = (features[0],) + (1,) * (len(features) - 1)
    else:
        shape = (features[-1],)
    if None in shape:
        raise ValueError(
            f"`learnable={{{name!r}: {sharing!r}}}` needs features of a known "
            f"size. Received an input with features of shape {tuple(features)}."
        )
    try:
        np.broadcast_to(value, shape)
    except ValueError:
        raise ValueError(
            f"The initial `{name}`, of shape {np.shape(value)}, cannot be shared "
            f"as `learnable={{{name!r}: {sharing!r}}}` says: that has the shape "
            f"{shape}."
        ) from None
    return shape


def to_config(value):
    """A parameter's value as JSON can hold it."""
    return value.tolist() if isinstance(value, np.ndarray) else value
