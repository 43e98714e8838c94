"""Losses over spikes, potentials and times."""

from keras_spiking.losses.classification import FiringRateMSE
from keras_spiking.losses.classification import TemporalEfficientTraining
from keras_spiking.losses.clusters import SpikeClusterLoss
from keras_spiking.losses.clusters import spike_clusters
from keras_spiking.losses.over_time import LossOverTime
from keras_spiking.losses.similarity import SpikeSimilarity
from keras_spiking.losses.similarity import kernel_dot_product
from keras_spiking.losses.spike_trains import MembraneLoss
from keras_spiking.losses.spike_trains import SpikeCountLoss
from keras_spiking.losses.spike_trains import VanRossumDistance
from keras_spiking.losses.timing import FirstSpikeTimeLoss
from keras_spiking.losses.timing import TempotronLoss
from keras_spiking.losses.timing import TimeToFirstSpikeCrossentropy
from keras_spiking.losses.timing import first_spike_index
from keras_spiking.losses.timing import first_spike_time

__all__ = [
    "FiringRateMSE",
    "FirstSpikeTimeLoss",
    "LossOverTime",
    "MembraneLoss",
    "SpikeClusterLoss",
    "SpikeCountLoss",
    "SpikeSimilarity",
    "TemporalEfficientTraining",
    "TempotronLoss",
    "TimeToFirstSpikeCrossentropy",
    "VanRossumDistance",
    "first_spike_index",
    "first_spike_time",
    "kernel_dot_product",
    "spike_clusters",
]
