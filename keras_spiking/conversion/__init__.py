"""Conversion of trained ANNs to spiking networks."""

from keras_spiking.conversion.convert import convert
from keras_spiking.conversion.cumulative_maximum import CumulativeMaximum
from keras_spiking.conversion.differences import Differences
from keras_spiking.conversion.fold_normalizations import fold_normalizations
from keras_spiking.conversion.neurons import RateIFLayer
from keras_spiking.conversion.neurons import SignedIFLayer
from keras_spiking.conversion.poisson import PoissonInput
from keras_spiking.conversion.qcfs import QCFS
from keras_spiking.conversion.report import Report
from keras_spiking.conversion.report import report
from keras_spiking.conversion.running_mean import RunningMean
from keras_spiking.conversion.simulate import simulate
from keras_spiking.conversion.spiking_model import SpikingModel

__all__ = [
    "CumulativeMaximum",
    "Differences",
    "PoissonInput",
    "QCFS",
    "RateIFLayer",
    "Report",
    "RunningMean",
    "SignedIFLayer",
    "SpikingModel",
    "convert",
    "fold_normalizations",
    "report",
    "simulate",
]
