"""Weights of SpikingJelly's networks, and of other networks of PyTorch."""

import collections
import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any
from typing import Literal

import keras
import numpy as np

from keras_spiking.inspection.selection import all_layers
from keras_spiking.models.checkpoints import read_state
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice

_THEIRS = {
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "tau": "w",
}
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@dataclasses.dataclass(frozen=True)
class LoadedWeights:
    """Which weights came from where.

    Attributes:
        by: `"name"` or `"order"`, how layers were matched.
        matched: List of tuples: a weight of the model, its shape, and the name in the
            checkpoint.
        missing: List of the model's layers that the checkpoint has nothing for.
        unused: List of names in the checkpoint that no layer took.
    """

    by: str
    matched: list[tuple[str, tuple[int, ...], str]]
    missing: list[str]
    unused: list[str]

    def __str__(self):
        width = max([len(name) for name, *_ in self.matched], default=0)
        lines = [f"{len(self.matched)} weights, matched by {self.by}:"]
        for name, shape, theirs in self.matched:
            lines.append(f"  {name:<{width}}  {shape!s:<20} <- {theirs}")
        if self.missing:
            lines.append(f"left as they were: {', '.join(self.missing)}")
        if self.unused:
            lines.append(f"not used: {', '.join(self.unused)}")
        return "\n".join(lines)


