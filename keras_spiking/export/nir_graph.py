"""NIR graphs: read, flattened and checked."""

import contextlib
import dataclasses
import os

import h5py
import numpy as np

from keras_spiking.export.files import check_arrays
from keras_spiking.export.nir_package import nir

_NO_VALUES = ("input_type", "output_type", "metadata")


def read(path_or_graph, max_bytes):
    """Returns the `nir.NIRGraph` of a path, or the graph itself."""
    if isinstance(path_or_graph, nir().NIRGraph):
        return path_or_graph
    if not isinstance(path_or_graph, (str, bytes, os.PathLike)):
        raise TypeError(
            "`path_or_graph` must be the path of a NIR file or a nir.NIRGraph. "
            f"Received: {path_or_graph!r} (of type {type(path_or_graph).__name__})"
        )
    path = os.fsdecode(path_or_graph)
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    try:
        with h5py.File(path, "r") as file:
            check_arrays(file, max_bytes)
        # The package's check of shapes (1.0.8) refuses groups and kernels that are
        # not square. Keras checks shapes when the layers are built.
        graph = nir().read(path, type_check=False)
        if any(_is_flatten_of_anything(node) for node in graph.nodes.values()):
            graph.infer_types()
        return graph
    except Exception as error:  # a damaged file can make h5py raise anything
        raise ValueError(
            f"{path!r} is not a NIR file, or is damaged: {error}"
        ) from error


def _is_flatten_of_anything(node):
    return isinstance(node, nir().Flatten) and node.input_type["input"] is None


def nodes_and_edges(graph):
    """The nodes of a graph but for its ends, its edges, and the shape of its input.

    The ends are called "input" and "output" in the edges.
    """
    try:
        nodes, edges = _flat(graph)
    except RecursionError:
        raise ValueError("The graph must not contain itself.") from None
    inputs = [k for k, n in nodes.items() if isinstance(n, nir().Input)]
    outputs = [k for k, n in nodes.items() if isinstance(n, nir().Output)]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            "The graph must have one input and one output. It has "
            f"{len(inputs)} and {len(outputs)}."
        )
    names = {k: f"{k}_node" if k in ("input", "output") else k for k in nodes}
    names |= {inputs[0]: "input", outputs[0]: "output"}
    edges = [(names[a], names[b]) for a, b in edges]
    nodes = {names[k]: node for k, node in nodes.items()}
    end = nodes.pop("input")
    nodes.pop("output")
    _check_connected(nodes, edges)
    for name, node in nodes.items():
        with naming(name):
            check_values(node)
    with naming(inputs[0]):
        shape = _input_shape(end, nodes, edges)
    return nodes, edges, shape


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
        if len(entry) != 1 or len(leave) != 1 or (*entry, *leave) in sub_edges:
            raise ValueError(
                f"The sub-graph {prefix + name!r} must have one input and one output, "
                "and nodes between them."
            )
        first = [b for a, b in sub_edges if a == entry[0]]
        last = [a for a, b in sub_edges if b == leave[0]]
        inner[prefix + name] = (first, last)
        ends = {entry[0], leave[0]}
        nodes |= {k: n for k, n in sub_nodes.items() if k not in ends}
        edges += [e for e in sub_edges if not ends & set(e)]
    for edge in graph.edges:
        if len(edge) != 2 or not set(edge) <= set(graph.nodes):
            raise ValueError(
                f"Every edge must join two nodes of the graph. Received: {edge!r}, "
                f"with the nodes {', '.join(map(str, graph.nodes))}."
            )
        before, after = prefix + edge[0], prefix + edge[1]
        starts = inner[before][1] if before in inner else [before]
        stops = inner[after][0] if after in inner else [after]
        edges += [(a, b) for a in starts for b in stops]
    return nodes, list(dict.fromkeys(edges))


def _check_connected(nodes, edges):
    for before, after in edges:
        if not {before, after} <= {"input", "output", *nodes} or (
            before == "output" or after == "input"
        ):
            raise ValueError(
                f"The edge from {before!r} to {after!r} cannot be read: nothing leads "
                "to an input or away from an output."
            )
    reached = {"input"}
    while more := {b for a, b in edges if a in reached} - reached:
        reached |= more
    if missing := [name for name in (*nodes, "output") if name not in reached]:
        raise ValueError(
            "Edges must lead from the input to every node and to the output. These "
            f"are not reached: {', '.join(missing)}."
        )


def check_values(node):
    """Raises `ValueError` unless all numbers of a node are finite in float32."""
    for field in dataclasses.fields(node):
        value = getattr(node, field.name, None)
        if field.name in _NO_VALUES or value is None or isinstance(value, str):
            continue
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or not array.size:
            raise ValueError(f"`{field.name}` must be numbers. Received: {value!r}")
        with np.errstate(over="ignore"):
            finite = np.all(np.isfinite(array.astype("float32")))
        if not finite:
            raise ValueError(f"`{field.name}` is NaN, infinite or beyond float32.")


def _input_shape(end, nodes, edges):
    """The features of the graph's input.

    Norse and sinabs put axes of batch and time first: the next node has the features.
    """
    shape = shape_of(end.input_type)
    first = nodes.get(next(after for before, after in edges if before == "input"))
    if isinstance(first, (nir().Conv2d, nir().SumPool2d, nir().AvgPool2d)):
        return shape[-3:]
    if isinstance(first, nir().Conv1d):
        return shape[-2:]
    if isinstance(first, (nir().Affine, nir().Linear)):
        return shape[-1:]
    return shape


def shape_of(types):
    """The shape that a node's `input_type` holds, as a tuple of integers."""
    shape = np.asarray(next(iter(types.values())))
    if shape.ndim != 1 or shape.dtype.kind not in "iu" or np.any(shape < 1):
        raise ValueError(f"its shape must be positive integers. Received: {shape}")
    return tuple(int(n) for n in shape)


@contextlib.contextmanager
def naming(name):
    """Turns whatever goes wrong with a node into a `ValueError` that names it."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"Node {name!r} cannot be read: {error}") from error
