"""Training over several devices, processes and hosts, on engines that exist."""

from keras_spiking.distribution.check import check
from keras_spiking.distribution.data_parallel import data_parallel
from keras_spiking.distribution.layout_map import layout_map

__all__ = ["check", "data_parallel", "layout_map"]