def load_spikingjelly(
    model: keras.Model,
    state_dict_or_path: Mapping[str, Any] | str | os.PathLike,
    *,
    by: Literal["auto", "name", "order"] = "auto",
    strict: bool = True,
) -> LoadedWeights:
    """Loads weights of SpikingJelly, or of another network of PyTorch.

    The networks of `keras_spiking.models` name their layers as SpikingJelly does, with
    `_` for `.`, and take weights by these names. For networks of your own, weights
    are matched in order: every module of the checkpoint with the first layer left
    that has the same kind of weights in the same shapes. Kernels are transposed, also
    those behind a `Flatten` layer, which puts channels last.

    Weights are loaded all or not at all. Files are read without running the code that
    pickles can hold, and without PyTorch.

    Args:
        model: Built Keras model.
        state_dict_or_path: State dictionary of arrays or tensors, or path of a `.pt`,
            `.pth`, `.safetensors` or `.npz` file with one, alone or among the other
            things of a training.
        by: `"name"`, `"order"`, or `"auto"`: by name if the checkpoint has the names
            of all layers with weights, else by order. Defaults to `"auto"`.
        strict: Boolean, whether every weight on both sides has to have its
            counterpart. If `False`, what does not fit is left out, and the report
            names it. Defaults to `True`.

    Returns:
        A `LoadedWeights`; print it to see which weight came from where.

    Raises:
        ValueError: if the file cannot be read or weights do not fit, naming those.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> state = {"fc.weight": np.ones((2, 3)), "fc.bias": np.zeros(2)}
    >>> report = keras_spiking.models.load_spikingjelly(model, state)
    >>> report.by, len(report.matched)
    ('order', 2)
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "`model` must be a Keras model that is built, by an `Input` or a call. "
            f"Received: {model!r}"
        )
    check_choice("by", by, ("auto", "name", "order"))
    modules = _modules(read_state(state_dict_or_path))
    ours = _layers_with_weights(model)
    named = _by_name(ours, modules)
    if by == "auto":
        # Names that are there by chance, such as "fc1", are no sign of a known network.
        by = "name" if 2 * len(named) > len(ours) else "order"
    pairs = named if by == "name" else _by_order(ours, modules)
    values, matched, wrong = [], [], []
    for layer, prefix in pairs:
        arrays = modules[prefix]
        for variable, suffix, shape in ours[layer]:
            name = _joined(prefix, suffix)
            value = None
            if suffix in arrays:
                value = _as_keras(layer, variable, arrays[suffix], shape)
            if value is None:
                theirs = arrays[suffix].shape if suffix in arrays else "missing"
                wrong.append(f"{name} ({theirs}) for {variable.path} {variable.shape}")
            else:
                values.append((variable, value))
                matched.append((variable.path, tuple(variable.shape), name))
    used = {name for *_, name in matched}
    names = [_joined(p, suffix) for p, arrays in modules.items() for suffix in arrays]
    unused = [name for name in names if name not in used]
    taken = {layer for layer, _ in pairs}
    missing = [layer.name for layer in ours if layer not in taken]
    if check_bool("strict", strict) and (wrong or missing or unused):
        problems = {
            "of another shape": wrong,
            "layers without weights in the checkpoint": missing,
            "in the checkpoint without a layer": unused if not wrong else [],
        }
        text = "; ".join(f"{k}: {', '.join(v)}" for k, v in problems.items() if v)
        raise ValueError(
            f"The weights do not fit model '{model.name}' (matched by {by}). {text}. "
            "Nothing was loaded. `strict=False` loads what fits."
        )
    for variable, value in values:
        variable.assign(value)
    return LoadedWeights(by, matched, missing, unused)


def _modules(state):
    """Arrays by the module that they belong to: `{path: {name: array}}`."""
    modules = collections.defaultdict(dict)
    for name, value in state.items():
        prefix, _, suffix = name.rpartition(".")
        if suffix != "num_batches_tracked":
            modules[prefix][suffix] = value
    return dict(modules)


def _joined(prefix, suffix):
    return f"{prefix}.{suffix}" if prefix else suffix


def _layers_with_weights(model):
    """`{layer: [(variable, its name in PyTorch, shape of the flattened maps)]}`."""
    found, flattened = {}, None
    for layer in all_layers(model).values():
        if isinstance(layer, keras.layers.Flatten):
            # Keras flattens with channels last, whatever the format.
            flattened = layer.get_build_config()["input_shape"][1:]
            if layer.data_format == "channels_first":
                flattened = (*flattened[1:], flattened[0])
        inner = all_layers(layer).values()
        others = {id(w) for x in inner if x is not layer for w in x.weights}
        own = [w for w in layer.weights if id(w) not in others]
        if not own or isinstance(layer, keras.Model):
            continue
        shape = None
        if isinstance(layer, keras.layers.Dense) and flattened:
            if math.prod(flattened) == layer.kernel.shape[0]:
                shape = flattened
            flattened = None
        found[layer] = [(w, _THEIRS.get(w.name, w.name), shape) for w in own]
    return found


def _by_name(ours, modules):
    prefixes = {prefix.replace(".", "_"): prefix for prefix in modules}
    return [(x, prefixes[x.name]) for x in ours if x.name in prefixes]


def _by_order(ours, modules):
    pairs, left = [], list(ours)
    for prefix, arrays in modules.items():
        for layer in left:
            suffixes = {suffix for _, suffix, _ in ours[layer]}
            if suffixes == set(arrays) and all(
                _as_keras(layer, variable, arrays[suffix], shape) is not None
                for variable, suffix, shape in ours[layer]
            ):
                pairs.append((layer, prefix))
                left.remove(layer)
                break
    return pairs


def _as_keras(layer, variable, value, flattened):
    """The value of a weight as Keras has it, or `None` if it does not fit."""
    shape = tuple(variable.shape)
    if variable.name == "kernel" and isinstance(layer, keras.layers.Dense):
        inputs, units = shape
        if value.size != inputs * units or value.shape[0] != units:
            return None
        if flattened:
            maps = value.reshape(units, flattened[-1], *flattened[:-1])
            value = np.moveaxis(maps, 1, -1)
        return value.reshape(units, inputs).T
    if variable.name == "kernel" and (axes := _axes(layer)) is not None:
        # Their shape, from ours, with the axes where PyTorch has them.
        theirs = [0] * len(shape)
        for axis, size in zip(axes, shape):
            theirs[axis] = size
        if isinstance(layer, _DEPTHWISE):  # (channels * multiplier, 1, ...)
            outputs = theirs[0] * theirs[1]
            if value.shape == (outputs, 1, *theirs[2:]):
                return value.reshape(theirs).transpose(axes)
            return None
        # A 1 x 1 convolution may be a dense layer there.
        spatial = [n for n in value.shape[2:] if n > 1]
        if list(value.shape[:2]) != theirs[:2] or spatial != [
            n for n in theirs[2:] if n > 1
        ]:
            return None
        return value.reshape(theirs).transpose(axes)
    squeezed = [n for n in value.shape if n > 1]
    if squeezed != [n for n in shape if n > 1]:
        return None
    return value.reshape(shape)


def _axes(layer):
    """Where PyTorch has the axes of a kernel of Keras."""
    rank = len(layer.kernel.shape) - 2 if hasattr(layer, "kernel") else 0
    spatial = tuple(range(2, 2 + rank))
    if isinstance(layer, _TRANSPOSED):
        return (*spatial, 1, 0)  # (inputs, outputs, ...) there
    if isinstance(layer, _DEPTHWISE):
        return (*spatial, 0, 1)
    if isinstance(layer, _CONVOLUTIONS):
        return (*spatial, 1, 0)
    return None
