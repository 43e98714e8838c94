"""Online training: gradients step by step, in memory that does not grow with time."""

from keras_spiking.online.online_model import OTTT
from keras_spiking.online.online_model import SLTT
