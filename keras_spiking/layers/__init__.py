"""Layers: neurons, encoders, containers and readouts."""

from keras_spiking.layers.dropout import Dropout
from keras_spiking.layers.encoders import DirectEncoder
from keras_spiking.layers.encoders import Encoder
from keras_spiking.layers.encoders import PeriodicEncoder
from keras_spiking.layers.integrate_and_fire import IFLayer
from keras_spiking.layers.latency_encoder import LatencyEncoder
from keras_spiking.layers.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.leaky_integrator import LILayer
from keras_spiking.layers.parameter import Parameter
from keras_spiking.layers.parametric_lif import ParametricLIFLayer
from keras_spiking.layers.phase_encoder import WeightedPhaseEncoder
from keras_spiking.layers.poisson_encoder import PoissonEncoder
from keras_spiking.layers.population_encoder import PopulationEncoder
from keras_spiking.layers.readouts import FiringRate
from keras_spiking.layers.readouts import SpikeCount
from keras_spiking.layers.recurrent import ElementwiseRecurrent
from keras_spiking.layers.seq_to_batch import SeqToBatch
from keras_spiking.layers.single_step import SingleStep
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.layers.step_by_step import StepByStep
from keras_spiking.layers.temporal_layer import TemporalLayer
