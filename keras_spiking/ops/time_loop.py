"""The loop over time, chosen once for all layers.

Which loop is best was measured (`benchmarks/time_loop.py`):

- Slicing `x[:, t]` in a differentiated loop is quadratic in the number of steps
  on every backend, so sequences are split up once before the loop.
- JAX unrolls a few steps, because XLA then fuses them, and scans more: compile
  time grows with unrolled code.
- TensorFlow unrolls a few steps, too. Beyond that a `while_loop` traces once,
  compiles under XLA and takes sequences of unknown length.
- PyTorch and NumPy loop in Python.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_spiking import backends


class _Present(threading.local):
    unrolls = False


_present = _Present()


@contextlib.contextmanager
def unrolled():
    """Unrolls all loops inside, so that what a step computes can be looked at."""
    before, _present.unrolls = _present.unrolls, True
    try:
        yield
    finally:
        _present.unrolls = before


def time_loop(
    step: Callable,
    inputs: Any,
    states: Any,
    timesteps: int | None = None,
    unroll: bool = True,
) -> tuple[Any, Any]:
    """Calls `step(x_t, states) -> (y_t, states)` for every time step.

    Args:
        step: Callable, one time step. It must keep shapes and dtypes of states.
        inputs: Nested structure of tensors `(batch, time, ...)`, or `()`.
        states: Nested structure of tensors, the states before the first step.
        timesteps: Integer, the number of steps if `inputs` is `()`.
        unroll: Boolean, whether a short loop may be unrolled where the backend
            can compile loops.

    Returns:
        A tuple of the outputs of all steps, stacked to `(batch, time, ...)`, and
        the final states.
    """
    sequences = keras.tree.flatten(inputs)
    if sequences:
        timesteps = sequences[0].shape[1]
    backend = backends.active()
    limit = backend.unrolled_steps
    if limit is not None and timesteps != 1 and not _present.unrolls:
        if not unroll or timesteps is None or timesteps > limit:
            return backend.loop(step, inputs, states, timesteps)
    return _unrolled(step, inputs, states, timesteps)


def _unrolled(step, inputs, states, timesteps):
    split = [_split(x, timesteps) for x in keras.tree.flatten(inputs)]
    outputs = []
    for t in range(timesteps):
        x = keras.tree.pack_sequence_as(inputs, [steps[t] for steps in split])
        y, states = step(x, states)
        outputs.append(y)
    return keras.tree.map_structure(lambda *y: ops.stack(y, 1), *outputs), states


def _split(x, timesteps):
    # The gradient of `unstack` is one concatenation, but on JAX it is not.
    if keras.config.backend() != "jax":
        return ops.unstack(x, timesteps, axis=1)
    return [ops.squeeze(s, 1) for s in ops.split(x, timesteps, axis=1)]


def masked(step):
    """A step that takes pairs of an input and a mask, and skips masked samples.

    Their output is 0, and they keep their states.
    """

    def masked_step(x, states):
        x, mask = x
        outputs, new_states = step(x, states)
        silent = ops.zeros_like(outputs)
        return hold(mask, (outputs, new_states), (silent, tuple(states)))

    return masked_step


def hold(mask, new, old):
    """`new` where `mask` is true, else `old`, for nested structures.

    Args:
        mask: Boolean tensor `(batch,)`.
        new: Nested structure of tensors `(batch, ...)`.
        old: Structure like `new`.
    """

    def select(new, old):
        shape = (-1,) + (1,) * (len(new.shape) - 1)
        return ops.where(ops.reshape(mask, shape), new, old)

    return keras.tree.map_structure(select, new, old)
