"""A Keras model as a list of calls, that can be rewritten and run again.

This is the only place that looks into Keras's record of a model: `trace` reads
it and leaves the model as it is.
"""

import contextlib
import dataclasses
import re

import keras


@dataclasses.dataclass(eq=False)
class Call:
    """One call of an operation: a layer, or a function of `keras.ops`.

    Tensors among the arguments and outputs are `keras.KerasTensor`s: names of
    values, without a history.

    Attributes:
        operation: Callable, the layer or operation.
        args: Tuple, its positional arguments, with tensors among them.
        kwargs: Dictionary of its keyword arguments.
        outputs: List of the tensors that it returns.
        name: String, unique in the graph.
        place: String, where the user finds the operation.
        trouble: String, why a look inside of the operation failed, or `None`.
    """

    operation: object
    args: tuple
    kwargs: dict
    outputs: list
    name: str
    place: str
    trouble: str | None = None

    @property
    def inputs(self):
        """The tensors among the arguments."""
        arguments = keras.tree.flatten((self.args, self.kwargs))
        return [x for x in arguments if isinstance(x, keras.KerasTensor)]


@dataclasses.dataclass(eq=False)
class Graph:
    """Calls in the order of execution, from `inputs` to `outputs`.

    Attributes:
        inputs: Nested structure of tensors, as the model takes them.
        outputs: Nested structure of tensors, as the model returns them.
        output_names: List of strings, one for every output.
        calls: List of `Call`s.
    """

    inputs: object
    outputs: object
    output_names: list
    calls: list

    def consumers(self, tensor):
        """The calls that take `tensor`."""
        return [c for c in self.calls if any(x is tensor for x in c.inputs)]

    def is_output(self, tensor):
        return any(x is tensor for x in keras.tree.flatten(self.outputs))

    def remove(self, call):
        """Removes a call of one input and one output: its input takes over."""
        values = {id(call.outputs[0]): call.inputs[0]}
        self.calls.remove(call)
        for other in self.calls:
            other.args, other.kwargs = fill_in((other.args, other.kwargs), values)
        self.outputs = fill_in(self.outputs, values)


def fill_in(structure, values):
    """Replaces the tensors in `structure` that `values` knows, by their id."""

    def value(x):
        return values.get(id(x), x) if isinstance(x, keras.KerasTensor) else x

    return keras.tree.map_structure(value, structure)


def run(calls, values, operation=None):
    """Runs calls on values, symbolic or not.

    Args:
        calls: List of `Call`s.
        values: Dictionary from the ids of tensors to their values. The outputs
            of all calls are added to it.
        operation: Callable that returns what is called in a `Call`'s place.
            Defaults to its operation.
    """
    for call in calls:
        function = operation(call) if operation else call.operation
        args, kwargs = fill_in((call.args, call.kwargs), values)
        results = keras.tree.flatten(function(*args, **kwargs))
        values.update({id(x): y for x, y in zip(call.outputs, results)})
    return values


def single(tensors):
    """The only tensor of a list of one, else the list: how models return it."""
    return tensors[0] if len(tensors) == 1 else tensors


def is_graph(model):
    """Whether a layer is a `Sequential` or Functional model."""
    return isinstance(model, keras.Sequential) or hasattr(model, "operations")


def check_graph(model):
    """Checks that a model is one whose layers can be read one by one."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a keras.Model. Received: "
            f"model={model!r} (of type {type(model).__name__})"
        )
    if not model.built:
        raise ValueError(
            f"The model '{model.name}' has no weights yet: start it with "
            "`keras.Input`, or call it on data first."
        )
    if not is_graph(model):
        raise ValueError(
            f"The model '{model.name}' is a subclass with a `call` of its own, whose "
            "order of layers cannot be read. Make it a Sequential or Functional model."
        )


def trace(model):
    """Returns a Functional or Sequential model as a `Graph`.

    Models inside of it are dissolved into their calls.
    """
    names = {}

    def symbol(x):
        return keras.KerasTensor(x.shape, dtype=x.dtype, name=x.name)

    model = _functional(model)
    inputs = keras.tree.map_structure(symbol, model._inputs_struct)
    calls, outputs = _trace(model, inputs, "", names)
    return Graph(inputs, outputs, list(model.output_names), calls)


def trace_inner(model, inputs, call, names):
    """The calls of a model that computes what one call of a graph does.

    Args:
        model: Functional model.
        inputs: List of the tensors of the graph that it takes.
        call: `Call` that they replace, which gives them their places and names.
        names: Dictionary from the names in the graph to how often they were given,
            which is updated.

    Returns:
        List of `Call`s, and the structure of their outputs.
    """
    calls, outputs = _trace(model, inputs, call.place, {})
    for inner in calls:
        inner.name = _unique(f"{call.name}_{_own_name(inner.operation)}", names)
    return calls, outputs


def _own_name(operation):
    """The name of an operation without the number that Keras gave it."""
    kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(operation).__name__).lower()
    return kind if re.fullmatch(rf"{kind}(_\d+)?", operation.name) else operation.name


@contextlib.contextmanager
def without_traces(operation):
    """Lets symbolic calls of a layer, and of those inside, leave it as it was."""
    flatten = getattr(operation, "_flatten_layers", lambda: [operation])
    kept = [(x, list(x._inbound_nodes), list(x._outbound_nodes)) for x in flatten()]
    try:
        yield
    finally:
        for x, inbound, outbound in kept:
            x._inbound_nodes[:], x._outbound_nodes[:] = inbound, outbound


def _functional(model):
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return model


def _trace(model, inputs, place, names):
    inputs = keras.tree.flatten(inputs)
    values = {id(x): y for x, y in zip(model.inputs, inputs)}
    calls = []
    for node in _nodes(model):
        structure = node.arguments.args, node.arguments.kwargs
        args, kwargs = fill_in(structure, values)
        operation = node.operation
        inner_place = f"{place}/{operation.name}" if place else operation.name
        if is_graph(operation):
            arguments = keras.tree.flatten((args, kwargs))
            tensors = [x for x in arguments if isinstance(x, keras.KerasTensor)]
            inner, outputs = _trace(_functional(operation), tensors, inner_place, names)
            calls += inner
            outputs = keras.tree.flatten(outputs)
        else:
            outputs = [keras.KerasTensor(x.shape, dtype=x.dtype) for x in node.outputs]
            name = _unique(operation.name, names)
            calls.append(Call(operation, args, kwargs, outputs, name, inner_place))
        values.update({id(x): y for x, y in zip(node.outputs, outputs)})
    return calls, fill_in(model._outputs_struct, values)


def _nodes(model):
    depths = sorted(model._nodes_by_depth.items(), reverse=True)
    nodes = [node for _, nodes in depths for node in nodes]
    return [node for node in nodes if not node.is_input]


def _unique(name, names):
    count = names[name] = names.get(name, 0) + 1
    return name if count == 1 else f"{name}_call{count}"
