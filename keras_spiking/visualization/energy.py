import numpy as np

from keras_spiking.visualization.figure import BLUE
from keras_spiking.visualization.figure import GREY
from keras_spiking.visualization.figure import ORANGE
from keras_spiking.visualization.figure import new_figure


def plot_energy(report, figsize):
    """Operations of each layer and energies of each cost. See `energy.Report.plot`."""
    figure = new_figure(figsize)
    layers, costs = figure.subplots(ncols=2, width_ratios=[3, 2])
    place = np.arange(len(report.synapses))
    numbers = np.array([[x.acs, x.macs, x.ann_macs] for x in report.synapses]).T
    acs, macs, ann = numbers.reshape(3, -1)
    layers.barh(place - 0.2, acs, 0.4, color=BLUE, label="SNN: accumulations")
    layers.barh(
        place - 0.2, macs, 0.4, acs, color=ORANGE, label="SNN: multiply-accumulations"
    )
    layers.barh(place + 0.2, ann, 0.4, color=GREY, label="ANN: multiply-accumulations")
    layers.set(
        title="Operations per sample",
        yticks=place,
        yticklabels=[x.name[-27:] for x in report.synapses],
        ylim=(len(place) - 0.5, -0.5),
    )
    layers.tick_params(axis="y", labelsize=min(9, 250 / max(len(place), 1)))
    place = np.arange(len(report.costs))
    snn = [report.snn_energy(cost) * 1e6 for cost in report.costs]
    ann = [(report.ann_energy(cost) or 0.0) * 1e6 for cost in report.costs]
    costs.barh(place - 0.2, snn, 0.4, color=BLUE)
    costs.barh(place + 0.2, ann, 0.4, color=GREY)
    if any(snn) or any(ann):
        costs.set_xscale("log")
    costs.set(
        title="Microjoules per sample",
        yticks=place,
        yticklabels=[cost.name for cost in report.costs],
        ylim=(len(place) - 0.5, -0.5),
    )
    figure.legend(loc="outside lower center", ncols=3)
    return figure
