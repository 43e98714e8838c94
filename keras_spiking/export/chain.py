"""A model as a chain of layers over the features of one time step."""

import dataclasses

import keras
import numpy as np

from keras_spiking.conversion import folding
from keras_spiking.conversion import rules
from keras_spiking.layers import Quantized
from keras_spiking.layers import Rematerialize
from keras_spiking.layers import SeqToBatch
from keras_spiking.layers import StepByStep
from keras_spiking.layers.containers.contained import has_time_axis

# Stateless layers that mean the same over (batch, time, features) and over
# (batch, features).
_LAST_AXIS = (
    keras.layers.Dense,
    *folding.FOLDABLE,
    keras.layers.Rescaling,
)


@dataclasses.dataclass
class Stage:
    """One layer of a chain, with its shapes without batch and time."""

    layer: keras.layers.Layer
    input_shape: tuple
    output_shape: tuple

    def __str__(self):
        return f"{type(self.layer).__name__} '{self.layer.name}'"


def chain(model):
    """The stages of a model whose layers follow one another."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: model={model!r}")
    if not model.built:
        raise ValueError(
            f"The model '{model.name}' has no weights yet: start it with "
            "`keras.Input`, or call it on data first."
        )
    shape = model.input_shape
    if isinstance(shape, list) or len(shape) < 3 or None in shape[2:]:
        raise ValueError(
            f"The model '{model.name}' must take one input (batch, time, "
            f"...features) with known features. Its input shape is {shape}. Encoders "
            "and readouts run on the host: export the layers between them."
        )
    stages = _stages(_expand(model, folded=False), tuple(shape[2:]))
    if not stages:
        raise ValueError(
            f"The model '{model.name}' has no layer that computes anything at "
            "inference: there is nothing to export."
        )
    return stages


def stages_of(layers, shape):
    """The stages of layers that see one step at a time, `(batch, *shape)`."""
    expanded = (pair for layer in layers for pair in _expand(layer, folded=True))
    return _stages(expanded, tuple(shape))


def _stages(expanded, shape):
    stages = []
    for layer, folded in expanded:
        if rules.is_identity(layer):
            continue
        _check_level(layer, folded)
        if getattr(layer, "removes_time_axis", False) is True:
            raise ValueError(
                f"The {type(layer).__name__} '{layer.name}' reduces over time. "
                "Spikes are read out on the host: export the layers before it, with "
                "`reduce=None` and `return_sequences=True`."
            )
        if has_time_axis(layer):
            after = layer.compute_output_shape((None, None, *shape))[2:]
        else:
            after = layer.compute_output_shape((None, *shape))[1:]
        stages.append(Stage(layer, shape, tuple(after)))
        shape = tuple(after)
    return stages


def _expand(layer, folded):
    """Layers inside of containers, and whether time is folded away for them."""
    if isinstance(layer, keras.Model):
        _check_chain(layer)
        contents = layer.layers
    elif type(layer) in (SeqToBatch, StepByStep):
        if getattr(layer, "timesteps", None) or getattr(layer, "reduce", None):
            raise ValueError(
                f"The StepByStep '{layer.name}' encodes its input or reduces over "
                "time, which happens on the host. Export one with `timesteps=None, "
                "reduce=None`."
            )
        contents, folded = layer.layers, True
    elif isinstance(layer, keras.layers.TimeDistributed):
        contents, folded = [layer.layer], True
    elif type(layer) is Rematerialize:
        contents = layer.layers
    else:
        yield layer, folded
        return
    for item in contents:
        yield from _expand(item, folded)


def _check_chain(model):
    if isinstance(model, keras.Sequential):
        return
    layers = model.layers
    for before, after in zip(layers, layers[1:]):
        try:
            follows = after.input is before.output
        except (AttributeError, ValueError):
            follows = False
        if not follows:
            raise ValueError(
                f"The layers of '{model.name}' do not form a chain: the input of "
                f"'{after.name}' is not the output of '{before.name}' alone."
            )


def _check_level(layer, folded):
    if folded or has_time_axis(layer) or isinstance(inner(layer), _LAST_AXIS):
        return
    raise ValueError(
        f"The {type(inner(layer)).__name__} '{layer.name}' works on time as if it were "
        "a feature. Put it into a keras_spiking.layers.SeqToBatch."
    )


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
        raise ValueError(
            f"{stage} was quantised by Keras: export the model before "
            "`model.quantize`, or train it with keras_spiking.layers.Quantized."
        )
    if isinstance(layer, Quantized):
        pair = layer.quantized_weights()
    else:
        pair = layer.kernel, layer.bias
    arrays = [None if w is None else keras.ops.convert_to_numpy(w) for w in pair]
    if any(w is not None and not np.all(np.isfinite(w)) for w in arrays):
        raise ValueError(f"{stage} has weights that are NaN or infinite.")
    return arrays


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
