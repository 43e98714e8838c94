"""What enters and leaves layers while a model runs, nested ones too.

A tensor deep inside of a `StepByStep` exists once per time step, and one inside of a
`SeqToBatch` has its time axis folded into the batch. A capture notes every tensor as it
appears, and, when a container returns, how they are put together to
`(batch, time, ...)`. That is kept as functions of the noted tensors, since it holds for
the gradients with respect to them as well.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_spiking import backends
from keras_spiking.inspection import hooks
from keras_spiking.inspection.selection import Layers
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers.containers import contained
from keras_spiking.layers.containers.seq_to_batch import SeqToBatch
from keras_spiking.layers.containers.single_step import SingleStep
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.ops.time_loop import unrolled


class Capture:
    """Notes tensors at every call of the given layers.

    Args:
        model: Keras model.
        layers: Dictionary from names to layers inside of the model.
        watch: Dictionary from names of methods, for the layers that have them, to
            functions `(capture, name, call, *args, **kwargs)` that call the method of
            the layer called `name`, give tensors to `note`, and return what it returns.
            The call of a neuron in a `SingleStep` is that of the `SingleStep`.
        offsets: List of tensors to add to what is noted, in order, or `None`.
    """

    def __init__(
        self,
        model: keras.layers.Layer,
        layers: Layers,
        watch: dict[str, Callable],
        offsets: list | None = None,
    ):
        self.model = model
        self.layers = layers
        self.watch = watch
        self.offsets = offsets
        self.tensors = []
        self.assemblies = {}
        self.noted = {}
        inner = all_layers(model).values()
        self._single = {id(x.layer): x for x in inner if isinstance(x, SingleStep)}

    def caller(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """What is called for a layer: the `SingleStep` around it, or itself."""
        return self._single.get(id(layer), layer)

    def note(self, name: str, tensor: Any, suffix: str = "") -> Any:
        """Notes a tensor of a layer and returns what the model is to go on with."""
        index = len(self.tensors)
        self.noted[name + suffix] = self.layers[name]
        assemblies = self.assemblies.setdefault(name + suffix, [])
        assemblies.append(lambda tensors: tensors[index])
        self.tensors.append(tensor)
        return tensor if self.offsets is None else tensor + self.offsets[index]

    def run(self, function: Callable) -> Any:
        """Calls `function()`, which calls the model, and returns what it returns."""
        inner = all_layers(self.model).values()
        around = [
            (self.caller(x) if method == "call" else x, method, watch, name)
            for name, x in self.layers.items()
            for method, watch in self.watch.items()
            if hasattr(x, method)
        ]
        # A container that is watched itself is noted once it is put together.
        inside = [
            (layer, "call", hook, layer)
            for layer in inner
            for cls, hook in _CONTAINERS.items()
            if isinstance(layer, cls)
        ]
        with hooks.around(
            (owner, method, functools.partial(hook, self, key))
            for owner, method, hook, key in [*inside, *around]
        ):
            return function()

    def assembled(self, tensors: list | None = None) -> dict[str, Any]:
        """The tensors of each layer, over time: `{name: tensor}`."""
        tensors = self.tensors if tensors is None else tensors
        return {
            name if i == 0 else f"{name}:{i}": assemble(tensors)
            for name, assemblies in self.assemblies.items()
            for i, assemble in enumerate(assemblies)
        }

    def since(self, marks):
        """Takes out what was noted since there were `marks` of each name."""
        for name, assemblies in self.assemblies.items():
            new = assemblies[marks.get(name, 0) :]
            del assemblies[marks.get(name, 0) :]
            if new:
                yield name, new

    def marks(self):
        return {name: len(found) for name, found in self.assemblies.items()}


def _in_seq_to_batch(capture, layer, call, x, *args, **kwargs):
    marks = capture.marks()
    outputs = call(x, *args, **kwargs)
    batch, time = ops.shape(x)[:2]

    def unfolded(assemble, tensors):
        folded = assemble(tensors)
        return ops.reshape(folded, (batch, time, *ops.shape(folded)[1:]))

    for name, found in list(capture.since(marks)):
        found = [functools.partial(unfolded, assemble) for assemble in found]
        capture.assemblies[name].extend(found)
    return outputs


def _in_step_by_step(capture, layer, call, x, *args, **kwargs):
    marks = capture.marks()
    with unrolled():
        outputs = call(x, *args, **kwargs)
    # Layers over time see sequences of one step, the others see none.
    over_time = {
        id(inner)
        for item in _step_layers(layer)
        if contained.has_time_axis(item)
        for inner in (item, *all_layers(item).values())
        if not isinstance(capture.caller(inner), SingleStep)
    }
    steps = layer.timesteps or keras.tree.flatten(x)[0].shape[1]
    _gather_steps(capture, marks, steps, over_time)
    return outputs


def _step_layers(container):
    for layer in container.layers:
        if isinstance(layer, keras.Sequential):
            yield from _step_layers(layer)
        else:
            yield layer


def _in_time_distributed(capture, layer, call, x, *args, **kwargs):
    marks = capture.marks()
    outputs = call(x, *args, **kwargs)
    _gather_steps(capture, marks, x.shape[1])
    return outputs


def _gather_steps(capture, marks, timesteps, over_time=()):
    for name, found in list(capture.since(marks)):
        join = ops.stack
        if id(capture.noted[name]) in over_time:
            join = ops.concatenate
        # A layer that is called several times in a step has as many records.
        calls = len(found) // timesteps
        for i in range(calls):
            steps = functools.partial(_joined, join, found[i::calls])
            capture.assemblies[name].append(steps)


def _joined(join, assemblies, tensors):
    return join([assemble(tensors) for assemble in assemblies], axis=1)


_CONTAINERS = {
    SeqToBatch: _in_seq_to_batch,
    StepByStep: _in_step_by_step,
    keras.layers.TimeDistributed: _in_time_distributed,
}


def gradients(
    model: keras.layers.Layer,
    layers: Layers,
    watch: dict[str, Callable],
    loss: Callable,
) -> dict[str, Any]:
    """Gradients of a loss with respect to what is watched: `{name: tensor}`.

    Args:
        model: Keras model.
        layers: Dictionary from names to layers inside of the model.
        watch: See `Capture`.
        loss: Function of no arguments, calls the model and returns a scalar.
    """
    first = Capture(model, layers, watch)
    first.run(loss)

    def of_offsets(offsets):
        return Capture(model, layers, watch, offsets).run(loss), ()

    zeros = [ops.zeros_like(tensor) for tensor in first.tensors]
    _, found = backends.active().value_and_gradients(of_offsets, zeros)
    return first.assembled(found)
