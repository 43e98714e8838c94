"""The forward and the backward pass of a layer."""

import math
from collections import defaultdict
from collections import deque

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.gradient import gradients


class Program:
    """A layer's forward and backward pass through time, as expressions of a step.

    Args:
        step: The traced `Step`.
        masked: Whether there is a mask.
        fresh: Whether all calls start from the layer's initial states and nobody
            wants the final ones, so that kernels need no arrays of states.

    Attributes:
        step, masked: As given.
        fresh: As given, but false if the initial states differ between neurons.
        output, new_states: Those of the step; a masked step gives no output and keeps
            its states.
        saved: List of expressions that the backward pass needs from every step.
        grad_x, grad_states, grad_parameters: Expressions of the backward pass, in
            terms of `saved`, parameters, and the inputs `"x"`, `"grad_output"` and
            `"grad_state0"`, ...
    """

    def __init__(self, step, masked=False, fresh=False):
        self.step = step
        self.masked = masked
        self.fresh = fresh and step.initial_states is not None
        graph = step.graph
        self.output, self.new_states = step.output, step.new_states
        if masked:
            mask = graph.input("mask", is_bool=True)
            self.output = graph.apply("where", mask, self.output, 0.0)
            pairs = zip(self.new_states, step.states)
            self.new_states = [graph.apply("where", mask, *pair) for pair in pairs]
        x = graph.input("x")
        weights = [graph.input(f"parameter{i}") for i in range(len(step.parameters))]
        upstream = [graph.input("grad_output")]
        upstream += [graph.input(f"grad_state{i}") for i in range(len(step.states))]
        grads = gradients(
            [self.output, *self.new_states], upstream, [x, *step.states, *weights]
        )
        self.grad_x = grads[0]
        self.grad_states = grads[1 : 1 + len(step.states)]
        self.grad_parameters = grads[1 + len(step.states) :]
        self.saved = _cheapest(grads, step.states, [self.output, *self.new_states])


def _cheapest(grads, states, results):
    """The fewest values of a step that its gradients need, besides the input.

    For many neurons that is the membrane potential before the spike alone, from
    which they need not even the input; for any it is the states. Everything that
    gradients get from the states passes through these values: they are a smallest
    cut of the graph of expressions.
    """
    memory = {state.value for state in states}
    candidates = [
        node
        for node in in_order([*results, *states])
        if not node.is_bool and node.inputs & memory
    ]
    cut = _smallest_cut(grads, memory, candidates)
    without_x = _smallest_cut(grads, memory | {"x"}, candidates, len(cut))
    return cut if without_x is None else without_x


def _smallest_cut(outputs, inputs, candidates, limit=math.inf):
    """The fewest candidates that suffice to compute outputs without inputs.

    As many paths as possible from inputs to outputs are found that share no
    candidate (Ford and Fulkerson): a node is a pipe from `(node, 0)` to `(node, 1)`
    with room for one path if it is a candidate. The first full pipes on the way from
    the inputs are the cut.

    Returns:
        A list of candidates, or `None` if it takes more than `limit`, or cannot be.
    """
    start, end = "start", "end"
    room = defaultdict(dict)  # from a place to the places after it

    def pipe(a, b, size=math.inf):
        room[a][b], room[b][a] = size, 0

    single = set(candidates)
    for node in in_order(outputs):
        pipe((node, 0), (node, 1), 1 if node in single else math.inf)
        for operand in node.operands:
            pipe((operand, 1), (node, 0))
        if node.op == "input" and node.value in inputs:
            pipe(start, (node, 0))
    for node in outputs:
        pipe((node, 1), end)

    for _ in range(1 + min(limit, len(candidates))):
        before = _places_within_reach(room, start, end)
        if end not in before:
            return [c for c in candidates if (c, 0) in before and (c, 1) not in before]
        place = end
        while place != start:
            room[before[place]][place] -= 1
            room[place][before[place]] += 1
            place = before[place]
    return None


def _places_within_reach(room, start, end):
    """Places that a path from the start leads to, each with the place before it."""
    before, queue = {start: None}, deque([start])
    while queue and end not in before:
        place = queue.popleft()
        for after, size in room[place].items():
            if size > 0 and after not in before:
                before[after] = place
                queue.append(after)
    return before
