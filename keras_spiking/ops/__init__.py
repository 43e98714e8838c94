"""Operations over time, in `keras.ops`: the reference of all that is faster."""

import warnings

from keras_spiking.ops.reduce import reduce_time
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.ops.time_loop import time_loop

__all__ = ["reduce_time", "straight_through", "time_loop"]


def run_steps(layer, inputs, states, mask=None):
    """Deprecated: use `layer.run_steps(inputs, states, mask)`."""
    warnings.warn(
        "`keras_spiking.ops.run_steps(layer, ...)` is deprecated: use "
        "`layer.run_steps(...)`.",
        DeprecationWarning,
        stacklevel=2,
    )
    return layer.run_steps(inputs, states, mask)
