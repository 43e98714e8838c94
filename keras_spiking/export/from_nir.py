"""NIR graphs as Keras models."""

import json
import os

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.export import from_nir_neurons
from keras_spiking.export import from_nir_synapses
from keras_spiking.export.from_nir_synapses import channels_last
from keras_spiking.export.from_nir_synapses import shape_of
from keras_spiking.export.nir_package import nir
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_number


def from_nir(path_or_graph, dt=1e-4, discretization="euler", reset="hard"):
    """Makes a Keras model of a NIR graph.

    NIR describes neurons in continuous time; how a step of `dt` is computed is for
    the reader to say. Frameworks that write NIR mean different things:

    | Written by   | `dt`                     | `discretization` |
    |--------------|--------------------------|------------------|
    | this package | as exported              | `"euler"`        |
    | snnTorch     | `1e-4`                   | `"euler"`        |
    | SpikingJelly | as exported, `1e-4`      | `"euler"`        |
    | Norse        | `1e-6`, see below        | `"euler"`        |
    | sinabs       | `1.0`                    | `"exponential"`  |
    | Spyx         | as exported, `1.0`       | `"unit_gain"`    |

    For `tau dv/dt = (v_leak - v) + r x` these are

        euler:        v += (v_leak - v + r x) dt / tau
        exponential:  v += (v_leak - v + r x) (1 - exp(-dt / tau))
        unit_gain:    v += (v_leak - v) dt / tau + x            (`r` is not used)

    Norse (1.1) writes time constants that are multiplied by its time step, so that `dt`
    is the square of that: `1e-6` for the default of 1 ms. sinabs' neurons have a soft
    reset, which NIR cannot say: read them with `reset="soft"`.

    Neurons fire at and above the threshold, and current-based ones use the synaptic
    current of the same step. Edges that close a cycle are late by one step, see
    `keras_spiking.layers.RecurrentGraph`.

    Args:
        path_or_graph: Path of a NIR file, or a `nir.NIRGraph`.
        dt: Float > 0, the duration of a time step in the graph's unit of time.
            Defaults to `1e-4`.
        discretization: `"euler"`, `"exponential"` or `"unit_gain"`. Defaults to
            `"euler"`.
        reset: `"hard"`, or `"soft"` for graphs of frameworks that subtract the
            threshold and cannot say so in NIR. Defaults to `"hard"`.

    Returns:
        A `keras.Sequential` over `(batch, time, ...)`, images with channels last.

    Raises:
        ValueError: if a node cannot be expressed, naming it, or a time constant is
            shorter than `dt`.
        ImportError: if the package `nir` is missing.

    References:
        - [Pedersen et al., 2024](https://doi.org/10.1038/s41467-024-52259-9)
    """
    dt = check_number("dt", dt, above=0.0)
    check_choice("discretization", discretization, from_nir_neurons.DISCRETIZATIONS)
    check_choice("reset", reset, ("hard", "soft"))
    graph = _graph(path_or_graph)
    nodes, edges = _flat(graph)
    inputs = [k for k, n in nodes.items() if isinstance(n, nir().Input)]
    outputs = [k for k, n in nodes.items() if isinstance(n, nir().Output)]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            "The graph must have one input and one output. It has "
            f"{len(inputs)} and {len(outputs)}."
        )
    ends = {inputs[0]: "input", outputs[0]: "output"}
    edges = [(ends.get(a, a), ends.get(b, b)) for a, b in edges]
    converted = {
        name: _layers(name, node, dt, discretization, reset)
        for name, node in nodes.items()
        if name not in ends
    }
    shape = _input_shape(nodes, inputs[0], edges)
    model = keras.Sequential([keras.Input((None, *channels_last(shape)))])
    order = _as_chain(edges)
    if order is None:
        model.add(layers.RecurrentGraph(converted, edges))
        return model
    for name in order:
        for layer in converted[name]:
            over_time = isinstance(layer, keras.layers.Dense) or hasattr(
                layer, "has_time_axis"
            )
            model.add(layer if over_time else layers.SeqToBatch(layer))
    return model


