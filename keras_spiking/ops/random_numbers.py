"""Random numbers of layers."""

import keras

from keras_spiking import backends


def uniform(layer, shape):
    """Random numbers between 0 and 1, from the `seed_generator` of a layer.

    They are float32: in half precision the smallest probabilities would be lost.
    """
    check_not_exported(layer)
    return backends.active().uniform(shape, layer)


def normal(layer, shape, dtype):
    """Normal random numbers of variance 1, from the `seed_generator` of a layer."""
    check_not_exported(layer)
    return backends.active().normal(shape, dtype, layer)


def check_not_exported(layer):
    """Raises where PyTorch is tracing for an export, which takes no random numbers."""
    if keras.config.backend() != "torch":
        return
    from keras_spiking.backends.torch import is_exporting

    if is_exporting():
        raise NotImplementedError(
            f"{type(layer).__name__} '{layer.name}' draws random numbers: it cannot be "
            "exported from PyTorch. Export the model without it, and encode its inputs "
            "where it runs; or use a DirectEncoder."
        )
