"""Online training: gradients step by step, in memory that does not grow with time."""

from keras_spiking.online.eprop import EProp
from keras_spiking.online.fptt import FPTT
from keras_spiking.online.online_model import OnlineModel
from keras_spiking.online.ottt import OTTT
from keras_spiking.online.sltt import SLTT

__all__ = ["EProp", "FPTT", "OTTT", "OnlineModel", "SLTT"]
