from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.containers import contained
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.layers.containers.step_by_step import _step_functions
from keras_spiking.layers.options import LayerOptions
from keras_spiking.nested_config import with_objects
from keras_spiking.ops.time_loop import hold


@keras.saving.register_keras_serializable("keras_spiking")
class RecurrentGraph(StepByStep):
    """A network given as nodes and edges, which may form cycles.

    A node receives the sum of the outputs of all nodes with an edge to it. In every
    cycle one edge is late by a time step, and carries 0 in the first step: the one
    that leaves the last layer of neurons on the way around (`delayed_edges`).

    Args:
        nodes: Dictionary from names to a Keras layer or a list of layers.
        edges: List of pairs of names. `"input"` and `"output"` are the ends of the
            network.
        reduce: What to return over time: `None` for the outputs of all steps, or
            `"mean"`, `"sum"` or `"last"`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        mask: Boolean tensor `(batch, time)`, see `StepByStep`. In masked steps
            delayed edges keep their values.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        `(batch, time, ...)`; `(batch, ...)` if `reduce` is given.

    Raises:
        TypeError: if `nodes` is not a dictionary, or an edge not a pair of names.
        ValueError: if an edge has no node, a node cannot be reached, or the edges
            into a node carry different shapes.

    Example:

    >>> network = keras_spiking.layers.RecurrentGraph(
    ...     nodes={
    ...         "encode": keras.layers.Dense(8),
    ...         "neurons": keras_spiking.layers.LIFLayer(),
    ...         "feedback": keras.layers.Dense(8),
    ...     },
    ...     edges=[
    ...         ("input", "encode"),
    ...         ("encode", "neurons"),
    ...         ("neurons", "feedback"),
    ...         ("feedback", "neurons"),
    ...         ("neurons", "output"),
    ...     ],
    ... )
    >>> tuple(network(keras.ops.ones((2, 5, 3))).shape)
    (2, 5, 8)
    >>> network.delayed_edges
    [('neurons', 'feedback')]
    """

    def __init__(
        self,
        nodes: dict[str, Any],
        edges: list[tuple[str, str]],
        *,
        reduce: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        edges = _check(nodes, edges)
        lists = [
            contained.as_list(node, f"Node {name!r}") for name, node in nodes.items()
        ]
        super().__init__(
            [x for layers in lists for x in layers], reduce=reduce, **kwargs
        )
        self.node_names = list(nodes)
        self.node_sizes = [len(layers) for layers in lists]
        self.edges = edges
        neurons = {
            name
            for name, layers in zip(nodes, lists)
            if any(contained.has_time_axis(layer) for layer in layers)
        }
        self.delayed_edges, self.order = _break_cycles(self.edges, neurons)

    @property
    def nodes(self):
        """Dictionary from names to lists of layers."""
        layers = iter(self.layers)
        return {
            name: [next(layers) for _ in range(size)]
            for name, size in zip(self.node_names, self.node_sizes)
        }

    def build(self, input_shape):
        self.functions = [
            [f for layer in node for f in _step_functions(layer)]
            for node in self.nodes.values()
        ]
        self.node_shapes = self._shapes(self.step_shape(input_shape))
        shape = self.node_shapes[self.order.index("output")]
        self.step_output = keras.KerasTensor(shape, dtype=self.compute_dtype)

    def _shapes(self, shape):
        """Output shapes in the order of `order`, found along any edge."""
        shapes = {"input": shape}
        while len(shapes) < len(self.order) + 1:
            ready = [
                (before, name)
                for before, name in self.edges
                if before in shapes and name not in shapes
            ]
            before, name = ready[0]
            y = keras.KerasTensor(shapes[before])
            for function in self._functions(name):
                y = function(y, None, None)
            shapes[name] = tuple(y.shape)
        for name in self.order:
            received = [shapes[b][1:] for b, after in self.edges if after == name]
            if len(set(received)) > 1:
                raise ValueError(
                    f"All edges into a node of RecurrentGraph '{self.name}' must have "
                    f"features of one shape. Received: {received} into '{name}'."
                )
        return [shapes[name] for name in self.order]

    def _functions(self, name):
        if name == "output":
            return []
        return self.functions[self.node_names.index(name)]

    def call_step(self, x, mask=None, training=None):
        values, slots = {"input": x}, {}
        for before, _ in self.delayed_edges:
            if before not in slots:
                slots[before] = streaming.Slot()
        previous = {
            before: self._previous(slot, before, x) for before, slot in slots.items()
        }
        for name in self.order:
            inputs = [
                previous[before]
                if (before, after) in self.delayed_edges
                else values[before]
                for before, after in self.edges
                if after == name
            ]
            y = sum(inputs[1:], inputs[0])
            for function in self._functions(name):
                y = function(y, mask, training)
            values[name] = y
        for before, slot in slots.items():
            new = values[before]
            slot.put(new if mask is None else hold(mask, new, previous[before]))
        return values["output"]

    def _previous(self, slot, name, x):
        if slot.previous is not None:
            return slot.previous
        shape = self.node_shapes[self.order.index(name)]
        return ops.zeros((ops.shape(x)[0], *shape[1:]), dtype=self.compute_dtype)

    def get_config(self):
        config = super().get_config()
        del config["timesteps"], config["layer"]
        nodes = {k: contained.serialize(v) for k, v in self.nodes.items()}
        return {**config, "nodes": nodes, "edges": [list(e) for e in self.edges]}

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "nodes"))


