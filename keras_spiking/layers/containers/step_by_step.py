import operator
from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.containers import contained
from keras_spiking.layers.containers import native
from keras_spiking.layers.encoders.encoder import Encoder
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.nested_config import with_objects
from keras_spiking.ops.time_loop import hold
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_mask
from keras_spiking.validation import check_time_axis
from keras_spiking.validation import check_timesteps


@keras.saving.register_keras_serializable("keras_spiking")
class StepByStep(Layer):
    """Runs a network one time step after the other, each through all layers.

    The same network without it runs layer by layer, each over the whole
    sequence. Both give the same outputs; batch normalisation in training takes
    its statistics from one step at a time here. What this order is for: the
    memory needed for inference does not grow with the number of steps, inputs
    can be presented over and over without being stored, and a network can be
    recurrent. The loop over time is compiled on JAX and TensorFlow.

    Args:
        layer: Keras layer, model, or list of layers. Layers over time, such as
            neurons and `SeqToBatch`, get sequences of one step and keep their
            state; all others get `(batch, ...)`.
        timesteps: Integer >= 1 to present an input `(batch, ...)` that often, or
            `None` if the input is a sequence `(batch, time, ...)`. Defaults to
            `None`.
        reduce: What to return over time: `None` for the outputs of all steps, or
            their `"mean"` or `"sum"`, or the `"last"`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`, `(batch, ...)` with `timesteps`, or
            a list of these for a layer of several inputs.
        mask: Boolean tensor `(batch, time)`. Layers that take a mask get the one
            of each step. In masked steps neurons hold their state, and the outputs
            are left out of the reduction. A step that is masked for all samples
            changes no variable, such as a moving average.
        training: Boolean, passed on to the layers.

    Input shape:
        `(batch, time, ...)`, or `(batch, ...)` with `timesteps`.

    Output shape:
        `(batch, time, ...)`, or `(batch, ...)` if `reduce` is given.

    Raises:
        ValueError: if a layer inside reduces over time itself.

    Example:

    >>> network = keras_spiking.layers.StepByStep(
    ...     [keras.layers.Dense(10), keras_spiking.layers.LIFLayer()],
    ...     timesteps=100,
    ...     reduce="mean",
    ... )
    >>> tuple(network(keras.ops.ones((2, 5))).shape)
    (2, 10)
    """

    has_time_axis = True

    def __init__(
        self,
        layer: Any,
        timesteps: int | None = None,
        *,
        reduce: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        if isinstance(timesteps, keras.layers.Layer):
            raise TypeError(
                f"{type(self).__name__} takes several layers as a list. "
                f"Received: timesteps={timesteps!r}"
            )
        self.layers = contained.as_list(layer, type(self).__name__)
        for item in self.layers:
            _check_keeps_time(item, type(self).__name__)
        if timesteps is not None:
            timesteps = check_timesteps(timesteps)
        self.timesteps = timesteps
        self.reduce = check_choice("reduce", reduce, (None, "mean", "sum", "last"))
        self.supports_masking = True

    @property
    def removes_time_axis(self):
        return self.reduce is not None

    def build(self, input_shape):
        self.step_functions = [f for x in self.layers for f in _step_functions(x)]
        # Calling the layers with a symbolic step builds them.
        step = keras.tree.map_shape_structure(
            lambda s: keras.KerasTensor(self.step_shape(s)), input_shape
        )
        self.step_output = self.call_step(step)

    def step_shape(self, input_shape):
        """Shape of one step of inputs of a shape, which is checked."""
        if self.timesteps is not None:
            return tuple(input_shape)
        hint = (
            "To present an input without a time axis repeatedly, give the number of "
            "time steps: `timesteps=...`."
        )
        check_time_axis(self, input_shape, hint=hint)
        return (input_shape[0], *input_shape[2:])

    def call_step(self, x, mask=None, training=None):
        """One time step through all layers: `(batch, ...)` to `(batch, ...)`."""
        for step in self.step_functions:
            x = step(x, mask, training)
        return x

    def call(self, inputs, mask=None, training=None):
        sequences = keras.tree.flatten(inputs)
        mask = keras.tree.flatten(mask)[0]
        for x in sequences:
            self.step_shape(x.shape)
        rest = {}
        first, first_mask = inputs, None
        if self.timesteps is None:
            first = keras.tree.map_structure(lambda x: x[:, 0], inputs)
            rest["x"] = keras.tree.map_structure(lambda x: x[:, 1:], inputs)
            check_mask(self, keras.tree.flatten(inputs)[0].shape, mask)
            if mask is not None:
                mask = ops.cast(mask, "bool")
                first_mask, rest["mask"] = mask[:, 0], mask[:, 1:]

        # The first step, outside the loop, shows which states and which
        # variables (seeds, moving averages) have to be carried through it.
        slot = streaming.Slot()
        values = [(v, v.value) for v in self.variables]
        y, states, updates, losses = self.advance(
            first, first_mask, slot.previous, values, training=training
        )
        changed = list(updates)
        collects_losses = bool(losses)
        carry = (
            states,
            list(updates.values()),
            sum(losses, ops.zeros(())),
            self.accumulate(None, y, first_mask),
        )

        def step(x, carry):
            states, updates, loss, total = carry
            new_values = [(values[i][0], u) for i, u in zip(changed, updates)]
            mask = x.get("mask")
            y, states, updates, losses = self.advance(
                x.get("x", inputs), mask, states, values + new_values, changed, training
            )
            total = self.accumulate(total, y, mask)
            carry = (states, list(updates.values()), sum(losses, loss), total)
            return (y if self.reduce is None else ()), carry

        steps = self.timesteps or sequences[0].shape[1]
        outputs = None
        if steps != 1:
            left = None if steps is None else steps - 1
            outputs, carry = time_loop(step, rest, carry, left, unroll=False)

        states, updates, loss, total = carry
        slot.put(states)
        for i, update in zip(changed, updates):
            values[i][0].assign(update)
        if collects_losses:
            self.add_loss(loss)
        if self.reduce is None:
            return _concatenate(y, outputs)
        if self.reduce == "mean":
            count = steps or ops.shape(sequences[0])[1]
            if mask is not None:
                count = ops.sum(ops.cast(mask, "float32"), axis=1)
            total = keras.tree.map_structure(lambda t: _divide(t, count), total)
        return keras.tree.map_structure(lambda t, y: ops.cast(t, y.dtype), total, y)

    def advance(self, x, mask, states, values, changed=None, training=None):
        """One time step as a pure function of states and variables.

        Returns the outputs, the new states, the new values of the variables that
        changed, by their index, and the losses that layers added.
        """
        with (
            keras.StatelessScope(values, collect_losses=True) as scope,
            streaming.Stream(states) as stream,
        ):
            before = [scope.get_current_value(v) for v, _ in values]
            y = self.call_step(x, mask, training)
            after = [scope.get_current_value(v) for v, _ in values]
        if changed is None:
            pairs = enumerate(zip(before, after))
            changed = [i for i, (a, b) in pairs if a is not b]
        updates = {i: after[i] for i in changed}
        if mask is not None:
            counts = ops.any(mask)
            updates = {i: ops.where(counts, u, before[i]) for i, u in updates.items()}
        return y, stream.states, updates, scope.losses

    def accumulate(self, total, y, mask):
        """What `reduce` makes of the outputs so far, `None` at first, and a step's."""
        if self.reduce is None:
            return ()
        if self.reduce == "last":
            return y if mask is None or total is None else hold(mask, y, total)
        y = keras.tree.map_structure(lambda y: ops.cast(y, "float32"), y)
        if mask is not None:
            y = hold(mask, y, keras.tree.map_structure(ops.zeros_like, y))
        if total is None:
            return y
        return keras.tree.map_structure(operator.add, total, y)

    def compute_output_shape(self, input_shape):
        shapes = []
        keras.tree.map_shape_structure(shapes.append, input_shape)
        for first in shapes:
            self.step_shape(first)
        batch, time = shapes[0][:2]
        steps = () if self.reduce else (self.timesteps or time,)
        return keras.tree.map_structure(
            lambda y: (batch, *steps, *y.shape[1:]), self.step_output
        )

    def compute_output_spec(self, inputs, mask=None, training=None):
        shapes = self.compute_output_shape(
            keras.tree.map_structure(lambda x: x.shape, inputs)
        )
        outputs = keras.tree.flatten(self.step_output)
        if len(outputs) == 1:
            return keras.KerasTensor(shapes, dtype=outputs[0].dtype)
        return [keras.KerasTensor(s, dtype=y.dtype) for s, y in zip(shapes, outputs)]

    def compute_mask(self, inputs, mask=None):
        return mask if self.reduce is None and self.timesteps is None else None

    def get_config(self):
        return {
            **super().get_config(),
            "layer": contained.serialize(self.layers),
            "timesteps": self.timesteps,
            "reduce": self.reduce,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "layer"))


