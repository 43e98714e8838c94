"""Walking the layers of a model, and choosing some of them."""

import collections
from collections.abc import Callable
from typing import Any

import keras

from keras_spiking.layers.neurons.event_prop import EventPropLayer
from keras_spiking.layers.neurons.parallel_spiking import PSN
from keras_spiking.layers.neurons.parallel_spiking import SlidingPSN
from keras_spiking.layers.probe import Probe
from keras_spiking.layers.spiking_layer import SpikingLayer

Layers = dict[str, keras.layers.Layer]
Selector = Any  # a name, a class, a layer, a list of these, or a predicate of layers

SPIKING = (SpikingLayer, EventPropLayer, PSN, SlidingPSN)


def all_layers(model: keras.layers.Layer) -> Layers:
    """All layers inside of a model, nested ones too: `{name: layer}`.

    Layers in containers, wrappers, sub-models and attributes of layers are found. Where
    two of them share a name, the names of those around them are put first:
    `"block_1/lif"`. A layer that is no model is one of its layers itself.
    """
    return {name: layer for name, _, layer in layer_tree(model)}


def layer_tree(model: keras.layers.Layer) -> list[tuple[str, int, keras.layers.Layer]]:
    """Tuples of the name in `all_layers`, how deep inside it is, and the layer."""
    found, seen = [], set()

    def walk(layer, path):
        if id(layer) not in seen and not isinstance(layer, Probe):
            seen.add(id(layer))
            found.append((path, layer))
            for inner in _inner_layers(layer):
                walk(inner, (*path, inner.name))

    walk(model, (model.name,))
    if isinstance(model, keras.Model):
        found = [(path[1:], layer) for path, layer in found[1:]]
    count = collections.Counter(path[-1] for path, _ in found)
    return [
        (path[-1] if count[path[-1]] == 1 else "/".join(path), len(path) - 1, layer)
        for path, layer in found
    ]


def _inner_layers(layer):
    if isinstance(layer, keras.Model):
        return layer.layers
    # Containers list their layers in order, others have them as attributes.
    inner = list(getattr(layer, "layers", ()))
    inner += keras.tree.flatten(list(vars(layer).values()))
    return [item for item in inner if isinstance(item, keras.layers.Layer)]


def is_spiking(layer: keras.layers.Layer) -> bool:
    """Whether a layer is one of spiking neurons over `(batch, time, ...)`."""
    return isinstance(layer, SPIKING)


def check_spiking_model(model: keras.layers.Layer) -> None:
    """Raises an error if something is no model, or has no spiking neurons."""
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(
            "`model` must be a Keras model or layer. Received: "
            f"model={model!r} (of type {type(model).__name__})"
        )
    if not any(is_spiking(layer) for layer in all_layers(model).values()):
        raise ValueError(
            f"Model '{model.name}' has no spiking neurons, whose spikes could be "
            "counted. See keras_spiking.conversion.convert, or use layers such as "
            "keras_spiking.layers.LIFLayer in place of activations."
        )


def select_layers(
    model: keras.layers.Layer,
    layers: Selector = None,
    default: Callable[[keras.layers.Layer], bool] = is_spiking,
) -> Layers:
    """The layers of a model that are asked for: `{name: layer}`.

    Args:
        model: Keras model or layer.
        layers: Name, class, layer, or a list of these; or a predicate of layers.
            `None` for those that `default` says.
        default: Predicate of layers.
    """
    known = all_layers(model)
    if layers is None:
        selected = {n: layer for n, layer in known.items() if default(layer)}
        if not selected:
            raise ValueError(
                f"Model '{model.name}' has no spiking layers. Choose with `layers` "
                f"which ones are meant: {_names(known)}."
            )
        return selected
    if not isinstance(layers, (list, tuple, set)):
        layers = [layers]
    selected = {}
    for item in layers:
        matches = {n: x for n, x in known.items() if _is_meant(item, n, x)}
        if not matches:
            raise ValueError(
                f"No layer of model '{model.name}' is meant by {item!r}. "
                f"It has the layers {_names(known)}."
            )
        selected.update(matches)
    return {name: x for name, x in known.items() if name in selected}


def select_layer(model: keras.layers.Layer, layer: Selector) -> keras.layers.Layer:
    """The one layer that a name or a layer stands for."""
    selected = select_layers(model, [layer])
    if len(selected) > 1:
        raise ValueError(
            f"{layer!r} stands for several layers of model '{model.name}': "
            f"{_names(selected)}. Name one."
        )
    return next(iter(selected.values()))


def check_layers(layers: Selector) -> Selector:
    """Returns `layers` if it can select layers."""
    items = layers if isinstance(layers, (list, tuple, set)) else [layers]
    fits = all(isinstance(item, (str, type)) or callable(item) for item in items)
    if layers is not None and not (items and fits):
        raise TypeError(
            "`layers` must be a name, a class, a layer, a list of these, or a "
            f"predicate of layers. Received: layers={layers!r}"
        )
    return layers


def _is_meant(item, name, layer):
    if isinstance(item, str):
        return item in (name, layer.name)
    if isinstance(item, type):
        return isinstance(layer, item)
    if isinstance(item, keras.layers.Layer):
        return item is layer
    return bool(item(layer))


def _names(layers):
    return ", ".join(repr(name) for name in layers)
