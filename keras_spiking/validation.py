"""Checks of arguments: what was given, what is allowed, what to do."""

import difflib
import inspect
import numbers

import keras
import numpy as np

# Arguments that every Keras layer takes.
_OF_KERAS = {
    *("name", "dtype", "trainable", "autocast", "activity_regularizer"),
    *("input_shape", "batch_shape", "batch_input_shape", "input_dtype", "batch_size"),
}

# Arguments of neurons in other frameworks.
_ELSEWHERE = {
    "beta": "use LeakyLayer(beta), or LIFLayer(1 / (1 - beta), decay_input=False)",
    "learn_beta": "use `learnable`, with the name of the parameter",
    "learn_threshold": "use `learnable='v_threshold'`",
    "reset_mechanism": "`v_reset=None` subtracts the threshold, `v_reset=0.0` resets",
    "spike_grad": "use `surrogate`",
    "init_tau": "use `tau`",
    "init_hidden": "the state starts fresh in every call, leave it out",
    "step_mode": "layers always take a sequence, leave it out",
    "store_v_seq": "use WithStates around the neurons",
}


def check_number(name, value, minimum=None, maximum=None, above=None, below=None):
    """Returns `value` as a Python number if it is one within the bounds."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, np.number)):
        raise TypeError(
            f"`{name}` must be a number. Received: {name}={value!r} "
            f"(of type {type(value).__name__})"
        )
    value = value.item() if isinstance(value, np.generic) else value
    array = np.asarray(value, "float64")
    _check_bounds(name, array, value, minimum, maximum, above, below)
    return value


def check_integer(name, value, minimum=None, maximum=None):
    """Returns `value` as an `int` if it is a whole number within the bounds."""
    whole = isinstance(value, (numbers.Integral, np.integer))
    if isinstance(value, (bool, np.bool_)) or not whole:
        raise TypeError(
            f"`{name}` must be an integer. Received: {name}={value!r} "
            f"(of type {type(value).__name__})"
        )
    _check_bounds(name, np.asarray(value), value, minimum, maximum, None, None)
    return int(value)


def check_bool(name, value):
    """Returns `value` as a `bool` if it is `True` or `False`."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"`{name}` must be True or False. Received: {name}={value!r} "
            f"(of type {type(value).__name__})"
        )
    return bool(value)


