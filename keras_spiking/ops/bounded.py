from keras import ops

# Its square is finite in float32: gradients are products of potentials.
LARGEST = 1e18


def bounded(x):
    """`x` within `[-1e18, 1e18]`, so that an overflow does not become NaN.

    States that take up their input go through this. Infinity times 0 and infinity
    minus infinity are not numbers, from which a neuron would never return.

    Args:
        x: Tensor of floats.
    """
    # Not `clip`, whose gradient differs between backends. In a kernel each line becomes
    # one instruction. NaN passes.
    x = ops.where(x > LARGEST, LARGEST, x)
    return ops.where(x < -LARGEST, -LARGEST, x)
