import keras
import numpy as np

from keras_spiking.layers import SpikingLayer
from keras_spiking.visualization.figure import BLUE
from keras_spiking.visualization.figure import GREY
from keras_spiking.visualization.figure import ORANGE
from keras_spiking.visualization.figure import integer_ticks
from keras_spiking.visualization.figure import new_figure


def plot_network_activity(model, data, title="Network activity", figsize=(9, 4.5)):
    """How much the layers of a model spike, over time and over neurons.

    On the left, the mean firing rate of every spiking layer at every time step; on
    the right, how the firing rates of its neurons are distributed, and how many
    neurons never fired.

    Args:
        model: Functional or Sequential model with spiking layers of its own (not
            inside containers).
        data: Batch of inputs of the model.
        title: String. Defaults to `"Network activity"`.
        figsize: Width and height in inches. Defaults to `(9, 4.5)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if the model has no such layers.
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, SpikingLayer) and layer.return_sequences
    ]
    if not layers:
        raise ValueError(
            f"The model '{model.name}' has no spiking layers that return sequences. "
            f"Its layers are {[layer.name for layer in model.layers]}."
        )
    outputs = [keras.tree.flatten(layer.output)[0] for layer in layers]
    spikes = keras.Model(model.inputs, outputs).predict(data, verbose=0)
    spikes = [spikes] if len(layers) == 1 else spikes
    figure = new_figure(figsize)
    over_time, over_neurons = figure.subplots(1, 2, width_ratios=[3, 2])
    styles = ("-", "--", "-.", ":")
    colors = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
    names = [layer.name for layer in layers]
    for i, s in enumerate(spikes):
        rate = s.mean(axis=tuple(j for j in range(s.ndim) if j != 1))
        style, color = styles[i % len(styles)], colors[i % len(colors)]
        over_time.plot(rate, style, color=color, marker=".", label=names[i])
    over_time.set(
        title="Mean over neurons",
        xlabel="Time (steps)",
        ylabel="Firing rate (spikes per step)",
    )
    over_time.set_ylim(bottom=0)
    integer_ticks(over_time.xaxis)
    over_time.legend(fontsize=8)
    over_time.grid(color=GREY, alpha=0.3)
    rates = [s.mean(axis=(0, 1)).reshape(-1) for s in spikes]
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