def check_array(name, value, minimum=None, maximum=None, above=None, below=None):
    """Returns a float, or a float64 array if `value` has dimensions."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "bUSOmMc":  # truth values, texts, objects, times
            raise TypeError
        array = array.astype("float64")
    except (TypeError, ValueError):
        raise TypeError(
            f"`{name}` must be a number or an array of numbers. "
            f"Received: {name}={value!r}"
        ) from None
    if array.size == 0:
        raise ValueError(f"`{name}` must not be empty. Received: {name}={value!r}")
    _check_bounds(name, array, value, minimum, maximum, above, below)
    return float(array) if array.ndim == 0 else array


def check_timesteps(timesteps, name="timesteps"):
    """Returns `timesteps`, a number of time steps, as an `int` of at least 1."""
    return check_integer(name, timesteps, minimum=1)


def check_keywords(cls, keywords):
    """Raises `TypeError` for keyword arguments that a layer does not take.

    Args:
        cls: Class of the layer.
        keywords: The keyword arguments that are left for `keras.layers.Layer`.
    """
    known = [n for n in inspect.signature(cls).parameters if n != "kwargs"]
    for name, value in keywords.items():
        if name in _OF_KERAS or name in known:
            continue
        if name in _ELSEWHERE and "v_threshold" in known:
            hint = _ELSEWHERE[name]
            raise TypeError(
                f"{cls.__name__} has no argument `{name}`: {hint}. "
                f"Received: {name}={value!r}"
            )
        nearest = difflib.get_close_matches(name, [*known, *_OF_KERAS], n=1)
        hint = f"Did you mean `{nearest[0]}`?" if nearest else f"It takes {known}."
        raise TypeError(
            f"{cls.__name__} has no argument `{name}`. "
            f"{hint} Received: {name}={value!r}"
        )


def refuse_keywords(cls, keywords, **reasons):
    """Raises `TypeError` for arguments of its base that a layer does not take.

    Args:
        cls: Class of the layer.
        keywords: The keyword arguments that it received.
        **reasons: For each of these arguments, why not, or what to use instead.
    """
    for name in keywords.keys() & reasons.keys():
        raise TypeError(
            f"{cls.__name__} has no argument `{name}`: {reasons[name]}. "
            f"Received: {name}={keywords[name]!r}"
        )


def _check_bounds(name, array, value, minimum, maximum, above, below):
    if not np.all(np.isfinite(array)):
        raise ValueError(f"`{name}` must be finite. Received: {name}={value!r}")
    if minimum is not None and not np.all(array >= minimum):
        factor = name.startswith("tau") and np.all(array > 0.0)
        hint = ". A factor `beta` by which potentials decay is tau = 1 / (1 - beta)."
        raise ValueError(
            f"`{name}` must be at least {minimum:g}. Received: {name}={value!r}"
            f"{hint if factor else ''}"
        )
    if maximum is not None and not np.all(array <= maximum):
        raise ValueError(
            f"`{name}` must be at most {maximum:g}. Received: {name}={value!r}"
        )
    if above is not None and not np.all(array > above):
        raise ValueError(
            f"`{name}` must be greater than {above:g}. Received: {name}={value!r}"
        )
    if below is not None and not np.all(array < below):
        raise ValueError(
            f"`{name}` must be less than {below:g}. Received: {name}={value!r}"
        )


def check_choice(name, value, choices):
    """Returns `value` if it is one of `choices`."""
    if value not in choices:
        allowed = ", ".join(repr(c) for c in choices)
        raise ValueError(
            f"`{name}` must be one of {allowed}. Received: {name}={value!r}"
        )
    return value


def check_seed(seed):
    """Returns `seed`, an integer or `None`."""
    return None if seed is None else check_integer("seed", seed)


def check_data_format(data_format):
    """Returns `data_format`, or that of Keras if it is `None`."""
    if data_format is None:
        data_format = keras.config.image_data_format()
    choices = ("channels_last", "channels_first")
    return check_choice("data_format", data_format, choices)


def check_groups(layer, what, size, group):
    """Returns how many groups of `group` there are in `size`, without a rest."""
    if size is None or size % group:
        raise ValueError(
            f"The {what} of {type(layer).__name__} '{layer.name}' must divide into "
            f"groups of {group}. Received: {size} {what}."
        )
    return size // group


_ENCODERS = (
    "An encoder adds the time axis to (batch, ...features): "
    "keras_spiking.layers.DirectEncoder, PoissonEncoder, LatencyEncoder or "
    "WeightedPhaseEncoder. A Flatten or pooling that took it away belongs into "
    "SeqToBatch."
)


def check_time_axis(
    layer, shape, rank=3, axes="(batch, time, ...features)", *, exact=False, hint=None
):
    """Checks that an input has a time axis: `rank` or more axes, time the second.

    Args:
        layer: The layer, for the message.
        shape: Shape of its input.
        rank: Integer, the number of axes.
        axes: String, what the axes are.
        exact: Boolean, whether there must be exactly `rank` axes.
        hint: String, what to do. Defaults to using an encoder.
    """
    # TensorFlow's shapes are no tuples, those of damaged files may be anything.
    is_shape = hasattr(shape, "__len__") and not isinstance(shape, (str, dict))
    if not is_shape or len(shape) < rank or exact and len(shape) != rank:
        shape = tuple(shape) if is_shape else shape
        raise ValueError(
            f"{type(layer).__name__} '{layer.name}' needs an input with a time "
            f"axis, {axes}. Received an input of shape {shape}. "
            f"{hint or _ENCODERS}"
        )
    if shape[1] == 0:
        raise ValueError(
            f"{type(layer).__name__} '{layer.name}' needs at least one time "
            f"step. Received an input of shape {tuple(shape)}."
        )


def check_mask(layer, shape, mask):
    """Checks that a mask fits the inputs `(batch, time, ...)` of a layer."""
    if mask is not None and not same_shape(mask.shape, shape[:2]):
        raise ValueError(
            f"The `mask` of layer '{layer.name}' must have the shape (batch, "
            f"time) = {tuple(shape[:2])}. Received a mask of shape "
            f"{tuple(mask.shape)}."
        )


def same_shape(shape, other):
    """Whether two shapes are equal as far as they are known."""
    return len(shape) == len(other) and all(
        n is None or m is None or n == m for n, m in zip(shape, other)
    )


def check_fan_out(fan_out, spikes):
    """Checks that numbers of synapses fit spikes `(batch, time, ...)`."""
    shape = np.shape(fan_out)
    if shape and not same_shape(shape, tuple(spikes.shape[2:])):
        raise ValueError(
            "`fan_out` must be one number, or have one for each neuron. Received: "
            f"`fan_out` of shape {shape} for spikes of shape {tuple(spikes.shape)}."
        )


def check_samples(name, arrays, inputs):
    """Checks that arrays of samples fit the inputs of a model, if these are known."""
    if not arrays or inputs and len(arrays) != len(inputs):
        raise ValueError(
            f"The model has {len(inputs)} inputs, `{name}` must hold an array for "
            f"each. Received: {len(arrays)} arrays."
        )
    for array, tensor in zip(arrays, inputs):
        if array.ndim == 0 or not same_shape(tensor.shape[1:], array.shape[1:]):
            raise ValueError(
                f"`{name}` must fit the model's input '{tensor.name}' of shape "
                f"{tuple(tensor.shape)}. Received: an array of shape {array.shape}."
            )
    lengths = [len(a) if a.ndim else 0 for a in arrays]
    if min(lengths) == 0 or len(set(lengths)) > 1:
        raise ValueError(
            f"`{name}` must have at least one sample, and as many for every input. "
            f"Received: arrays of {lengths} samples."
        )
    for number, array in enumerate(arrays):
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise ValueError(
                f"`{name}` must be finite. Received: array {number} with "
                f"{np.sum(~np.isfinite(array))} values that are NaN or infinite: "
                "remove these samples."
            )
