"""What the forward pass of a layer computes and saves, and the backward pass."""

import itertools

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.expression import inputs_of
from keras_spiking.backends.kernels.gradient import gradients
from keras_spiking.backends.kernels.trace import Step


class Program:
    """A layer's forward and backward pass through time, as expressions of a step.

    Attributes:
        step: The traced `Step`.
        masked: Whether there is a mask.
        saved: List of expressions that the forward pass saves at every step.
        reads_input: Whether the backward pass reads the input sequence.
        reads_output: Whether it reads the output sequence.
        known: What the backward pass reads: `{expression: name}`.
        grad_x, grad_states, grad_parameters: Expressions of the backward pass,
            in terms of `known`, parameters, and the inputs `"grad_output"` and
            `"grad_state0"`, ...
    """

    def __init__(self, layer, features, masked=False, half_precision=False):
        self.step = step = Step(layer, features, masked)
        self.masked = masked
        graph = step.graph
        x = graph.input("x")
        weights = [graph.input(f"parameter{i}") for i in range(len(step.parameters))]
        upstream = [graph.input("grad_output")]
        upstream += [graph.input(f"grad_state{i}") for i in range(len(step.states))]
        grads = gradients(
            [step.output, *step.new_states], upstream, [x, *step.states, *weights]
        )
        self.grad_x = grads[0]
        self.grad_states = grads[1 : 1 + len(step.states)]
        self.grad_parameters = grads[1 + len(step.states) :]

        spike = _spike(step.output) if half_precision else None
        self.reads_output = spike is not None
        recoverable = [spike] if self.reads_output else []
        needed = _cheapest(grads, x, step, recoverable)
        self.reads_input = any(node is x for node in needed)
        self.saved = [node for node in needed if node is not x]
        self.known = {node: f"saved{i}" for i, node in enumerate(self.saved)}
        if self.reads_input:
            self.known[x] = "x"
        if self.reads_output:
            self.known[spike] = "output"


def _spike(output):
    """The spike that an output is, if it is one, perhaps masked.

    In half precision what is saved is rounded, and a spike that is computed from
    it again could come out different. The output is exact.
    """
    node = output.args[1] if output.op == "where" else output
    return node if node.op == "spike" else None


def _cheapest(grads, x, step, known):
    """The fewest values a step has to remember for its gradients.

    For many neurons that is the membrane potential before the spike alone; for
    any it is the states and the input.
    """
    memory = {"x", *(s.value for s in step.states)}

    def suffices(values):
        return not inputs_of(grads, known=(*values, *known)) & memory

    candidates = [
        node
        for node in in_order([step.output, *step.new_states])
        if not node.is_bool and inputs_of([node]) & memory
    ]
    for count in range(len(step.states) + 1):
        for values in itertools.combinations(candidates, count):
            if suffices(values):
                return list(values)
    everything = [*step.states, x]
    return [node for node in everything if node.value in inputs_of(grads, known)]
