"""Products of an input with the weights of a layer.

What runs them is up to the backend: see `Backend.dense` and its siblings.
"""

from typing import Any

from keras_spiking.backends.loading import active


def dense(x: Any, kernel: Any) -> Any:
    """The product of `(..., channels)` with a kernel `(channels, units)`."""
    return active().dense(x, kernel)


def conv(x: Any, kernel: Any, **options: Any) -> Any:
    """`keras.ops.conv`, with groups as the kernel's shape tells."""
    return active().conv(x, kernel, **options)


def depthwise_conv(x: Any, kernel: Any, **options: Any) -> Any:
    """`keras.ops.depthwise_conv`."""
    return active().depthwise_conv(x, kernel, **options)


def conv_transpose(x: Any, kernel: Any, **options: Any) -> Any:
    """`keras.ops.conv_transpose`."""
    return active().conv_transpose(x, kernel, **options)