def _graph(path_or_graph):
    if isinstance(path_or_graph, nir().NIRGraph):
        return path_or_graph
    path = os.fspath(path_or_graph)
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    try:
        # The package's check of shapes (1.0.8) refuses groups and kernels that are
        # not square. Keras checks shapes when the layers are built.
        graph = nir().read(path, type_check=False)
        if any(_is_flatten_of_anything(node) for node in graph.nodes.values()):
            graph.infer_types()
        return graph
    except Exception as error:
        raise ValueError(
            f"{path!r} is not a NIR file, or is damaged: {error}"
        ) from error


def _is_flatten_of_anything(node):
    return isinstance(node, nir().Flatten) and node.input_type["input"] is None


def _flat(graph, prefix=""):
    """Nodes and edges with those of sub-graphs in their place."""
    nodes, edges, inner = {}, [], {}
    for name, node in graph.nodes.items():
        if not isinstance(node, nir().NIRGraph):
            nodes[prefix + name] = node
            continue
        sub_nodes, sub_edges = _flat(node, f"{prefix}{name}.")
        entry = [k for k, n in sub_nodes.items() if isinstance(n, nir().Input)]
        leave = [k for k, n in sub_nodes.items() if isinstance(n, nir().Output)]
        if len(entry) != 1 or len(leave) != 1:
            raise ValueError(
                f"The sub-graph {prefix + name!r} must have one input and one output."
            )
        first = [b for a, b in sub_edges if a == entry[0]]
        last = [a for a, b in sub_edges if b == leave[0]]
        inner[prefix + name] = (first, last)
        ends = {entry[0], leave[0]}
        nodes |= {k: n for k, n in sub_nodes.items() if k not in ends}
        edges += [e for e in sub_edges if not ends & set(e)]
    for before, after in graph.edges:
        before, after = prefix + before, prefix + after
        starts = inner[before][1] if before in inner else [before]
        stops = inner[after][0] if after in inner else [after]
        edges += [(a, b) for a in starts for b in stops]
    return nodes, list(dict.fromkeys(edges))


def _input_shape(nodes, name, edges):
    """The features of the graph's input.

    Norse and sinabs put axes of batch and time in front: the node behind tells.
    """
    shape = shape_of(nodes[name].input_type)
    first = nodes.get(next(after for before, after in edges if before == "input"))
    if isinstance(first, (nir().Conv2d, nir().SumPool2d, nir().AvgPool2d)):
        return shape[-3:]
    if isinstance(first, nir().Conv1d):
        return shape[-2:]
    if isinstance(first, (nir().Affine, nir().Linear)):
        return shape[-1:]
    return shape


def _as_chain(edges):
    """The names from input to output, or `None` if the graph branches."""
    following = dict(edges)
    if len(following) != len(edges) or len({b for _, b in edges}) != len(edges):
        return None
    order, name = [], following.get("input")
    while name is not None and name != "output":
        if name in order:
            return None
        order.append(name)
        name = following.get(name)
    return order if len(order) == len(edges) - 1 else None


def _layers(name, node, dt, discretization, reset):
    """The Keras layers that compute a node, a list."""
    kind = type(node).__name__
    if config := _config(node):
        return [keras.saving.deserialize_keras_object(config)]
    if kind in from_nir_synapses.NODES:
        return from_nir_synapses.NODES[kind](name, node)
    if kind == "Delay":
        return [_delay(name, node, dt)]
    return from_nir_neurons.to_layers(name, node, dt, discretization, reset)


def _config(node):
    """The exact layer that `to_nir(..., approximate=True)` has noted."""
    config = (node.metadata or {}).get("keras_spiking")
    if isinstance(config, np.ndarray):
        config = config.item()
    return json.loads(config) if config else None


def _delay(name, node, dt):
    steps = np.asarray(node.delay) / dt
    whole = np.round(steps)
    of_channels = whole.reshape(len(whole), -1) if whole.ndim else whole.reshape(1, 1)
    if np.any(abs(steps - whole) > 1e-3) or np.ptp(of_channels, axis=1).any():
        raise ValueError(
            f"Node {name!r}: delays must be multiples of dt={dt:g}, the same for all "
            f"neurons of a channel. They are {np.unique(node.delay)}."
        )
    if np.ptp(whole) == 0:
        return layers.Delay(int(whole.flat[0]))
    layer = layers.LearnableDelay(max_delay=int(whole.max()))
    layer.build((None, None, *channels_last(whole.shape)))
    layer.set_weights([of_channels[:, 0]])
    return layer
