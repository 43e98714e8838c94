"""Stages of a model, and what exporters ask of them."""

import collections
import dataclasses

import keras
import numpy as np

from keras_spiking.conversion import folding
from keras_spiking.conversion import rules
from keras_spiking.dequantized import dequantized_kernel
from keras_spiking.dequantized import quantizes_inputs
from keras_spiking.layers import Quantized


@dataclasses.dataclass(eq=False)
class Stage:
    """One layer of a model, with its shapes without batch and time.

    Attributes:
        layer: Keras layer, or operation; `None` for the input of a model.
        inputs: List of the `Stage`s that it gets its input from. Where these are
            several, or one several times, `sums` is `True`.
        input_shape, output_shape: Tuples of integers.
        sums: Boolean, whether it is the sum of its inputs, and no layer.
    """

    layer: object
    inputs: list
    input_shape: tuple
    output_shape: tuple
    sums: bool = False

    def __str__(self):
        if self.layer is None:
            return "the input"
        return f"{type(self.layer).__name__} '{self.layer.name}'"


@dataclasses.dataclass(eq=False)
class Network:
    """Stages in an order of execution.

    Attributes:
        source: Stage without a layer, the input.
        stages: List of all other stages.
        output: Stage, the last of them, or the source.
    """

    source: Stage
    stages: list
    output: Stage

    def copy_for_each_use(self, kinds):
        """Gives everything that takes a stage of these kinds a stage of its own."""
        for stage in reversed(list(self.stages)):
            uses = [s for s in self.stages if stage in s.inputs]
            if not isinstance(stage.layer, kinds) or len(uses) < 2:
                continue
            for user in uses[1:]:
                copy = dataclasses.replace(stage, inputs=list(stage.inputs))
                self.stages.insert(self.stages.index(stage) + 1, copy)
                user.inputs = [copy if x is stage else x for x in user.inputs]

    def segments(self):
        """The stages as lists: each follows from the one before, and from that alone.

        Lists come in an order of execution, and sums by themselves.
        """
        uses = collections.Counter(id(x) for s in self.stages for x in s.inputs)
        uses[id(self.output)] += 1
        segments, of = [], {}
        for stage in self.stages:
            before = stage.inputs[0]
            follows = not (stage.sums or before.sums) and uses[id(before)] == 1
            if follows and id(before) in of:
                of[id(stage)] = of[id(before)]
                of[id(stage)].append(stage)
            else:
                segments.append([stage])
                of[id(stage)] = segments[-1]
        return segments


def inner(layer):
    """The layer that a `Quantized` trains, or the layer itself."""
    return layer.layer if isinstance(layer, Quantized) else layer


def is_a(layer, kinds):
    """Whether a layer, or what a `Quantized` trains, computes what `kinds` do."""
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    return rules.computes(inner(layer), kinds)


def weights(stage):
    """Kernel and bias (or `None`) of a layer as NumPy arrays, as it uses them."""
    layer = stage.layer
    if getattr(inner(layer), "quantization_mode", None) is not None:
        pair = _dequantized(stage), layer.bias
    elif isinstance(layer, Quantized):
        pair = layer.quantized_weights()
    else:
        pair = layer.kernel, layer.bias
    arrays = [None if w is None else keras.ops.convert_to_numpy(w) for w in pair]
    if any(w is not None and not np.all(np.isfinite(w)) for w in arrays):
        raise ValueError(f"{stage} has weights that are NaN or infinite.")
    return arrays


def _dequantized(stage):
    kernel = dequantized_kernel(stage.layer)
    if kernel is None or quantizes_inputs(stage.layer):
        raise ValueError(
            f"{stage} was quantised by Keras, with inputs that are rounded, or in a "
            "mode that cannot be exported. Quantise the weights only, `model.quantize("
            "config=keras.quantizers.Int8QuantizationConfig(activation_quantizer=None"
            "))`, export the model before `model.quantize`, or train it with "
            "keras_spiking.layers.Quantized."
        )
    return kernel.astype("float32")


def delays(stage):
    """The learned delays of a layer in whole time steps, an array."""
    layer = stage.layer
    delay = keras.ops.convert_to_numpy(layer.delay)
    if not np.all(np.isfinite(delay)):
        raise ValueError(f"{stage} has delays that are NaN or infinite.")
    whole = np.clip(np.rint(delay), 0, layer.max_delay)
    if not layer.round_at_inference and np.any(whole != delay):
        raise ValueError(
            f"{stage} delays by fractions of time steps. Round them by "
            "keras_spiking.utils.round_delays first."
        )
    return whole


def scale_and_shift(stage):
    """A normalisation at inference: `scale * x + shift` along the last axis."""
    layer = stage.layer
    rank = layer.input_spec.ndim
    if layer.axis % rank != rank - 1:
        raise ValueError(
            f"{stage} must normalise the last axis. Received: axis={layer.axis}"
        )
    return folding.scale_and_shift(layer)


def fold_scale_and_shift(kernel, bias, scale, shift):
    """The weights of `scale * (kernel x + bias) + shift`."""
    return kernel * scale, (0.0 if bias is None else bias * scale) + shift


def channels_first(shape):
    """The shape of features whose channels move to the front."""
    return (shape[-1], *shape[:-1])
