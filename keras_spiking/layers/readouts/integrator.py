import keras

from keras_spiking.layers.temporal_layer import TemporalLayer


@keras.saving.register_keras_serializable("keras_spiking")
class Integrator(TemporalLayer):
    """Sums its input over time, without a leak and without spikes.

        V[t] = V[t-1] + X[t]

    Args:
        **kwargs: `return_sequences`, `return_state`, `stateful` and the arguments
            of `keras.layers.Layer`. See `SpikingLayer` for these.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        initial_state: Tensor or list of one tensor, `(batch, ...)`.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Example:

    >>> total = keras_spiking.layers.Integrator(return_sequences=False)
    >>> float(total(keras.ops.ones((1, 7, 1)))[0, 0])
    7.0
    """

    def step(self, x, states):
        (v,) = states
        v = v + x
        return v, (v,)
