"""Which layers of a model are meant."""

import collections

import keras

from keras_spiking.layers.containers import contained
from keras_spiking.layers.probe import Probe
from keras_spiking.layers.spiking_layer import SpikingLayer


def all_layers(model):
    """All layers inside of a model, nested ones too: `{name: layer}`.

    Where two layers share a name, the names of those around them are put in
    front: `"block_1/lif"`.
    """
    found, seen = [], {id(model)}

    def walk(layer, path):
        for inner in _inner_layers(layer):
            if id(inner) not in seen and not isinstance(inner, Probe):
                seen.add(id(inner))
                found.append(((*path, inner.name), inner))
                walk(inner, (*path, inner.name))

    walk(model, ())
    count = collections.Counter(path[-1] for path, _ in found)
    return {
        path[-1] if count[path[-1]] == 1 else "/".join(path): layer
        for path, layer in found
    }


def _inner_layers(layer):
    inner = contained.inner_layers(layer)
    if not inner and not isinstance(layer, keras.Model):
        attributes = keras.tree.flatten(list(vars(layer).values()))
        inner = [a for a in attributes if isinstance(a, keras.layers.Layer)]
    return inner


def is_spiking(layer):
    return isinstance(layer, SpikingLayer)


def select_layers(model, layers=None, default=is_spiking):
    """The layers of a model that are asked for: `{name: layer}`.

    Args:
        model: Keras model.
        layers: Name, class, layer, or a list of these; or a predicate of layers.
            `None` for those that `default` says.
        default: Predicate of layers.
    """
    known = all_layers(model)
    if layers is None:
        selected = {n: layer for n, layer in known.items() if default(layer)}
        if not selected:
            raise ValueError(
                f"Model '{model.name}' has no spiking layer. Say with `layers` "
                f"which to watch: {_names(known)}."
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


def select_layer(model, layer):
    """The one layer that a name or a layer stands for."""
    selected = select_layers(model, [layer])
    if len(selected) > 1:
        raise ValueError(
            f"{layer!r} stands for several layers of model '{model.name}': "
            f"{_names(selected)}. Name one."
        )
    return next(iter(selected.values()))


def check_layers(layers):
    """Raises an error for what cannot select layers."""
    items = layers if isinstance(layers, (list, tuple, set)) else [layers]
    for item in items:
        if not (item is None or isinstance(item, (str, type)) or callable(item)):
            raise TypeError(
                "`layers` must be names, classes, layers or a predicate. "
                f"Received: {item!r} (of type {type(item).__name__})"
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
