from typing import Any

import keras
import numpy as np

from keras_spiking.callbacks.monitors import OutputMonitor
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.inspection.selection import select_layers
from keras_spiking.visualization.figure import BLUE
from keras_spiking.visualization.figure import GREY
from keras_spiking.visualization.figure import ORANGE
from keras_spiking.visualization.figure import integer_ticks
from keras_spiking.visualization.figure import new_figure


def plot_network_activity(
    model: keras.layers.Layer,
    data: Any,
    title: str = "Network activity",
    figsize: tuple[float, float] = (9, 4.5),
):
    """How much the layers of a model spike, over time and over neurons.

    On the left, the mean firing rate of every spiking layer at every time step; on
    the right, how the firing rates of its neurons are distributed, and how many
    neurons never fired. Neurons in containers, wrappers and sub-models are shown, too;
    those that return their last step only are not.

    Args:
        model: Model or layer.
        data: Batch of inputs of the model.
        title: String. Defaults to `"Network activity"`.
        figsize: Width and height in inches. Defaults to `(9, 4.5)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if the model has no such layers.
    """

    def returns_sequences(layer):
        return is_spiking(layer) and getattr(layer, "return_sequences", True)

    select_layers(model, None, returns_sequences)
    recorded = OutputMonitor(layers=returns_sequences).record(model, data)
    over_time = {
        name: s.mean(axis=tuple(i for i in range(s.ndim) if i != 1))
        for name, s in recorded.items()
    }
    rates = {name: s.mean(axis=(0, 1)).reshape(-1) for name, s in recorded.items()}
    return plot_rates(over_time, rates, title, figsize)


def plot_rates(
    rates_over_time: dict[str, np.ndarray],
    neuron_rates: dict[str, np.ndarray],
    title: str,
    figsize: tuple[float, float],
):
    """The picture of `plot_network_activity`.

    Args:
        rates_over_time: Dictionary from names of layers to arrays `(time,)`.
        neuron_rates: The same to arrays `(neurons,)`.
        title: String.
        figsize: Width and height in inches.
    """
    names, rates = list(neuron_rates), list(neuron_rates.values())
    figure = new_figure(figsize)
    over_time, over_neurons = figure.subplots(1, 2, width_ratios=[3, 2])
    styles = ("-", "--", "-.", ":")
    colors = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
    for i, (name, rate) in enumerate(rates_over_time.items()):
        style, color = styles[i % len(styles)], colors[i % len(colors)]
        over_time.plot(rate, style, color=color, marker=".", label=name)
    over_time.set(
        title="Mean over neurons",
        xlabel="Time (steps)",
        ylabel="Firing rate (spikes per step)",
    )
    over_time.set_ylim(bottom=0)
    integer_ticks(over_time.xaxis)
    over_time.legend(fontsize=8)
    over_time.grid(color=GREY, alpha=0.3)
    over_neurons.boxplot(
        rates, orientation="horizontal", whis=(0, 100), medianprops={"color": ORANGE}
    )
    silent = [f"{np.mean(rate == 0):.0%} silent" for rate in rates]
    labels = [f"{name}\n({share})" for name, share in zip(names, silent)]
    over_neurons.set_yticks(range(1, len(names) + 1), labels, fontsize=8)
    over_neurons.invert_yaxis()
    over_neurons.set(
        title="Distribution over neurons", xlabel="Firing rate (spikes per step)"
    )
    over_neurons.set_xlim(left=-0.02)
    figure.suptitle(title)
    return figure
