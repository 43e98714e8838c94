"""Pictures of spikes, membrane potentials and events, and reports on whole networks.

`report` writes an interactive page. Every plot, by matplotlib, returns a
`matplotlib.figure.Figure` and shows nothing by itself: in a notebook the returned
figure appears, elsewhere call `figure.savefig(path)`. Arrays may be NumPy arrays or
tensors of the backend; they hold one sample, time first.
"""

from keras_spiking.visualization.activity import plot_network_activity
from keras_spiking.visualization.events import animate_frames
from keras_spiking.visualization.events import plot_frames
from keras_spiking.visualization.maps import plot_bars
from keras_spiking.visualization.maps import plot_feature_maps
from keras_spiking.visualization.maps import plot_heat_map
from keras_spiking.visualization.report import report
from keras_spiking.visualization.spikes import plot_neuron
from keras_spiking.visualization.spikes import plot_spikes
from keras_spiking.visualization.tensorboard import TensorBoardFigures
from keras_spiking.visualization.tensorboard import TensorBoardReport

__all__ = [
    "TensorBoardFigures",
    "TensorBoardReport",
    "animate_frames",
    "plot_bars",
    "plot_feature_maps",
    "plot_frames",
    "plot_heat_map",
    "plot_network_activity",
    "plot_neuron",
    "plot_spikes",
    "report",
]
