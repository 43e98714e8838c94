"""Local learning rules: a synapse learns from the spikes on its two sides."""

from keras_spiking.learning.hebbian import Hebbian
from keras_spiking.learning.learner import Learner
from keras_spiking.learning.reward_modulated import MSTDP
from keras_spiking.learning.reward_modulated import MSTDPET
from keras_spiking.learning.stdp import STDP

__all__ = ["MSTDP", "MSTDPET", "STDP", "Hebbian", "Learner"]
