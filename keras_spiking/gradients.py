"""Whether functions may have gradients of their own."""

import keras


def has_gradients() -> bool:
    """Whether `ops.custom_gradient` can be called."""
    if keras.config.backend() == "torch":
        import torch

        # TorchScript cannot hold functions of Python.
        return not torch.jit.is_tracing()
    return keras.config.backend() not in ("numpy", "openvino")
