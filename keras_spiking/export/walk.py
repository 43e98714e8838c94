"""A model as stages: layers that compute something, and what each is computed from.

Models and containers inside of a model are dissolved, layers that do nothing at
inference are gone, and all that joins branches is a sum: a difference is a sum of
which one part is multiplied by -1, and a concatenation a sum of features that were
put in their places among zeros.
"""

import dataclasses

import keras
import numpy as np

from keras_spiking.conversion import folding
from keras_spiking.conversion import rules
from keras_spiking.conversion.graph import check_graph
from keras_spiking.conversion.graph import trace
from keras_spiking.export.network import Network
from keras_spiking.export.network import Stage
from keras_spiking.export.network import inner
from keras_spiking.layers import DirectEncoder
from keras_spiking.layers import Encoder
from keras_spiking.layers import Rematerialize
from keras_spiking.layers import SeqToBatch
from keras_spiking.layers import SingleStep
from keras_spiking.layers import StepByStep
from keras_spiking.layers import Voting
from keras_spiking.layers.containers.contained import find
from keras_spiking.layers.containers.contained import has_time_axis
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.readouts.rates import _Reduction

# Stateless layers that mean the same over (batch, time, features) and over
# (batch, features).
_LAST_AXIS = (
    keras.layers.Dense,
    *folding.FOLDABLE,
    keras.layers.Rescaling,
    # That exporters do not take them is theirs to say.
    keras.layers.Activation,
    keras.layers.LayerNormalization,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
)
_MERGES = {
    "Add": keras.layers.Add,
    "Subtract": keras.layers.Subtract,
    "Average": keras.layers.Average,
    "Concatenate": keras.layers.Concatenate,
}
_HEADS = (keras.layers.Activation, keras.layers.Softmax, Voting)


def of_model(model, strip=None):
    """The stages of a model.

    Args:
        model: Keras model, Sequential or Functional.
        strip: `"io"` to leave out encoders and readouts, or `None`.

    Raises:
        TypeError: if it is not a model.
        ValueError: if its layers cannot be read one by one, with the remedy.
    """
    check_graph(model)
    presents = find(model, _presents)
    if presents is not None and strip is None:
        _refuse_end(presents, "makes a sequence of what is presented once")
    shape = model.input_shape
    features = shape[1 if presents else 2 :]
    if isinstance(shape, (list, dict)) or not features or None in features:
        raise ValueError(
            f"The model '{model.name}' must take one input (batch, time, "
            f"...features) with known features. Its input shape is {shape}. Encoders "
            'and readouts run on the host: `strip="io"` leaves them out.'
        )
    walk = _Walk(tuple(features), strip)
    value = _Value(walk.source, per_step=presents is None)
    outputs = walk.model(model, [value], folded=False)
    if len(outputs) != 1:
        raise ValueError(
            f"The model '{model.name}' has {len(outputs)} outputs, a graph has one: "
            "export `keras.Model(model.inputs, model.outputs[0])`."
        )
    result = walk.network(outputs[0])
    if not result.stages:
        raise ValueError(
            f"The model '{model.name}' has no layer that computes anything at "
            "inference: there is nothing to export."
        )
    return result


def of_layers(layers, shape):
    """The stages of layers that see one step at a time, `(batch, *shape)`."""
    walk = _Walk(tuple(shape), None)
    value = _Value(walk.source, per_step=True)
    return walk.network(walk.chain(layers, value, folded=True))


def _presents(layer):
    """Whether a layer presents an input without a time axis."""
    if isinstance(layer, StepByStep):
        return layer.timesteps is not None
    return isinstance(layer, Encoder)


def _refuse_end(layer, what):
    raise ValueError(
        f"The {type(layer).__name__} '{layer.name}' {what}. That happens on the host: "
        'leave it out with `strip="io"`, or export the layers between encoders and '
        "readouts."
    )


@dataclasses.dataclass(frozen=True)
class _Value:
    """What a stage gives.

    Attributes:
        stage: Stage.
        per_step: Boolean, whether there is one for every time step.
        readout: Layer that has reduced it over time, or `None`.
    """

    stage: Stage
    per_step: bool
    readout: object = None


