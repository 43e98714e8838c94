from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.parameter import Parameter

__all__ = ["ShortTermPlasticity"]


@keras.saving.register_keras_serializable("keras_spiking")
class ShortTermPlasticity(TemporalLayer):
    """Synapses that facilitate and tire: the model of Tsodyks and Markram.

    A spike raises the fraction `U` of the resources `R` that is released, and uses up
    what it releases; between spikes both recover:

        U[t] = U[t-1] - U[t-1] / tau_facilitation + release (1 - U[t-1]) S[t]
        Y[t] = U[t] R[t-1] S[t]
        R[t] = R[t-1] + (1 - R[t-1]) / tau_recovery - Y[t]

    from `U = 0` and `R = 1`. With `tau_facilitation=1` the synapse only tires.

    `S` counts as within [0, 1]. A synapse cannot release more than it has: beyond, the
    resources would become negative, and the equations would grow without bound.

    Args:
        release: Float or array in [0, 1], the fraction that a first spike releases.
            Defaults to `0.45`.
        tau_facilitation: Float or array >= 1, how many time steps the facilitation
            lasts. Defaults to `50.0`.
        tau_recovery: Float or array >= 1, how many time steps the resources take to
            recover. Defaults to `750.0`.
        **kwargs: The arguments of `TemporalLayer`.

    Input shape:
        `(batch, time, ...)`, spikes, or any numbers from 0 to 1.

    Output shape:
        As the input. The states are what is `released` and the `resources`.

    Raises:
        ValueError: if a parameter is out of its range.

    Example:

    >>> spikes = keras.ops.ones((1, 4, 1))
    >>> y = keras_spiking.layers.ShortTermPlasticity(release=0.5)(spikes)
    >>> [round(float(v), 2) for v in keras.ops.reshape(y, (-1,))]
    [0.5, 0.37, 0.11, 0.02]

    References:
        - [Tsodyks et al., 1998](https://doi.org/10.1162/089976698300017502)
        - [Mongillo et al., 2008](https://doi.org/10.1126/science.1150769)
    """

    state_names = ("released", "resources")
    release = Parameter(minimum=0.0, maximum=1.0)
    tau_facilitation = Parameter(minimum=1.0)
    tau_recovery = Parameter(minimum=1.0)

    def __init__(
        self,
        release: ArrayLike = 0.45,
        *,
        tau_facilitation: ArrayLike = 50.0,
        tau_recovery: ArrayLike = 750.0,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.release = release
        self.tau_facilitation = tau_facilitation
        self.tau_recovery = tau_recovery

    def get_initial_state(self, x):
        released, resources = super().get_initial_state(x)
        return released, resources + 1.0

    def step(self, x, states):
        released, resources = states
        x = ops.clip(x, 0.0, 1.0)
        rise = self.release * (1.0 - released) * x
        released = released - released / self.tau_facilitation + rise
        y = released * resources * x
        return y, (released, resources + (1.0 - resources) / self.tau_recovery - y)
