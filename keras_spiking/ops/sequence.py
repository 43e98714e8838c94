"""A layer over time."""

from keras import ops

from keras_spiking.backends import fused
from keras_spiking.ops.time_loop import hold
from keras_spiking.ops.time_loop import time_loop


def run_steps(layer, inputs, states, mask=None):
    """Runs the steps of a `TemporalLayer` over `(batch, time, ...)`.

    A fused kernel serves where there is one, else the layer's reference.

    Args:
        layer: The layer.
        inputs: Tensor `(batch, time, ...)`.
        states: Tuple of tensors, or `None`: the layer's initial states, and what is
            returned for the final ones is not used.
        mask: Tensor of truth values `(batch, time)`, or `None`.

    Returns:
        The outputs of all steps, `(batch, time, ...)`, and the final states.
    """
    fresh = states is None
    library = fused.serving(layer, inputs, masked=mask is not None, fresh=fresh)
    if library is not None and library.program.fresh:
        return fused.run(library, layer, inputs, (), mask)
    if fresh:
        states = layer.first_states(inputs, None)
    if library is not None:
        return fused.run(library, layer, inputs, states, mask)
    return layer.reference(inputs, states, mask)


def reference(layer, inputs, states, mask=None):
    """`run_steps` in `keras.ops`, a loop over `layer.step`: most layers' reference."""
    step, inputs = masked_step(layer, inputs, mask)
    return time_loop(step, inputs, states)


def masked_step(layer, inputs, mask=None):
    """A layer's step with regard to a mask, and the sequences that it takes."""
    inputs = ops.cast(inputs, layer.state_dtype)
    if mask is None:
        return layer.step, inputs

    def step(x, states):
        x, mask = x
        outputs, new_states = layer.step(x, states)
        silent = ops.zeros_like(outputs)
        return hold(mask, (outputs, new_states), (silent, states))

    return step, (inputs, ops.cast(mask, "bool"))
