"""The forward and the backward pass of a layer."""

import itertools

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.expression import inputs_of
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
    which they need not even the input; for any it is the states.
    """
    memory = {state.value for state in states}

    def suffices(values, memory):
        return not inputs_of(grads, known=values) & memory

    candidates = [
        node
        for node in in_order(results)
        if not node.is_bool and inputs_of([node]) & memory
    ]
    for count in range(len(states) + 1):
        for needed in (memory | {"x"}, memory):
            for values in itertools.combinations(candidates, count):
                if suffices(values, needed):
                    return list(values)
    return [state for state in states if state.value in inputs_of(grads)]
