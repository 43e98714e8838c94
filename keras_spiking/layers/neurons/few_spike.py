"""Neurons that write a value as few, well chosen spikes."""

from typing import Any
from typing import Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking import surrogates
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.parameter import to_config
from keras_spiking.validation import check_array
from keras_spiking.validation import check_time_axis

__all__ = ["FewSpikeLayer", "HierarchicallyGatedLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class FewSpikeLayer(Layer):
    """Few-spike neurons: an activation function as `K` weighted spikes.

    The sum of the inputs over time is the membrane potential that a neuron starts
    from. It is coded in as many steps as there were:

        V[1] = sum_t X[t]
        Z[k] = heaviside(V[k] - theta[k])
        V[k+1] = V[k] - h[k] Z[k]
        Y[k] = d[k] Z[k]

    The sum of the outputs approximates a function of the sum of the inputs, which
    `theta`, `h` and `d` decide: `theta = h = d = a 2^-k` gives ReLU up to `a`, in steps
    of `a 2^-K`.

    Args:
        theta: Array of `K` numbers, the thresholds.
        h: Array of `K` numbers, what a spike takes from the membrane potential.
        d: Array of `K` numbers, the values of the spikes.
        surrogate: Name, `Surrogate` or callable. Defaults to `"sigmoid"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, K, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if `theta`, `h` and `d` are not of one length, or the input does not
            have as many time steps.

    Example:

    >>> table = [4.0, 2.0, 1.0, 0.5]
    >>> layer = keras_spiking.layers.FewSpikeLayer(table, h=table, d=table)
    >>> y = layer(keras.ops.array([[[3.0], [2.7], [0.0], [0.0]]]))
    >>> [float(v) for v in keras.ops.reshape(y, (-1,))]
    [4.0, 0.0, 1.0, 0.5]

    References:
        - [Stöckl and Maass, 2021](https://doi.org/10.1038/s42256-021-00311-4)
    """

    has_time_axis = True
    rank = 1  # of `theta`, `h` and `d`

    def __init__(
        self,
        theta: ArrayLike,
        *,
        h: ArrayLike,
        d: ArrayLike,
        surrogate: Any = "sigmoid",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        given = {"theta": theta, "h": h, "d": d}
        tables = {name: check_array(name, value) for name, value in given.items()}
        shapes = {name: np.shape(value) for name, value in tables.items()}
        if len(shapes["theta"]) != self.rank or len({*shapes.values()}) > 1:
            what = ("of K numbers", "(regions, K)")[self.rank - 1]
            raise ValueError(
                f"`theta`, `h` and `d` must be arrays {what}, of one shape. Received "
                f"the shapes {shapes}."
            )
        self.theta, self.h, self.d = tables.values()
        self.surrogate = surrogates.get(surrogate)

    @property
    def K(self):
        """The number of time steps."""
        return self.theta.shape[-1]

    def build(self, input_shape):
        check_time_axis(self, input_shape)
        if input_shape[1] not in (None, self.K):
            raise ValueError(
                f"{type(self).__name__} '{self.name}' has values for {self.K} time "
                f"steps. Received an input of shape {tuple(input_shape)}."
            )

    def call(self, inputs):
        self.build(inputs.shape)
        v = ops.sum(ops.cast(inputs, self.state_dtype), axis=1)
        tables = self.tables_of(v)
        outputs = []
        for k in range(self.K):
            theta, h, d = (table(k) for table in tables)
            z = self.surrogate(v - theta)
            outputs.append(d * z)
            v = v - h * z
        return ops.cast(ops.stack(outputs, axis=1), self.compute_dtype)

    def tables_of(self, v):
        """Three functions of the time step: `theta`, `h` and `d` of neurons at `v`."""
        tables = (self.theta, self.h, self.d)
        return [lambda k, table=table: float(table[k]) for table in tables]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        tables = {"theta": self.theta, "h": self.h, "d": self.d}
        return {
            **super().get_config(),
            **{name: to_config(table) for name, table in tables.items()},
            "surrogate": surrogates.serialize(self.surrogate),
        }


@keras.saving.register_keras_serializable("keras_spiking")
class HierarchicallyGatedLayer(FewSpikeLayer):
    """Few-spike neurons whose coding depends on the region of the value: HG neurons.

    Gates choose, by the sum of the inputs, which `theta`, `h` and `d` code it: those of
    the first region up to the first threshold, the second beyond it up to the next, and
    so on. A function is thus precise everywhere with few steps. No
    gradient flows through the choice.

    Args:
        theta: Array `(regions, K)`, the thresholds. See `FewSpikeLayer`.
        h: Array `(regions, K)`, what a spike takes from the membrane potential.
        d: Array `(regions, K)`, the values of the spikes.
        gate_thresholds: Array of `regions - 1` increasing numbers, where the regions
            meet.
        surrogate: Name, `Surrogate` or callable. Defaults to `"sigmoid"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, K, ...)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the shapes do not fit, the thresholds of the gates do not
            increase, or the input does not have `K` time steps.

    Example:

    >>> fine, coarse = [0.5, 0.25], [2.0, 1.0]
    >>> table = [fine, coarse]
    >>> layer = keras_spiking.layers.HierarchicallyGatedLayer(
    ...     table, h=table, d=table, gate_thresholds=[1.0]
    ... )
    >>> y = layer(keras.ops.array([[[0.8, 3.2], [0.0, 0.0]]]))
    >>> [float(v) for v in keras.ops.sum(y, axis=1)[0]]
    [0.75, 3.0]

    References:
        - [Chen et al., 2025](https://arxiv.org/abs/2505.09659)
    """

    rank = 2

    def __init__(
        self,
        theta: ArrayLike,
        *,
        h: ArrayLike,
        d: ArrayLike,
        gate_thresholds: ArrayLike,
        surrogate: Any = "sigmoid",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(theta, h=h, d=d, surrogate=surrogate, **kwargs)
        gates = np.asarray(gate_thresholds, "float64")
        if gates.size:  # one region needs none
            gates = np.asarray(check_array("gate_thresholds", gate_thresholds))
        count = len(self.theta) - 1
        if gates.shape != (count,) or np.any(np.diff(gates) <= 0.0):
            raise ValueError(
                f"`gate_thresholds` must be {count} increasing numbers, one less than "
                f"there are regions. Received: gate_thresholds={gate_thresholds!r}"
            )
        self.gate_thresholds = gates

    def tables_of(self, v):
        beyond = [v > float(gate) for gate in self.gate_thresholds]

        def table(values):
            def of_step(k):
                chosen = ops.full_like(v, float(values[0, k]))
                for gate, value in zip(beyond, values[1:, k]):
                    chosen = ops.where(gate, float(value), chosen)
                return chosen

            return of_step

        return [table(values) for values in (self.theta, self.h, self.d)]

    def get_config(self):
        gates = to_config(self.gate_thresholds)
        return {**super().get_config(), "gate_thresholds": gates}
