"""Small helpers around labels and thresholds."""

from keras import ops

from keras_spiking.validation import check_number


def redundant_one_hot(labels, num_classes, n):
    """One-hot labels with `n` ones a class, for `n` neurons that vote.

    Args:
        labels: Integer labels `(batch,)`.
        num_classes: Integer, the number of classes.
        n: Integer >= 1, the neurons of a class.

    Returns:
        A tensor `(batch, num_classes * n)`.

    Example:

    >>> labels = keras.ops.array([0, 2])
    >>> hot = keras_spiking.utils.redundant_one_hot(labels, 3, 2)
    >>> [[int(h) for h in row] for row in hot]
    [[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]]
    """
    n = int(check_number("n", n, minimum=1))
    return ops.repeat(ops.one_hot(labels, num_classes), n, axis=-1)


def threshold_margin(labels, num_classes, threshold0=0.9, threshold1=1.1):
    """Thresholds that leave a margin between right and wrong in training.

    A neuron of the true class shall reach the higher threshold, one of another
    class shall not even reach the lower one. For the potentials `v` of output
    neurons, `v >= margin` is who counts as firing in training; at inference the
    threshold is the same for all.

    Args:
        labels: Integer labels `(batch,)`.
        num_classes: Integer, the number of classes.
        threshold0: Float, for the other classes. Defaults to `0.9`.
        threshold1: Float, for the true class. Defaults to `1.1`.

    Returns:
        A tensor `(batch, num_classes)`.

    Example:

    >>> labels = keras.ops.array([1])
    >>> margin = keras_spiking.utils.threshold_margin(labels, 3)
    >>> [round(float(m), 1) for m in margin[0]]
    [0.9, 1.1, 0.9]
    """
    one_hot = ops.one_hot(labels, num_classes)
    return threshold0 + (threshold1 - threshold0) * one_hot
