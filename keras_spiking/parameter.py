"""Parameters of layers: fixed or learnable, one for all neurons or one each."""

import operator
import warnings

import numpy as np
from keras import ops

from keras_spiking.constraints import Interval
from keras_spiking.validation import check_array
from keras_spiking.validation import check_choice

SHARING = ("layer", "channel", "neuron")

# The least value of a parameter that something is divided by, exact in float32.
POSITIVE = 2.0**-20


class Parameter:
    """Declares a parameter of a `TemporalLayer`, as a class attribute.

    Assigning to it checks the value, before and after the layer is built; if the
    layer learns the parameter, the weight is set. Reading it gives a float, or, for
    an array and for a learned parameter, a tensor that broadcasts over the features.

    A function that has been compiled (by `fit`, `predict`, `jax.jit`, ...) keeps the
    value of a fixed parameter that it was compiled with, as Keras does for all
    attributes of layers.

    Args:
        minimum: Float, the smallest allowed value, or `None`.
        maximum: Float, the largest allowed value, or `None`.
        optional: Boolean, whether `None` is allowed.
        learnable: Boolean, whether it is a weight without being asked for.
        differentiable: Boolean, whether it has a gradient. If not, it cannot be
            learned.
        whole: Boolean, whether its values must be whole numbers.

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

    formerly = None  # an older name, which `learnable` may still use

    def __init__(
        self,
        minimum: float | None = None,
        maximum: float | None = None,
        optional: bool = False,
        learnable: bool = False,
        differentiable: bool = True,
        whole: bool = False,
    ):
        self.minimum = minimum
        self.maximum = maximum
        self.optional = optional
        self.learnable = learnable
        self.differentiable = differentiable
        self.whole = whole

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
            value = self.check(layer, value)
        weight = self.weight(layer)
        if weight is not None:
            self._assign(weight, value)
        elif layer.built:
            _check_broadcast(self.name, np.shape(value), layer.features)
        vars(layer)[self.name] = value

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        weight = self.weight(layer)
        if weight is not None:
            return self.from_weight(ops.convert_to_tensor(weight))
        value = self.given(layer)
        if isinstance(value, np.ndarray):
            return ops.convert_to_tensor(value, dtype=layer.state_dtype)
        return value

    def check(self, layer, value):
        """Returns the value as a float or a float64 array, if it is allowed."""
        checked = check_array(self.name, value, self.minimum, self.maximum)
        if self.whole and np.any(checked != np.round(checked)):
            raise TypeError(
                f"`{self.name}` must be a whole number. Received: {self.name}={value!r}"
            )
        return checked

    def given(self, layer):
        """The value that was assigned: a float, an array or `None`."""
        if self.name not in vars(layer):
            raise AttributeError(f"`{self.name}` has not been set yet.")
        return vars(layer)[self.name]

    def weight(self, layer):
        """The variable that the layer learns in its place, or `None`."""
        return vars(layer).get(f"{self.name}_weight")

    def build(self, layer, features):
        """Checks the shape of the value; makes a weight of what is learned."""
        value = self.given(layer)
        if value is None:
            return
        _check_broadcast(self.name, np.shape(value), features)
        if not (self.learnable or self.name in layer.learnable):
            return
        sharing = layer.learnable.get(self.name)
        shape = _shape(self.name, value, sharing, features, layer.data_format)
        value = self.to_weight(np.broadcast_to(value, shape))
        bounded = self.minimum is not None or self.maximum is not None
        vars(layer)[f"{self.name}_weight"] = layer.add_weight(
            name=self.name,
            shape=shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
            constraint=Interval(self.minimum, self.maximum) if bounded else None,
            dtype=layer.state_dtype,
            autocast=False,
        )

    def _assign(self, weight, value):
        try:
            value = np.broadcast_to(value, weight.shape)
        except ValueError:
            raise ValueError(
                f"The layer learns `{self.name}` as a weight of shape "
                f"{tuple(weight.shape)}. Received: {self.name}={value!r}, of shape "
                f"{np.shape(value)}."
            ) from None
        weight.assign(self.to_weight(value))

    def to_weight(self, value):
        """The array that is learned in place of the parameter's value."""
        return value

    def from_weight(self, weight):
        """The parameter's value, a tensor, from what is learned in its place."""
        return weight