def _step_functions(layer):
    """How to call a layer for one step: functions of its input `(batch, ...)`, a mask
    `(batch,)` and `training`, both of which may be `None`."""
    if isinstance(layer, keras.Sequential):
        return [f for inner in layer.layers for f in _step_functions(inner)]
    if not contained.has_time_axis(layer):
        return [lambda x, mask, training: contained.call(layer, x, mask, training)]
    if isinstance(layer, Encoder):
        return [lambda x, mask, training: ops.squeeze(layer(x), 1)]

    def over_time(x, mask, training):
        x = keras.tree.map_structure(lambda x: ops.expand_dims(x, 1), x)
        if mask is not None:
            mask = ops.expand_dims(mask, 1)
        y = _call(layer, x, mask, training)
        return keras.tree.map_structure(lambda y: ops.squeeze(y, 1), y)

    return [over_time]


def _call(layer, x, mask, training):
    if not (isinstance(layer, keras.Model) and hasattr(layer, "operations")):
        return contained.call(layer, x, mask, training)
    # A functional model may have been made for a number of steps: `call` does
    # not ask, but cannot be given symbols.
    if isinstance(keras.tree.flatten(x)[0], keras.KerasTensor):
        shapes = [(t.shape[0], 1, *t.shape[2:]) for t in layer.outputs]
        outputs = [keras.KerasTensor(s) for s in shapes]
        return outputs[0] if len(outputs) == 1 else outputs
    masks = None if mask is None else [mask] * len(layer.inputs)
    with native.within(layer):
        return layer.call(x, mask=masks, training=training)


