import numpy as np
from numpy.typing import ArrayLike

from keras_spiking.validation import check_bool
from keras_spiking.visualization.figure import BLUE
from keras_spiking.visualization.figure import GREEN
from keras_spiking.visualization.figure import GREY
from keras_spiking.visualization.figure import ORANGE
from keras_spiking.visualization.figure import integer_ticks
from keras_spiking.visualization.figure import new_figure
from keras_spiking.visualization.figure import to_array


def plot_spikes(
    spikes: np.ndarray,
    firing_rate: bool = True,
    title: str = "Spikes",
    figsize: tuple[float, float] = (8, 4.5),
):
    """A raster of spikes: one row per neuron, one mark per spike.

    Args:
        spikes: Array `(time, neurons)` of zeros and ones.
        firing_rate: Boolean, whether to show the firing rate of every neuron
            beside it. Defaults to `True`.
        title: String. Defaults to `"Spikes"`.
        figsize: Width and height in inches. Defaults to `(8, 4.5)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> spikes = keras.random.uniform((50, 20)) < 0.2
    >>> figure = keras_spiking.visualization.plot_spikes(spikes)
    """
    check_bool("firing_rate", firing_rate)
    spikes = to_array("spikes", spikes, 2, "(time, neurons)")
    timesteps, neurons = spikes.shape
    figure = new_figure(figsize)
    # Room for the label of the rates, which is as wide in narrow figures.
    width = max(figsize[0] / 7, 0.75)
    widths = [figsize[0] - width, width] if firing_rate else [1]
    shape = {"ncols": len(widths), "width_ratios": widths}
    raster, *others = figure.subplots(**shape, sharey=True, squeeze=False)[0]
    time, neuron = np.nonzero(spikes)
    # Not as tall as a row, so that marks of neighbours do not merge.
    height = figsize[1] * 72 * 0.5 / neurons
    raster.scatter(time, neuron, marker="|", s=np.clip(height, 1, 12) ** 2, color=BLUE)
    raster.set(
        title=title,
        xlabel="Time (steps)",
        ylabel="Neuron",
        xlim=(-0.5, timesteps - 0.5),
        ylim=(neurons - 0.5, -0.5),
    )
    integer_ticks(raster.xaxis)
    integer_ticks(raster.yaxis)
    for rates in others:
        rates.barh(np.arange(neurons), spikes.mean(0), height=0.8, color=ORANGE)
        rates.set(xlim=(0, 1), xticks=[0, 1])
        rates.set_xlabel("Spikes\nper step", loc="right")
        rates.tick_params(labelleft=False)
    return figure


def plot_neuron(
    v: np.ndarray,
    spikes: np.ndarray,
    v_threshold: ArrayLike | None = 1.0,
    v_reset: float | None = 0.0,
    title: str = "Membrane potential and spikes of one neuron",
    figsize: tuple[float, float] = (8, 4.5),
    *,
    h: ArrayLike | None = None,
):
    """One neuron's membrane potential over time, and its spikes below.

    Args:
        v: Array `(time,)`, the membrane potential. That after the reset never reaches
            the threshold: give `h` as well.
        spikes: Array `(time,)` of zeros and ones.
        v_threshold: Float, or array `(time,)` of one that adapts, drawn as a line; or
            `None`. Defaults to `1.0`.
        v_reset: Float, drawn as a line, or `None` for a soft reset. Defaults to
            `0.0`.
        title: String.
        figsize: Width and height in inches. Defaults to `(8, 4.5)`.
        h: Array `(time,)`, the membrane potential before the reset, as
            `StateMonitor(before_reset=True)` records it: each reset is drawn as a fall
            from `h` to `v`. Defaults to `None`.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> figure = keras_spiking.visualization.plot_neuron(
    ...     v=[0.4, 0.8, 0.0, 0.5], spikes=[0, 0, 1, 0], h=[0.4, 0.8, 1.1, 0.5]
    ... )
    """
    v = to_array("v", v, 1, "(time,)")
    spikes = to_array("spikes", spikes, 1, "(time,)")
    arrays = {"spikes": spikes}
    if h is not None:
        arrays["h"] = to_array("h", h, 1, "(time,)")
    if v_threshold is not None and np.ndim(v_threshold):
        arrays["v_threshold"] = to_array("v_threshold", v_threshold, 1, "(time,)")
    for name, values in arrays.items():
        if len(v) != len(values):
            raise ValueError(
                f"`v` and `{name}` must have the same number of time steps. Received: "
                f"{len(v)} and {len(values)}"
            )
    figure = new_figure(figsize)
    above, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    time = np.arange(len(v))
    steps, potential = time, v
    if "h" in arrays:
        steps = np.repeat(time, 2)
        potential = np.stack([arrays["h"], v], axis=1).reshape(-1)
    above.plot(steps, potential, color=BLUE, marker=".", label="Membrane potential")
    style = {"color": ORANGE, "linestyle": "--", "label": "Threshold"}
    if "v_threshold" in arrays:
        above.plot(time, arrays["v_threshold"], **style)
    elif v_threshold is not None:
        above.axhline(v_threshold, **style)
    if v_reset is not None:
        above.axhline(v_reset, color=GREEN, linestyle=":", label="Reset")
    above.set(title=title, ylabel="Membrane potential")
    above.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    above.grid(color=GREY, alpha=0.3)
    below.vlines(np.flatnonzero(spikes), 0, 1, color=BLUE)
    below.set(
        xlabel="Time (steps)",
        ylabel="Spikes",
        yticks=[],
        ylim=(0, 1.1),
        xlim=(-0.5, len(v) - 0.5),
    )
    if not spikes.any():
        center = {"ha": "center", "va": "center", "transform": below.transAxes}
        below.text(0.5, 0.5, "no spikes", color=GREY, **center)
    integer_ticks(below.xaxis)
    return figure