class Positive(Parameter):
    """A parameter above 0 that is learned, if it is, as `exp(weight)`."""

    def check(self, layer, value):
        return check_array(self.name, value, above=0.0)

    def to_weight(self, value):
        return np.log(value)

    def from_weight(self, weight):
        return ops.exp(ops.clip(weight, -40.0, 40.0))


class Fraction(Parameter):
    """A parameter between 0 and 1 that is learned as `sigmoid(weight)`.

    The layer takes the initial value as the argument `init_{name}`.
    """

    def __init__(self, optional=False):
        super().__init__(optional=optional, learnable=True)

    def check(self, layer, value):
        name = self.name if layer.built else f"init_{self.name}"
        return check_array(name, value, above=0.0, below=1.0)

    def to_weight(self, value):
        return np.log(value) - np.log1p(-value)

    def from_weight(self, weight):
        return ops.sigmoid(weight)


class TimeConstant(Parameter):
    """A time constant above 1 that is learned as `1 / sigmoid(weight)`.

    The layer takes the initial value as the argument `init_{name}`.
    """

    formerly = "w"

    def __init__(self):
        super().__init__(learnable=True)

    def check(self, layer, value):
        name = self.name if layer.built else f"init_{self.name}"
        return check_array(name, value, above=1.0)

    def to_weight(self, value):
        return -np.log(value - 1.0)

    def from_weight(self, weight):
        # Beyond 40 float32 shows no difference, but gradients would be 0 * infinity.
        return 1.0 / ops.sigmoid(ops.clip(weight, -40.0, 40.0))


def parameters(cls):
    """The parameters that a class declares or inherits: `{name: Parameter}`."""
    return {
        name: value
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, Parameter)
    }


def current_value(layer, name):
    """A parameter's value at present: a float, a NumPy array, or `None`."""
    value = getattr(layer, name)
    if value is None or isinstance(value, float):
        return value
    value = ops.convert_to_numpy(value)
    return float(value) if value.ndim == 0 else value


def normalize_learnable(learnable, cls):
    """Returns `learnable` as a dictionary from names to how it is shared."""
    if learnable is None:
        return {}
    if isinstance(learnable, str):
        learnable = (learnable,)
    if not isinstance(learnable, (list, tuple, set, dict)):
        raise TypeError(
            "`learnable` must be the name of a parameter, a list of names, or a "
            "dictionary from names to 'layer', 'channel' or 'neuron'. "
            f"Received: learnable={learnable!r}"
        )
    if not isinstance(learnable, dict):
        learnable = dict.fromkeys(learnable)
    declared = parameters(cls)
    renamed = {p.formerly: name for name, p in declared.items() if p.formerly}
    known = [name for name, p in declared.items() if p.differentiable]
    checked = {}
    for name, sharing in learnable.items():
        if name in renamed and name not in declared:
            deprecated(f"learnable={name!r}", f"learnable={renamed[name]!r}")
            name = renamed[name]
        if name not in known and (name in declared or not known):
            why = "its gradient is always 0" if known else "it has no weights"
            raise ValueError(
                f"{cls.__name__} cannot learn `{name}`: {why}. It can learn "
                f"{known or 'nothing'}. Received: learnable={learnable!r}"
            )
        check_choice("learnable", name, known)
        if sharing is not None:
            check_choice(f"learnable[{name!r}]", sharing, SHARING)
        checked[name] = sharing
    return checked


class Alias:
    """Reads an attribute by an older name, with a warning.

    Args:
        new: The present name.
        read: Callable that takes the layer, if the value is another one.
    """

    def __init__(self, new, read=None):
        self.new = new
        self.read = read or operator.attrgetter(new)

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        deprecated(self.name, self.new)
        return self.read(layer)


def deprecated(old, new):
    """Warns that a name is an older one."""
    warnings.warn(
        f"`{old}` is deprecated: use `{new}`.", DeprecationWarning, stacklevel=3
    )


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