def _check(nodes, edges):
    """Returns the edges as a list of pairs, if they and the nodes make a graph."""
    if not isinstance(nodes, dict) or not all(isinstance(n, str) for n in nodes):
        raise TypeError(
            "`nodes` must be a dictionary from names to layers or lists of layers. "
            f"Received: nodes={nodes!r}"
        )
    if reserved := {"input", "output"} & set(nodes):
        raise ValueError(
            "'input' and 'output' are the ends of the network, no node can have that "
            f"name. Received: a node {min(reserved)!r}"
        )
    names = [*nodes, "input", "output"]
    edges = list(edges) if isinstance(edges, (list, tuple, set)) else [edges]
    for edge in edges:
        is_pair = isinstance(edge, (list, tuple)) and len(edge) == 2
        if not (is_pair and all(isinstance(name, str) for name in edge)):
            raise TypeError(
                f"`edges` must be a list of pairs of names. Received: {edge!r}"
            )
        if not set(edge) <= set(names) or edge[0] == "output" or edge[1] == "input":
            raise ValueError(
                f"Every edge must lead from a node to a node. Received: {edge!r}, with "
                f"nodes {', '.join(names)}."
            )
    reached = {"input"}
    while more := {b for a, b in edges if a in reached} - reached:
        reached |= more
    if missing := [name for name in (*nodes, "output") if name not in reached]:
        raise ValueError(
            f"Every node must be reached from 'input'. These are not: {missing}"
        )
    return [tuple(edge) for edge in edges]


def _break_cycles(edges, neurons):
    """The edges to delay, and an order of the nodes along all others."""
    edges, delayed = list(edges), []
    while True:
        cycle, order = _sort(edges, delayed)
        if cycle is None:
            return delayed, [name for name in order if name != "input"]
        steps = list(zip(cycle, cycle[1:] + cycle[:1]))
        leaving = [step for step in steps if step[0] in neurons]
        delayed.append((leaving or steps)[-1])


def _sort(edges, delayed):
    """A cycle, or `None`, and the nodes in an order along the edges."""
    done = []

    def visit(name, path):
        for before, after in edges:
            if before != name or after in done or (before, after) in delayed:
                continue
            if after in path:
                return path[path.index(after) :]
            if cycle := visit(after, [*path, after]):
                return cycle
        done.append(name)
        return None

    for root in ("input", *(after for _, after in edges)):
        if root not in done and (cycle := visit(root, [root])):
            return cycle, None
    return None, done[::-1]
