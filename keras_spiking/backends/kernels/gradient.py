"""Reverse-mode differentiation of expressions."""

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.operations import OPERATIONS


def gradients(outputs, upstream, sources):
    """Gradients of outputs with respect to sources.

    Args:
        outputs: List of expressions.
        upstream: List of expressions, the gradient with respect to each output.
        sources: List of expressions to differentiate with respect to.

    Returns:
        A list of expressions, one for each source.
    """
    graph = outputs[0].graph
    total = {}

    def add(node, gradient):
        if gradient is not None and not node.is_constant() and not node.is_bool:
            known = total.get(node)
            total[node] = gradient if known is None else known + gradient

    for output, gradient in zip(outputs, upstream):
        add(output, gradient)
    for node in reversed(in_order(outputs)):
        if node in total and node.args:
            operation = OPERATIONS[node.op]
            for argument, gradient in zip(
                node.args, operation.gradient(total[node], *node.args, node)
            ):
                add(argument, gradient)
    return [total.get(source, graph.constant(0.0)) for source in sources]
