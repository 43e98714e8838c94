"""The forward and the backward pass of a layer."""

import itertools

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.expression import inputs_of
from keras_spiking.backends.kernels.gradient import gradients
from keras_spiking.backends.kernels.trace import Step


class Program:
    """A layer's forward and backward pass through time, as expressions of a step.

    Args:
        layer: The `TemporalLayer`.
        features: Tuple, the shape of one step of one sample.
        masked: Whether there is a mask.
        fresh: Whether all calls start from the layer's initial states and nobody
            wants the final ones, so that kernels need no arrays of states.

    Attributes:
        step: The traced `Step`.
        masked: As given.
        fresh: As given, but false if the initial states are not constants.
        saved: List of expressions that the backward pass needs from every step.
        grad_x, grad_states, grad_parameters: Expressions of the backward pass, in
            terms of `saved`, parameters, and the inputs `"x"`, `"grad_output"` and
            `"grad_state0"`, ...
    """

    def __init__(self, layer, features, masked=False, fresh=False):
        self.step = step = Step(layer, features, masked)
        self.masked = masked
        self.fresh = fresh and step.initial_states is not None
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

        self.saved = _cheapest(grads, step)


def _cheapest(grads, step):
    """The fewest values of a step that its gradients need, besides the input.

    For many neurons that is the membrane potential before the spike alone, from
    which they need not even the input; for any it is the states.
    """
    memory = {state.value for state in step.states}

    def suffices(values, memory):
        return not inputs_of(grads, known=values) & memory

    candidates = [
        node
        for node in in_order([step.output, *step.new_states])
        if not node.is_bool and inputs_of([node]) & memory
    ]
    for count in range(len(step.states) + 1):
        for needed in (memory | {"x"}, memory):
            for values in itertools.combinations(candidates, count):
                if suffices(values, needed):
                    return list(values)
    return [state for state in step.states if state.value in inputs_of(grads)]
