from typing import Unpack

import keras
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SpikingOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_integer

__all__ = ["MultiCompartmentLIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class MultiCompartmentLIFLayer(SpikingLayer):
    """LIF neurons with a dendrite of several compartments: a passive cable.

    The input enters the last compartment, potentials spread from one to the next, and
    the first one, the soma, fires and is reset:

        V_k[t] = V_k[t-1] + (I_k - V_k + coupling sum_j (V_j - V_k)) / tau
        I_last = X[t], all others 0

    with all potentials on the right at `t-1`, and `j` the neighbours of `k`. The soma
    is `LIFLayer`'s neuron with the dendrite's current as its input.

    Args:
        compartments: Integer >= 2, the number of compartments, with the soma. Defaults
            to `3`.
        tau: Float or array >= 1, the membrane time constant, at least `1 + 2 coupling`
            if the potentials are not to swing. Defaults to `4.0`.
        coupling: Float or array >= 0, the conductance between neighbours, in units of
            that of the leak. Defaults to `1.0`.
        **kwargs: The arguments of `SpikingLayer`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input. The states are the potential of the soma `v` and those of
        `compartment_1`, `compartment_2`, ... up to where the input enters.

    Raises:
        ValueError: if `compartments` is less than 2, `tau` less than 1 or `coupling`
            negative.

    Example:

    >>> layer = keras_spiking.layers.MultiCompartmentLIFLayer(compartments=4)
    >>> layer.state_names
    ('v', 'compartment_1', 'compartment_2', 'compartment_3')
    >>> layer(keras.random.uniform((2, 8, 10))).shape
    (2, 8, 10)

    References:
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch/online/Ch3.S2.html)
    """

    tau = Parameter(minimum=1.0)
    coupling = Parameter(minimum=0.0)

    def __init__(
        self,
        compartments: int = 3,
        *,
        tau: ArrayLike = 4.0,
        coupling: ArrayLike = 1.0,
        **kwargs: Unpack[SpikingOptions],
    ):
        super().__init__(**kwargs)
        self.compartments = check_integer("compartments", compartments, minimum=2)
        self.tau = tau
        self.coupling = coupling

    @property
    def state_names(self):
        """The soma, and the compartments of the dendrite."""
        count = range(1, self.compartments)
        return ("v", *(f"compartment_{k}" for k in count))

    def step(self, x, states):
        new = []
        for k, v in enumerate(states):
            neighbours = [*states[max(k - 1, 0) : k], *states[k + 1 : k + 2]]
            current = self.coupling * sum(other - v for other in neighbours)
            if k == len(states) - 1:
                current = current + bounded(x)
            leak = v - self.baseline if k == 0 else v
            new.append(bounded(v + (current - leak) / self.tau))
        h, *dendrite = new
        spikes = self.fire(h)
        return spikes, (self.reset(h, spikes), *dendrite)

    def get_config(self):
        return {**super().get_config(), "compartments": self.compartments}
