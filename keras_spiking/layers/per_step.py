"""Weights for each time step, of layers with a fixed number of steps."""

from keras import ops

from keras_spiking.layers import streaming


def fix_timesteps(layer, input_shape):
    """Sets and returns the number of time steps that a layer has weights for."""
    layer.T = layer.T or input_shape[1]
    if layer.T is None:
        raise ValueError(
            f"{type(layer).__name__} '{layer.name}' has a weight for each time "
            "step: it needs an input with a fixed number of them, or `T`."
        )
    return layer.T


def first_step(layer, inputs):
    """The time step that a layer inside a `StepByStep` is at, or `None` for a whole
    sequence."""
    slot = streaming.Slot()
    if slot.stream is None:
        if inputs.shape[1] not in (None, layer.T):
            raise ValueError(
                f"{type(layer).__name__} '{layer.name}' has weights for T="
                f"{layer.T} time steps. Received an input of {inputs.shape[1]}."
            )
        return None
    start = slot.previous
    if start is None:
        start = ops.convert_to_tensor(0, dtype="int32")
    elif layer.T == 1:
        raise ValueError(
            f"{type(layer).__name__} '{layer.name}' has a weight for one time step. "
            "Inside a StepByStep, give their number: `T=...`."
        )
    slot.put(start + 1)
    return start


def weight_at(weight, start):
    """The weights `(T, ...)` of a sequence, or `(1, ...)` of the step `start`."""
    weight = ops.convert_to_tensor(weight)
    if start is None:
        return weight
    return ops.take(weight, ops.reshape(start, (1,)), axis=0)
