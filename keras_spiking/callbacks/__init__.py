"""Callbacks: monitors, firing rates, energy, delays and local learning rules."""

from keras_spiking.callbacks.delay_annealing import DelayAnnealing
from keras_spiking.callbacks.energy_logger import EnergyLogger
from keras_spiking.callbacks.firing_rate_logger import FiringRateLogger
from keras_spiking.callbacks.local_learning import LocalLearning
from keras_spiking.callbacks.monitors import InputGradientMonitor
from keras_spiking.callbacks.monitors import InputMonitor
from keras_spiking.callbacks.monitors import OutputGradientMonitor
from keras_spiking.callbacks.monitors import OutputMonitor
from keras_spiking.callbacks.monitors import StateMonitor
from keras_spiking.callbacks.stdp import MSTDP
from keras_spiking.callbacks.stdp import STDP
from keras_spiking.callbacks.stdp import Hebbian

__all__ = [
    "DelayAnnealing",
    "EnergyLogger",
    "FiringRateLogger",
    "Hebbian",
    "InputGradientMonitor",
    "InputMonitor",
    "LocalLearning",
    "MSTDP",
    "OutputGradientMonitor",
    "OutputMonitor",
    "STDP",
    "StateMonitor",
]
