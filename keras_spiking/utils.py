"""Small helpers around labels, thresholds and delays."""

from typing import Any

from keras import ops

from keras_spiking.round_delays import DelayReport
from keras_spiking.round_delays import round_delays
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

__all__ = ["DelayReport", "redundant_one_hot", "round_delays", "threshold_margin"]


def redundant_one_hot(labels: Any, num_classes: int, n: int) -> Any:
    """One-hot labels with `n` ones per class, for `n` neurons that vote.

    Args:
        labels: Integer labels, `(batch,)`.
        num_classes: Integer >= 1, the number of classes.
        n: Integer >= 1, the number of neurons per class.

    Returns:
        A tensor `(batch, num_classes * n)`.

    Example:

    >>> labels = keras.ops.array([0, 2])
    >>> hot = keras_spiking.utils.redundant_one_hot(labels, 3, 2)
    >>> [[int(h) for h in row] for row in hot]
    [[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]]
    """
    n = check_integer("n", n, minimum=1)
    return ops.repeat(_one_hot(labels, num_classes), n, axis=-1)


def threshold_margin(
    labels: Any, num_classes: int, threshold0: float = 0.9, threshold1: float = 1.1
) -> Any:
    """Thresholds of output neurons in training, for a margin between classes.

    In training a neuron of the true class has to reach the higher threshold, and
    neurons of other classes already fire at the lower one. At inference the
    threshold is 1 for all.

    Dividing the input of IF or LIF neurons with `v_threshold=1.0` and `v_reset=0.0`
    (or a soft reset) by these thresholds gives the spikes of neurons that have them:
    all potentials are scaled by the same factor.

    Args:
        labels: Integer labels, `(batch,)`.
        num_classes: Integer >= 1, the number of classes.
        threshold0: Float > 0, for the other classes. Defaults to `0.9`.
        threshold1: Float > 0, for the true class. Defaults to `1.1`.

    Returns:
        A tensor `(batch, num_classes)`.

    Example:

    >>> labels = keras.ops.array([1])
    >>> margin = keras_spiking.utils.threshold_margin(labels, 3)
    >>> [round(float(m), 1) for m in margin[0]]
    [0.9, 1.1, 0.9]
    >>> currents = keras.ops.ones((1, 8, 3))
    >>> neurons = keras_spiking.layers.IFLayer(v_threshold=1.0)
    >>> spikes = neurons(currents / keras.ops.expand_dims(margin, 1))
    >>> [int(count) for count in keras.ops.sum(spikes, axis=1)[0]]
    [8, 4, 8]
    """
    threshold0 = check_number("threshold0", threshold0, above=0.0)
    threshold1 = check_number("threshold1", threshold1, above=0.0)
    one_hot = _one_hot(labels, num_classes)
    return threshold0 + (threshold1 - threshold0) * one_hot


def _one_hot(labels, num_classes):
    num_classes = check_integer("num_classes", num_classes, minimum=1)
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) != 1:
        raise ValueError(
            "`labels` must be integer labels (batch,). Received labels of shape "
            f"{tuple(labels.shape)}."
        )
    return ops.one_hot(ops.cast(labels, "int32"), num_classes)
