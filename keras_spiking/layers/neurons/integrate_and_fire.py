import keras

from keras_spiking.layers.spiking_layer import SpikingLayer

__all__ = ["IFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class IFLayer(SpikingLayer):
    """Integrate-and-fire neurons: perfect integrators of their input.

        H[t] = V[t-1] + X[t]

    Args:
        v_threshold: Float or array >= 0, the threshold. Defaults to `1.0`.
        v_reset: Float or array, or `None` for a soft reset. Defaults to `0.0`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"sigmoid"`.
        detach_reset: Boolean. Defaults to `False`.
        return_sequences: Boolean. Defaults to `True`.
        return_state: Boolean. Defaults to `False`.
        stateful: Boolean. Defaults to `False`.
        **kwargs: `learnable`, `data_format` and the arguments of
            `keras.layers.Layer`. See `SpikingLayer` for all of these.

    Call arguments:
        inputs: Tensor of input currents, `(batch, time, ...)`.
        initial_state: Tensor or list of one tensor, `(batch, ...)`.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Example:

    >>> current = keras.ops.array([[[0.6], [0.6], [0.6], [0.6]]])
    >>> spikes = keras_spiking.layers.IFLayer()(current)
    >>> [int(s) for s in keras.ops.reshape(spikes, (-1,))]
    [0, 1, 0, 1]

    References:
        - [Lapicque, 1907](https://doi.org/10.1007/s00422-007-0189-6)
    """

    def charge(self, x, v):
        return v + x