class _Walk:
    """Collects stages."""

    def __init__(self, shape, strip):
        self.strip = strip
        self.stages = []
        self.source = Stage(None, [], shape, shape)

    def network(self, value):
        """The network that computes a value."""
        needed, waiting = {id(value.stage)}, [value.stage]
        while waiting:
            for stage in waiting.pop().inputs:
                if id(stage) not in needed:
                    needed.add(id(stage))
                    waiting.append(stage)
        stages = [s for s in self.stages if id(s) in needed]
        known = {id(self.source), *(id(s) for s in stages)}
        if lost := [s for s in stages if not {id(x) for x in s.inputs} <= known]:
            raise ValueError(
                f"{lost[0]} gets the input of the model past its encoder. Export "
                "what comes after the encoder."
            )
        return Network(self.source, stages, value.stage)

    def model(self, model, values, folded):
        """The values of the outputs of a model, or a container of a model."""
        if isinstance(model, keras.Sequential):
            return [self.chain(model.layers, values[0], folded)]
        traced = trace(model)
        known = dict(zip(map(id, keras.tree.flatten(traced.inputs)), values))
        for call in traced.calls:
            inputs = [known[id(x)] for x in call.inputs]
            known[id(call.outputs[0])] = self.call(call, inputs, folded)
        return [known[id(x)] for x in keras.tree.flatten(traced.outputs)]

    def chain(self, layers, value, folded):
        for layer in layers:
            value = self.layer(layer, [value], folded)
        return value

    def call(self, call, values, folded):
        operation = call.operation
        if not isinstance(operation, keras.layers.Layer):
            factor = _factor(call)
            if factor is not None:
                operation = keras.layers.Rescaling(factor, name=call.name)
            elif len(values) < 2 or type(operation).__name__ not in _MERGES:
                raise ValueError(
                    f"'{call.place}' is the operation {type(operation).__name__}, "
                    "which cannot be exported. Use layers, and add, subtract, "
                    "concatenate, and multiply by numbers."
                )
        return self.layer(operation, values, folded)

    def layer(self, layer, values, folded):
        """The value of a layer's output.

        Args:
            layer: Keras layer, or operation that merges.
            values: List of its inputs.
            folded: Boolean, whether it is called on single steps, without a time
                axis.
        """
        (value, *others) = values
        if isinstance(layer, keras.layers.Layer) and rules.is_identity(layer):
            return value
        if read := next((v.readout for v in values if v.readout is not None), None):
            if isinstance(layer, _HEADS):
                return value
            raise ValueError(
                f"The {type(layer).__name__} '{layer.name}' comes after the readout "
                f"'{read.name}', which runs on the host. Export "
                f"`keras.Model(model.input, model.get_layer('{read.name}').input)`, "
                "and compute the rest there."
            )
        if isinstance(layer, keras.Model):
            check_graph(layer)
            outputs = self.model(layer, values, folded)
            if len(outputs) != 1:
                raise ValueError(
                    f"The model '{layer.name}' has {len(outputs)} outputs: inside of "
                    "a graph that is exported, models have one."
                )
            return outputs[0]
        if type(layer) is SeqToBatch:
            return self.chain(layer.layers, value, folded=True)
        if isinstance(layer, keras.layers.TimeDistributed):
            return self.layer(layer.layer, values, folded=True)
        if type(layer) is Rematerialize:
            return self.chain(layer.layers, value, folded)
        if isinstance(layer, SingleStep):
            return self.layer(layer.layer, values, folded)
        if type(layer) is StepByStep:
            return self._step_by_step(layer, values)
        if isinstance(layer, Encoder):
            return self._encoded(layer, value)
        if isinstance(layer, _Reduction):
            return self._read_out(layer, value)
        if kind := _merge(layer):
            return self._merged(kind, layer, values, folded)
        if others:
            raise ValueError(
                f"The {type(layer).__name__} '{layer.name}' has several inputs. Add, "
                "Subtract, Average and Concatenate can be exported; multiply by "
                "numbers only."
            )
        value = self._staged(layer, value, folded or not value.per_step)
        if getattr(layer, "removes_time_axis", False) is True:
            return self._read_out(layer, value)
        return value

    def _staged(self, layer, value, folded=True):
        shape = value.stage.output_shape
        if has_time_axis(layer) or (isinstance(layer, Layer) and not folded):
            after = layer.compute_output_shape((None, None, *shape))
            keeps = not getattr(layer, "removes_time_axis", False)
            after = after[2 if keeps else 1 :]
        else:
            _check_level(layer, folded)
            after = layer.compute_output_shape((None, *shape))[1:]
        return self._add(Stage(layer, [value.stage], shape, tuple(after)), value)

    def _add(self, stage, value):
        self.stages.append(stage)
        return dataclasses.replace(value, stage=stage)

    def _step_by_step(self, layer, values):
        for value in values:
            if layer.timesteps is not None and value.per_step:
                raise ValueError(
                    f"The StepByStep '{layer.name}' presents a sequence as one input."
                )
        values = [dataclasses.replace(v, per_step=True) for v in values]
        for item in layer.layers:
            values = [self.layer(item, values, folded=True)]
        return values[0] if layer.reduce is None else self._read_out(layer, values[0])

    def _encoded(self, layer, value):
        """What the encoder gives: the host computes it, and all that is before it."""
        if self.strip is None:
            _refuse_end(layer, "makes a sequence of what is presented once")
        if type(layer) is DirectEncoder:  # what comes before can be computed each step
            return dataclasses.replace(value, per_step=True)
        if weighted := [s for s in self.stages if getattr(s.layer, "weights", None)]:
            raise ValueError(
                f"{weighted[0]} stands before the {type(layer).__name__} "
                f"'{layer.name}', which runs on the host. Export what comes after it: "
                f"`keras.Model(model.get_layer('{layer.name}').output, model.output)`."
            )
        shape = value.stage.output_shape
        if not value.per_step:
            shape = tuple(layer.compute_output_shape((None, *shape))[2:])
        self.stages.clear()
        self.source = Stage(None, [], shape, shape)
        return _Value(self.source, per_step=True)

    def _read_out(self, layer, value):
        if self.strip is None:
            _refuse_end(layer, "reduces over time")
        return dataclasses.replace(value, readout=layer)

    def _merged(self, kind, layer, values, folded):
        if kind == "Concatenate":
            values = self._in_their_places(layer, values, folded)
        if kind == "Subtract":
            values = [values[0], self._scaled(layer, values[1], -1.0)]
        shapes = [v.stage.output_shape for v in values]
        if len(set(shapes)) > 1:
            raise ValueError(
                f"The {type(layer).__name__} '{layer.name}' joins features of the "
                f"shapes {shapes}. Graphs that are exported do not broadcast: give "
                "all one shape."
            )
        stage = Stage(layer, [v.stage for v in values], shapes[0], shapes[0], sums=True)
        every = any(v.per_step for v in values)
        value = self._add(stage, _Value(stage, every))
        return self._scaled(layer, value, 1 / len(values), kind == "Average")

    def _scaled(self, layer, value, factor, wanted=True):
        if not wanted:
            return value
        name = f"{layer.name}_scale"
        return self._staged(keras.layers.Rescaling(factor, name=name), value)

    def _in_their_places(self, layer, values, folded):
        """Features to concatenate, among zeros where the others have theirs."""
        shapes = [v.stage.output_shape for v in values]
        rank = len(shapes[0])
        axis = layer.axis
        if axis >= 0:
            axis -= rank + (1 if folded or not values[0].per_step else 2)
        if axis != -1 or any(s[:-1] != shapes[0][:-1] for s in shapes):
            raise ValueError(
                f"The {type(layer).__name__} '{layer.name}' must join the last axis "
                f"of features of one size. Received: axis={layer.axis} for {shapes}"
            )
        sizes = [s[-1] for s in shapes]
        places = np.eye(sum(sizes), dtype="float32")
        placed, start = [], 0
        for number, (value, size) in enumerate(zip(values, sizes), 1):
            name = f"{layer.name}_{number}"
            kernel = places[start : start + size]
            placed.append(self._staged(_linear(kernel, rank, name), value))
            start += size
        return placed


