"""Local learning rules: a synapse learns from the spikes on its two sides."""

from keras_spiking.learning.hebbian import Hebbian
from keras_spiking.learning.learner import Learner
from keras_spiking.learning.reward_modulated import MSTDP
from keras_spiking.learning.reward_modulated import MSTDPET
from keras_spiking.learning.reward_modulated import DopamineSTDP
from keras_spiking.learning.stdp import STDP
from keras_spiking.learning.three_factor import ThreeFactor
from keras_spiking.learning.triplet_stdp import TripletSTDP

__all__ = [
    "DopamineSTDP",
    "Hebbian",
    "Learner",
    "MSTDP",
    "MSTDPET",
    "STDP",
    "ThreeFactor",
    "TripletSTDP",
]
