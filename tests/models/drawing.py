"""Random weights and inputs, drawn alike wherever there is NumPy."""

import numpy as np


def state(shapes, seed, gain=1.0):
    """A state dictionary of PyTorch in which every layer of neurons fires.

    Args:
        shapes: Dictionary from names to shapes.
        seed: Integer.
        gain: Float, by which weights and biases of batch normalisation are larger.
    """
    random = np.random.default_rng(seed)
    values = {name: _value(random, name, shapes[name]) for name in sorted(shapes)}
    for name, value in values.items():
        module, _, kind = name.rpartition(".")
        if kind in ("weight", "bias") and f"{module}.running_var" in shapes:
            values[name] = value * np.float32(gain)
    return values


def _value(random, name, shape):
    shape = tuple(shape)
    if name.endswith(("running_var", "gain")):
        value = random.uniform(0.5, 1.5, shape)
    elif name.endswith((".bias", "running_mean", ".w")):
        value = random.normal(0.1, 0.2, shape)
    elif len(shape) == 1:  # of batch normalisation
        value = random.uniform(1.0, 2.0, shape)
    else:
        value = random.normal(0.1, 1.0, shape) * 1.5 / np.prod(shape[1:]) ** 0.5
    return value.astype("float32")


def inputs(shape, seed):
    """Images, or sequences of frames of few events, with channels first.

    Args:
        shape: Tuple of integers, of a batch.
        seed: Integer.
    """
    random = np.random.default_rng(seed + 1)
    images = random.uniform(0.0, 1.0, shape)
    events = random.poisson(0.3, shape)
    return (events if len(shape) == 5 else images).astype("float32")
