from keras import ops


def straight_through(value, like):
    """`value`, to the last bit, with the gradient of `like`.

    Args:
        value: Tensor, what goes forward.
        like: Tensor of the same shape, what the gradient flows to.
    """
    return ops.stop_gradient(value) + (like - ops.stop_gradient(like))