def _linear(kernel, rank, name):
    """A layer that multiplies the last of `rank` axes by a matrix."""
    options = {"use_bias": False, "name": name}
    if rank == 1:
        layer = keras.layers.Dense(kernel.shape[1], **options)
    elif rank in (2, 3):
        convolution = keras.layers.Conv1D if rank == 2 else keras.layers.Conv2D
        options["data_format"] = "channels_last"
        layer = convolution(kernel.shape[1], 1, **options)
    else:
        raise ValueError(f"'{name}' joins features of {rank} axes: up to 3 can be.")
    layer.build((*(None,) * rank, kernel.shape[0]))
    layer.set_weights([kernel.reshape(layer.kernel.shape)])
    return layer


def _merge(layer):
    """The kind of a layer or operation that merges, or `None`."""
    if not isinstance(layer, keras.layers.Layer):
        return type(layer).__name__
    return next((k for k, x in _MERGES.items() if rules.computes(layer, (x,))), None)


def _factor(call):
    """The number by which an operation multiplies a tensor, or `None`."""
    name = type(call.operation).__name__
    if len(call.inputs) != 1:
        return None
    if name == "Negative":
        return -1.0
    constants = [x for x in call.args if isinstance(x, (int, float))]
    if len(constants) != 1 or len(call.args) != 2:
        return None
    if name == "Multiply":
        return float(constants[0])
    if name in ("Divide", "TrueDivide") and call.args[0] is call.inputs[0]:
        return 1.0 / constants[0]
    return None


def _check_level(layer, folded):
    if folded or isinstance(inner(layer), _LAST_AXIS):
        return
    raise ValueError(
        f"The {type(inner(layer)).__name__} '{layer.name}' works on time as if it were "
        "a feature. Put it into a keras_spiking.layers.SeqToBatch."
    )
