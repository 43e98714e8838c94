"""Spike clusters: spatio-temporal credit assignment (STCA)."""

from typing import Any

import keras
from keras import ops

from keras_spiking.losses.over_time import LossOverTime
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


def spike_clusters(
    v: Any, v_threshold: float = 1.0, T_in: int = 5
) -> tuple[Any, Any, Any]:
    """Counts clusters of spikes, and finds where to add or remove one.

    Spikes with gaps of at most `T_in` steps belong to one cluster.

    Args:
        v: Tensor `(batch, time, ...)`, membrane potentials before the reset.
        v_threshold: Float, the threshold. Defaults to `1.0`.
        T_in: Integer >= 1, the longest gap within a cluster. Defaults to `5`.

    Returns:
        The number of clusters, `(batch, ...)`, and two tensors of 0 and 1 of the
        shape of `v`. The first is 1 at the largest potential outside all clusters,
        where a new cluster is easiest to create; the second at the largest potential
        of the cluster with the fewest spikes, which is easiest to remove. Either is
        all 0 where there is none.

    Example:

    >>> v = keras.ops.array([[[1.2], [0.1], [1.1], [0.2], [0.8], [0.1], [1.3]]])
    >>> count, add, remove = keras_spiking.losses.spike_clusters(v, T_in=2)
    >>> int(count[0, 0])
    2
    """
    T_in = check_integer("T_in", T_in, minimum=1)
    v_threshold = check_number("v_threshold", v_threshold)
    v = ops.stop_gradient(ops.convert_to_tensor(v))
    spikes = ops.cast(v >= v_threshold, v.dtype)

    # One pass numbers the clusters: how many have started up to each step.
    def step(s, states):
        since, number = states
        starts = s * ops.cast(since > T_in, s.dtype)
        number = number + starts
        since = ops.where(s > 0.0, ops.ones_like(since), since + 1.0)
        return number, (since, number)

    zero = ops.zeros_like(v[:, 0])
    number, (_, count) = time_loop(step, spikes, (zero + T_in + 1.0, zero))

    # A step is inside a cluster if a spike of the same cluster comes later.
    def backward(x, later):
        s, n = x
        inside = ops.cast(ops.logical_and(later == n, n > 0.0), s.dtype)
        later = ops.where(s > 0.0, n, later)
        return ops.where(s > inside, s, inside), later

    flipped = (ops.flip(spikes, 1), ops.flip(number, 1))
    inside = ops.flip(time_loop(backward, flipped, zero - 1.0)[0], 1)

    # The number of spikes of the cluster that each step belongs to.
    same = ops.cast(ops.expand_dims(number, 1) == ops.expand_dims(number, 2), v.dtype)
    size = ops.sum(same * ops.expand_dims(spikes, 1), axis=2)
    smallest = ops.min(ops.where(inside > 0.0, size, 1e9), axis=1, keepdims=True)
    in_smallest = ops.logical_and(inside > 0.0, size == smallest)
    # Of clusters of the same size, the first.
    first = ops.min(ops.where(in_smallest, number, 1e9), axis=1, keepdims=True)
    in_smallest = ops.logical_and(in_smallest, number == first)
    return count, _largest(v, inside == 0.0), _largest(v, in_smallest)


def _largest(v, where):
    """1 at the largest `v` of each neuron among the steps in question."""
    candidates = ops.where(where, v, -1e9)
    index = ops.argmax(candidates, axis=1)
    one = ops.one_hot(index, v.shape[1], axis=1, dtype=v.dtype)
    return one * ops.cast(where, v.dtype)


@keras.saving.register_keras_serializable("keras_spiking")
class SpikeClusterLoss(LossOverTime):
    """Penalises deviation from a target number of spike clusters (STCA).

        L = sum_c [N_c < N_d] (v_threshold - V_add)
            + [N_c > N_d] (V_remove - v_threshold)

    where `V_add` is the largest potential outside all clusters and `V_remove` the
    largest potential of the smallest cluster, see `spike_clusters`.

    Args:
        v_threshold: Float, the threshold. Defaults to `1.0`.
        T_in: Integer >= 1, the longest gap within a cluster. Defaults to `5`.
        name: Name of the loss.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: As in `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Desired numbers of clusters `N_d`, `(batch, neurons)`.
        y_pred: Potentials before the reset, `(batch, time, neurons)`.

    Example:

    >>> loss = keras_spiking.losses.SpikeClusterLoss()
    >>> v = keras.ops.array([[[0.1], [0.6], [0.2]]])
    >>> round(float(loss(keras.ops.array([[1.0]]), v)), 3)
    0.4

    References:
        - [Gu et al., 2019](https://doi.org/10.24963/ijcai.2019/189)
    """

    def __init__(
        self,
        v_threshold: float = 1.0,
        T_in: int = 5,
        *,
        name: str = "spike_cluster",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        self.v_threshold = check_number("v_threshold", v_threshold)
        self.T_in = check_integer("T_in", T_in, minimum=1)

    def per_sample(self, y_true: Any, y_pred: Any, mask: Any = None) -> Any:
        count, add, remove = spike_clusters(y_pred, self.v_threshold, self.T_in)
        desired = ops.cast(y_true, y_pred.dtype)
        few = ops.expand_dims(ops.cast(count < desired, y_pred.dtype), 1) * add
        many = ops.expand_dims(ops.cast(count > desired, y_pred.dtype), 1) * remove
        return ops.sum((many - few) * (y_pred - self.v_threshold), axis=(1, 2))

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "v_threshold": self.v_threshold}
        return {**config, "T_in": self.T_in}
