"""The states of a layer after every time step, by the layer's own step."""

from typing import Any

from keras import ops

from keras_spiking.layer_copy import copy_of
from keras_spiking.layers import streaming
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.time_loop import masked
from keras_spiking.ops.time_loop import time_loop


def states_before_step(layer: TemporalLayer, x: Any) -> tuple:
    """The states that a `SingleStep` of a layer is about to start from.

    Args:
        layer: The layer inside of it.
        x: Tensor `(batch, ...)`, its input.
    """
    states = streaming.previous_state()
    if states is None:
        states = layer.get_initial_state(ops.cast(x, layer.state_dtype))
    return states


def states_over_time(
    layer: TemporalLayer,
    inputs: Any,
    states: tuple,
    mask: Any = None,
    arguments_of: tuple[str, ...] = (),
) -> tuple[tuple, dict[str, Any]]:
    """Runs the steps of a layer once more, and keeps what they compute.

    Args:
        layer: Layer over time.
        inputs: Tensor `(batch, time, ...)`.
        states: Tuple of tensors `(batch, ...)`, those before the first step.
        mask: Boolean tensor `(batch, time)`, or `None`.
        arguments_of: Names of methods that a step calls, such as `"reset"`.

    Returns:
        The states after every step, and for each of the methods that the step calls,
        what it is called with first. All are `(batch, time, ...)`.
    """
    noted = {}

    def noting(name, value):
        if name not in arguments_of:
            return value

        def method(argument, *rest):
            noted.setdefault(name, argument)
            return value(argument, *rest)

        return method

    copy = copy_of(layer, noting)

    def noting_step(x, carried):
        noted.clear()
        y, new = copy.step(x, carried[: len(states)])
        # What is noted is carried on like a state, which a mask holds.
        return y, (*new, *(noted.get(name, new[0]) for name in arguments_of))

    def states_as_outputs(x, carried):
        _, carried = step(x, carried)
        return carried, carried

    step = noting_step if arguments_of else layer.step
    states = tuple(states)
    sequences = ops.cast(inputs, layer.state_dtype)
    if mask is not None:
        step, sequences = masked(step), (sequences, mask)
    first = (*states, *(states[0] for _ in arguments_of))
    over_time, _ = time_loop(states_as_outputs, sequences, first)
    found = zip(arguments_of, over_time[len(states) :])
    return over_time[: len(states)], {n: x for n, x in found if n in noted}
