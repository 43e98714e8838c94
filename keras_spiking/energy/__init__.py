"""Operations and energy of spiking models: counted on data, beside those of an ANN."""

from keras_spiking.energy.costs import COSTS
from keras_spiking.energy.costs import Cost
from keras_spiking.energy.costs import with_memory
from keras_spiking.energy.fan_out import fan_out
from keras_spiking.energy.report import Neurons
from keras_spiking.energy.report import Report
from keras_spiking.energy.report import Synapses
from keras_spiking.energy.report import report

__all__ = [
    "COSTS",
    "Cost",
    "Neurons",
    "Report",
    "Synapses",
    "fan_out",
    "report",
    "with_memory",
]
