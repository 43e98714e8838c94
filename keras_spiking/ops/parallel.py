"""A neuron over a sequence with its time steps computed in parallel.

The sequence is cut into chunks, which run side by side as a batch. What a chunk
starts from is what the one before ends with, and not known at first: the chunks
run again, each from where its predecessor has just ended, until nothing changes
any more. Then every step has been computed from its predecessor, as in a loop over
time. `n` sweeps are enough for `n` chunks, and two or three for neurons that
forget within a chunk: by their leak, or, in a hard reset, at once.

The gradient needs no sweeps. Once all membrane potentials are known, each depends
on the one before by a known factor, and the gradient flows back through time by a
linear recurrence, which is an associative scan.
"""

import keras
from keras import ops

from keras_spiking import backends
from keras_spiking.gradients import has_gradients
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.ops.time_loop import time_loop


def run_in_parallel(step, fixed_step, sequences, states, chunk_length):
    """`time_loop` for an element-wise step with one state.

    Args:
        step: Callable, one time step.
        fixed_step: The same, with parameters that no gradient flows to.
        sequences: Nested structure of tensors `(batch, time, ...)`, of a fixed
            number of time steps.
        states: Tuple of one tensor `(batch, ...)`, of the shape of the features.
        chunk_length: Integer, the number of time steps in a chunk.
    """
    (start,) = states
    fixed = keras.tree.map_structure(ops.stop_gradient, sequences)
    fixed_start = ops.stop_gradient(start)
    outputs, v = _solve(fixed_step, fixed, fixed_start, chunk_length)
    if not has_gradients():
        return outputs, (v[:, -1],)
    slopes = _slopes(fixed_step, fixed, _shift(v, fixed_start))
    _, local = _all_steps(step, sequences, _shift(v, start))
    v = v + _carried(local, slopes)
    moving_outputs, moving_v = _all_steps(step, sequences, _shift(v, start))
    final = straight_through(v[:, -1], moving_v[:, -1])
    return straight_through(outputs, moving_outputs), (final,)


def _shift(v, start):
    """What the steps start from: the states before each step."""
    return ops.concatenate([ops.expand_dims(start, 1), v[:, :-1]], axis=1)


def _solve(step, sequences, start, length):
    """Outputs and states after each step, by sweeps over chunks."""
    timesteps = keras.tree.flatten(sequences)[0].shape[1]
    chunks = -(-timesteps // length)

    def split(x):
        rest = [[0, 0]] * (len(x.shape) - 2)
        x = ops.pad(x, [[0, 0], [0, chunks * length - timesteps], *rest])
        return ops.reshape(x, (-1, length, *ops.shape(x)[2:]))

    def join(x):
        x = ops.reshape(x, (-1, chunks * length, *ops.shape(x)[2:]))
        return x[:, :timesteps]

    pieces = keras.tree.map_structure(split, sequences)

    def sweep(changed, starts):
        _, (ends,) = time_loop(step, pieces, (starts,))
        ends = ops.reshape(ends, (-1, chunks, *ops.shape(start)[1:]))
        new = ops.reshape(_shift(ends, start), ops.shape(starts))
        return ops.any(ops.not_equal(new, starts)), new

    _, starts = ops.while_loop(
        lambda changed, starts: changed,
        sweep,
        (ops.convert_to_tensor(True), ops.repeat(start, chunks, axis=0)),
        maximum_iterations=chunks,
    )

    def keep_states(x, states):
        y, states = step(x, states)
        return (y, *states), states

    (outputs, v), _ = time_loop(keep_states, pieces, (starts,))
    return join(outputs), join(v)


def _all_steps(step, sequences, before):
    """Outputs and states after each step, from those before: all steps at once."""
    batch, time = ops.shape(before)[:2]

    def fold(x):
        return ops.reshape(x, (-1, *ops.shape(x)[2:]))

    def unfold(x):
        return ops.reshape(x, (-1, time, *ops.shape(x)[1:]))

    y, (v,) = step(keras.tree.map_structure(fold, sequences), (fold(before),))
    return unfold(y), unfold(v)


def _slopes(step, sequences, before):
    """The derivative of the state after each step by the one before."""

    def total(tensors):
        return ops.sum(_all_steps(step, sequences, tensors[0])[1]), ()

    _, (slopes,) = backends.active().value_and_gradients(total, [before])
    return ops.stop_gradient(slopes)


def _carried(local, slopes):
    """Zeros with the gradient of `v[t] = slopes[t] v[t-1] + local[t]`."""

    @ops.custom_gradient
    def carried(local, slopes):
        def grad(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return _summed_back(upstream, _earlier(slopes, 1)), ops.zeros_like(slopes)

        return ops.zeros_like(local), grad

    return carried(local, slopes)


def _summed_back(values, factors):
    """The sums `s[t] = values[t] + factors[t] s[t+1]`, in `log2(time)` passes.

    After each pass, sums reach over twice as many steps. `ops.associative_scan` of
    Keras 3.15 leaves the GPU on PyTorch.
    """
    reach = 1
    while reach < values.shape[1]:
        values = values + factors * _earlier(values, reach)
        factors = factors * _earlier(factors, reach)
        reach *= 2
    return values


def _earlier(x, steps):
    """A sequence that begins some steps later, with zeros at its end."""
    rest = [[0, 0]] * (len(x.shape) - 2)
    return ops.pad(x[:, steps:], [[0, 0], [0, steps], *rest])
