from typing import Any
from typing import Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.neurons.leaky_integrator import LILayer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.parameter import to_config
from keras_spiking.validation import check_groups
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_time_axis

__all__ = ["DendriticBranches"]


@keras.saving.register_keras_serializable("keras_spiking")
class DendriticBranches(Layer):
    """Dendrites whose branches remember for different times: dendritic heterogeneity.

    Each neuron has some branches, whose currents decay at their own pace and add up:

        I_b[t] = I_b[t-1] + (X_b[t] - I_b[t-1]) / tau_b
        Y[t] = sum_b I_b[t]

    Before LIF neurons, and after a dense layer with an output for each branch, this is
    the dendrite of DH-LIF neurons. In the paper each input reaches one of the branches
    of a neuron only.

    Args:
        branches: Integer >= 1, the number of branches of each neuron. Defaults to `4`.
        tau: Float or array >= 1, the time constants in time steps: one for each branch,
            or for each input. `None` gives the branches 2, 4, 8, ... Defaults to
            `None`.
        learnable: As in `TemporalLayer`. The paper learns the time constants of all
            branches: `learnable={"tau": "neuron"}`. Defaults to `None`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ..., neurons * branches)`.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, time, ..., neurons * branches)`, the branches of a neuron side by side.

    Output shape:
        `(batch, time, ..., neurons)`.

    Raises:
        ValueError: if `tau` is less than 1, or the last axis of the input does not
            divide into `branches`.

    Example:

    >>> dendrites = keras_spiking.layers.DendriticBranches(branches=2)
    >>> neurons = keras_spiking.layers.LIFLayer(v_reset=None, v_threshold=0.5)
    >>> neurons(dendrites(keras.random.uniform((2, 8, 20)))).shape
    (2, 8, 10)

    References:
        - [Zheng et al., 2024](https://doi.org/10.1038/s41467-023-44614-z)
    """

    has_time_axis = True

    def __init__(
        self,
        branches: int = 4,
        *,
        tau: ArrayLike | None = None,
        learnable: Any = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.branches = check_integer("branches", branches, minimum=1)
        tau = 2.0 ** np.arange(1, branches + 1) if tau is None else tau
        options = {"learnable": learnable, "dtype": self.dtype_policy}
        self.currents = LILayer(tau, name="currents", **options)
        self.supports_masking = True

    def build(self, input_shape):
        check_time_axis(self, input_shape)
        neurons = check_groups(self, "inputs", input_shape[-1], self.branches)
        given = LILayer.tau.given(self.currents)
        if np.shape(given) == (self.branches,):
            self.currents.tau = np.tile(given, neurons)
        self.currents.build(input_shape)

    def call(self, inputs, mask=None):
        currents = self.currents(inputs, mask=mask)
        shape = (*ops.shape(currents)[:-1], -1, self.branches)
        return ops.sum(ops.reshape(currents, shape), axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // self.branches)

    def get_config(self):
        return {
            **super().get_config(),
            "branches": self.branches,
            "tau": to_config(LILayer.tau.given(self.currents)),
            "learnable": dict(self.currents.learnable),
        }
