from typing import Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_groups
from keras_spiking.validation import check_integer

__all__ = ["DendriticBranches"]


@keras.saving.register_keras_serializable("keras_spiking")
class DendriticBranches(TemporalLayer):
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
        **kwargs: The arguments of `TemporalLayer`. The paper learns the time constants
            of all branches: `learnable={"tau": "neuron"}`.

    Input shape:
        `(batch, time, ..., neurons * branches)`, the branches of a neuron side by side.

    Output shape:
        `(batch, time, ..., neurons)`; without time if `return_sequences=False`. The
        state is the `current` of each branch.

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

    state_names = ("current",)
    tau = Parameter(minimum=1.0)

    def __init__(
        self,
        branches: int = 4,
        *,
        tau: ArrayLike | None = None,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.branches = check_integer("branches", branches, minimum=1)
        self.tau = 2.0 ** np.arange(1, branches + 1) if tau is None else tau

    def build(self, inputs_shape, initial_state_shape=None):
        inputs = inputs_shape[-1]
        neurons = check_groups(self, "inputs", inputs, self.branches)
        given = type(self).tau.given(self)
        if np.shape(given) == (self.branches,):
            self.tau = np.tile(given, neurons)
        super().build(inputs_shape, initial_state_shape)

    def step(self, x, states):
        (current,) = states
        current = current + (bounded(x) - current) / self.tau
        return current, (current,)

    def run_steps(self, inputs, states=None, mask=None):
        currents, states = super().run_steps(inputs, states, mask)
        shape = (*ops.shape(currents)[:-1], -1, self.branches)
        return ops.sum(ops.reshape(currents, shape), axis=-1), states

    def compute_output_spec(self, inputs, initial_state=None, mask=None):
        spec = super().compute_output_spec(inputs, initial_state, mask)
        outputs, *states = spec if self.return_state else (spec,)
        shape = (*outputs.shape[:-1], outputs.shape[-1] // self.branches)
        outputs = keras.KerasTensor(shape, dtype=outputs.dtype)
        return (outputs, *states) if self.return_state else outputs

    def get_config(self):
        return {**super().get_config(), "branches": self.branches}
