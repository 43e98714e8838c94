import keras

from keras_spiking.online.online_model import OnlineModel


@keras.saving.register_keras_serializable("keras_spiking")
class SLTT(OnlineModel):
    """Spatial learning through time: gradients within each time step only.

    The gradient of the loss at a time step goes through the layers but not back
    in time, through no membrane potential. The optimizer applies the mean over
    time at the end of a sequence.

    Args:
        layer: See `OnlineModel`.
        timesteps: See `OnlineModel`.
        reduce: See `OnlineModel`. Defaults to `"mean"`.

    Example:

    >>> stack = [keras.layers.Dense(8), keras_spiking.layers.LIFLayer()]
    >>> model = keras_spiking.online.SLTT(
    ...     stack + [keras.layers.Dense(2)], timesteps=10
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("adam", "mse")
    ...     x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
    ...     history = model.fit(x, y, verbose=0)

    References:
        - [Meng et al., 2023](https://arxiv.org/abs/2302.14311)
    """
