import math

import numpy as np

from keras_spiking.validation import check_integer
from keras_spiking.visualization.figure import SEQUENTIAL
from keras_spiking.visualization.figure import integer_ticks
from keras_spiking.visualization.figure import new_figure
from keras_spiking.visualization.figure import to_array


def plot_heat_map(
    values: np.ndarray,
    title: str = "Membrane potentials",
    label: str = "Membrane potential",
    ylabel: str = "Neuron",
    figsize: tuple[float, float] = (8, 4.5),
):
    """A value of many neurons over time, as colours.

    Args:
        values: Array `(time, neurons)`.
        title: String. Defaults to `"Membrane potentials"`.
        label: String, what the colours mean. Defaults to `"Membrane potential"`.
        ylabel: String. Defaults to `"Neuron"`.
        figsize: Width and height in inches. Defaults to `(8, 4.5)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> v = keras.random.normal((50, 20))
    >>> figure = keras_spiking.visualization.plot_heat_map(v)
    """
    values = to_array("values", values, 2, "(time, neurons)")
    figure = new_figure(figsize)
    axes = figure.subplots()
    image = axes.imshow(
        values.T, aspect="auto", interpolation="nearest", cmap=SEQUENTIAL
    )
    axes.set(title=title, xlabel="Time (steps)", ylabel=ylabel)
    integer_ticks(axes.xaxis)
    integer_ticks(axes.yaxis)
    figure.colorbar(image, ax=axes, label=label)
    return figure


def plot_bars(
    values: np.ndarray,
    title: str = "Membrane potentials",
    label: str = "Membrane potential",
    figsize: tuple[float, float] = (8, 6),
):
    """A value of few neurons over few steps, as bars in three dimensions.

    Args:
        values: Array `(time, neurons)`.
        title: String. Defaults to `"Membrane potentials"`.
        label: String, what heights mean. Defaults to `"Membrane potential"`.
        figsize: Width and height in inches. Defaults to `(8, 6)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> rates = keras.random.uniform((8, 5))
    >>> figure = keras_spiking.visualization.plot_bars(rates, label="Firing rate")
    """
    values = to_array("values", values, 2, "(time, neurons)")
    figure = new_figure(figsize)
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    axes = figure.add_subplot(projection="3d")
    time, neuron = np.indices(values.shape).reshape(2, -1)
    heights = values.reshape(-1)
    colors = colormaps[SEQUENTIAL](Normalize()(heights))
    axes.bar3d(
        time - 0.4, neuron - 0.4, np.zeros_like(heights), 0.8, 0.8, heights, colors
    )
    axes.set(title=title, xlabel="Time (steps)", ylabel="Neuron", zlabel=label)
    axes.set_box_aspect(None, zoom=0.95)  # room for the label of the third axis
    integer_ticks(axes.xaxis)
    integer_ticks(axes.yaxis)
    return figure


def plot_feature_maps(
    maps: np.ndarray,
    columns: int | None = None,
    title: str = "Spiking feature maps",
    label: str | None = None,
    figsize: tuple[float, float] = (8, 6),
):
    """The channels of a convolution at one time step, or averaged over time.

    Args:
        maps: Array `(height, width, channels)`: spikes of one step, or firing
            rates.
        columns: Integer, how many channels in a row. Defaults to a square.
        title: String. Defaults to `"Spiking feature maps"`.
        label: String, what the colours mean. Defaults to `"Spike"` for zeros and
            ones, else `"Firing rate (spikes per step)"`.
        figsize: Width and height in inches. Defaults to `(8, 6)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> spikes = keras.random.uniform((16, 16, 12)) < 0.3
    >>> figure = keras_spiking.visualization.plot_feature_maps(spikes)
    """
    maps = to_array("maps", maps, 3, "(height, width, channels)")
    channels = maps.shape[-1]
    if columns is None:
        columns = math.ceil(math.sqrt(channels))
    columns = check_integer("columns", columns, minimum=1)
    rows = math.ceil(channels / columns)
    if label is None:
        spikes = np.isin(maps, (0, 1)).all()
        label = "Spike" if spikes else "Firing rate (spikes per step)"
    figure = new_figure(figsize)
    all_axes = figure.subplots(rows, columns, squeeze=False)
    for channel, axes in enumerate(all_axes.flat):
        axes.set_axis_off()
        if channel < channels:
            scale = {"vmin": 0, "vmax": max(1, maps.max()), "cmap": SEQUENTIAL}
            axes.imshow(maps[..., channel], **scale)
            axes.set_title(channel, fontsize=8, pad=2)
    figure.suptitle(f"{title} ({channels} channels)")
    figure.colorbar(all_axes[0, 0].images[0], ax=all_axes, label=label)
    return figure
