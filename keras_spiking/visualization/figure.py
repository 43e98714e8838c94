"""What all pictures share: figures without a window, arrays, and colours."""

import keras
import numpy as np

# Of the palette of Okabe and Ito, told apart by colour-blind readers, too.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
GREY = "#999999"

# Perceptually uniform, and monotonic in lightness.
SEQUENTIAL = "cividis"


def new_figure(figsize, **kwargs):
    """A figure outside of pyplot: it opens no window, and is freed like any object."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "Pictures need the package matplotlib: `pip install matplotlib`."
        ) from None
    return Figure(figsize=figsize, layout="constrained", **kwargs)


def to_array(name, values, ndim, meaning):
    """`values`, a tensor or array-like, as an array of the expected rank."""
    if hasattr(values, "shape") and not isinstance(values, np.ndarray):
        values = keras.ops.convert_to_numpy(values)
    values = np.asarray(values)
    if values.ndim != ndim or values.size == 0:
        raise ValueError(
            f"`{name}` must be an array {meaning} that is not empty. Received: an "
            f"array of shape {values.shape}. Of a batch, take one sample."
        )
    return values.astype("float32")


def integer_ticks(axis):
    from matplotlib.ticker import MaxNLocator

    steps = [1, 2, 5, 10]
    axis.set_major_locator(
        MaxNLocator("auto", integer=True, min_n_ticks=1, steps=steps)
    )