def _check_keeps_time(layer, container):
    def reduces(layer):
        return getattr(layer, "removes_time_axis", False) is True

    def encodes(layer):
        return isinstance(layer, Encoder) and layer.timesteps != 1

    if found := contained.find(layer, reduces):
        raise ValueError(
            f"{container} cannot hold the {type(found).__name__} '{found.name}', "
            "which reduces over time, since it sees one step at a time. Leave it "
            f"out and use `reduce=...` of {container}, or place it after."
        )
    if found := contained.find(layer, encodes):
        raise ValueError(
            f"{container} sees one step at a time: the {type(found).__name__} "
            f"'{found.name}' inside must have `timesteps=1`. "
            f"Received: timesteps={found.timesteps}"
        )


def _concatenate(first, rest):
    if rest is None:
        return keras.tree.map_structure(lambda y: ops.expand_dims(y, 1), first)
    return keras.tree.map_structure(
        lambda y, ys: ops.concatenate([ops.expand_dims(y, 1), ys], axis=1),
        first,
        rest,
    )


def _divide(total, count):
    count = ops.maximum(ops.cast(count, total.dtype), 1.0)
    if len(count.shape) == 1:
        count = ops.reshape(count, (-1,) + (1,) * (len(total.shape) - 1))
    return total / count
