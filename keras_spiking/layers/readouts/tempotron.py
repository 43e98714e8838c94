from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.synapses.synapse_filters import DualExponentialSynapse
from keras_spiking.ops.reduce import reduce_time
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number
from keras_spiking.validation import check_time_axis


@keras.saving.register_keras_serializable("keras_spiking")
class Tempotron(Layer):
    """Tempotron: neurons that learn whether to fire from the times of spikes.

        V[t] = sum_i w_i sum_s K(t - s) S_i[s]
        K(t) = V0 (exp(-t / tau) - exp(-t / tau_s)),    t >= 0,  max K = 1

    A neuron fires, at most once, when `V` reaches the threshold. What
    `keras_spiking.losses.TempotronLoss` learns from is the largest `V`.

    Args:
        units: Integer >= 1, the number of neurons.
        tau: Float > 0, the time constant of the decay. Defaults to `15.0`.
        tau_s: Float > 0, that of the rise, less than `tau`. Defaults to `3.75`.
        v_threshold: Float > 0, the threshold. Defaults to `1.0`.
        output: `"v"`, the potential at every step; `"v_max"`, its maximum over
            time; `"spikes"`, one spike at the first step at which the threshold is
            reached (without a gradient). Defaults to `"v_max"`.
        kernel_initializer: Initializer of the weights. Defaults to
            `"glorot_uniform"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, time, features)`, spikes.

    Output shape:
        `(batch, units)` if `output="v_max"`, else `(batch, time, units)`.

    Raises:
        ValueError: if the input is not `(batch, time, features)`, or a time
            constant is out of range.

    Example:

    >>> layer = keras_spiking.layers.Tempotron(10, tau=8.0, tau_s=2.0)
    >>> layer(keras.ops.ones((2, 20, 5))).shape
    (2, 10)

    References:
        - [Gütig and Sompolinsky, 2006](https://doi.org/10.1038/nn1643)
    """

    has_time_axis = True

    def __init__(
        self,
        units: int,
        *,
        tau: float = 15.0,
        tau_s: float = 3.75,
        v_threshold: float = 1.0,
        output: str = "v_max",
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.units = check_integer("units", units, minimum=1)
        self.synapse = DualExponentialSynapse(tau, tau_s=tau_s, dtype=self.dtype_policy)
        self.v_threshold = check_number("v_threshold", v_threshold, above=0.0)
        self.output_kind = check_choice("output", output, ("v", "v_max", "spikes"))
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    @property
    def removes_time_axis(self):
        return self.output_kind == "v_max"

    def build(self, input_shape):
        check_time_axis(self, input_shape, 3, "(batch, time, features)", exact=True)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
        )
        self.synapse.build((*input_shape[:2], self.units))

    def call(self, inputs):
        # The kernel K is linear: filtering few outputs costs less.
        v = self.synapse(ops.matmul(inputs, ops.convert_to_tensor(self.kernel)))
        if self.output_kind == "v":
            return v
        if self.output_kind == "v_max":
            return reduce_time(v, "max")
        fires = ops.cast(v >= self.v_threshold, v.dtype)
        return fires * ops.cast(ops.cumsum(fires, axis=1) == 1.0, v.dtype)

    def compute_output_shape(self, input_shape):
        batch, time, _ = input_shape
        steps = () if self.output_kind == "v_max" else (time,)
        return (batch, *steps, self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "tau": self.synapse.tau,
            "tau_s": self.synapse.tau_s,
            "v_threshold": self.v_threshold,
            "output": self.output_kind,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
