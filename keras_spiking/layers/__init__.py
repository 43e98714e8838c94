"""Layers: neurons, encoders, containers and readouts."""

from keras_spiking.layers.adaptive_neurons import AdExLayer
from keras_spiking.layers.adaptive_neurons import ALIFLayer
from keras_spiking.layers.adaptive_neurons import IzhikevichLayer
from keras_spiking.layers.attention import ChannelAttention
from keras_spiking.layers.attention import MultiDimensionalAttention
from keras_spiking.layers.attention import SpatialAttention
from keras_spiking.layers.attention import TemporalAttention
from keras_spiking.layers.biophysical_neurons import ConductanceLIFLayer
from keras_spiking.layers.biophysical_neurons import NoisyLIFLayer
from keras_spiking.layers.biophysical_neurons import RefractoryLIFLayer
from keras_spiking.layers.biophysical_neurons import ResonateAndFireLayer
from keras_spiking.layers.competition import LateralInhibitionLayer
from keras_spiking.layers.competition import WinnerTakeAllLayer
from keras_spiking.layers.current_based import CubaLayer
from keras_spiking.layers.delay import Delay
from keras_spiking.layers.delay import LearnableDelay
from keras_spiking.layers.drop_connect import DropConnectDense
from keras_spiking.layers.dropout import Dropout
from keras_spiking.layers.encoders import DirectEncoder
from keras_spiking.layers.encoders import Encoder
from keras_spiking.layers.encoders import PeriodicEncoder
from keras_spiking.layers.graded_neurons import ILIFLayer
from keras_spiking.layers.graded_neurons import LIAFLayer
from keras_spiking.layers.graded_neurons import SigmaDeltaLayer
from keras_spiking.layers.integrate_and_fire import IFLayer
from keras_spiking.layers.klif import KLIFLayer
from keras_spiking.layers.latency_encoder import LatencyEncoder
from keras_spiking.layers.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.leaky_integrator import LILayer
from keras_spiking.layers.lif_variants import ComplementaryLIFLayer
from keras_spiking.layers.lif_variants import GatedLIFLayer
from keras_spiking.layers.lif_variants import GeneralLinearLayer
from keras_spiking.layers.neu_norm import NeuNorm
from keras_spiking.layers.nonlinear_integrate_and_fire import EIFLayer
from keras_spiking.layers.nonlinear_integrate_and_fire import QIFLayer
from keras_spiking.layers.parallel_spiking_neurons import PSN
from keras_spiking.layers.parallel_spiking_neurons import MaskedPSN
from keras_spiking.layers.parallel_spiking_neurons import SlidingPSN
from keras_spiking.layers.parameter import Parameter
from keras_spiking.layers.parametric_lif import ParametricLIFLayer
from keras_spiking.layers.phase_encoder import WeightedPhaseEncoder
from keras_spiking.layers.poisson_encoder import PoissonEncoder
from keras_spiking.layers.population_encoder import PopulationEncoder
from keras_spiking.layers.readouts import FiringRate
from keras_spiking.layers.readouts import SpikeCount
from keras_spiking.layers.recurrent import ElementwiseRecurrent
from keras_spiking.layers.recurrent_cells import SpikingGRUCell
from keras_spiking.layers.recurrent_cells import SpikingLSTMCell
from keras_spiking.layers.recurrent_cells import SpikingRNNCell
from keras_spiking.layers.seq_to_batch import SeqToBatch
from keras_spiking.layers.small_layers import AXAT
from keras_spiking.layers.small_layers import DCT
from keras_spiking.layers.small_layers import ChannelPooling
from keras_spiking.layers.small_layers import SpikeCountToBinary
from keras_spiking.layers.small_layers import Voting
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.layers.step_by_step import StepByStep
from keras_spiking.layers.synapses import AlphaSynapse
from keras_spiking.layers.synapses import DualExponentialSynapse
from keras_spiking.layers.synapses import SynapseFilter
from keras_spiking.layers.temporal_batch_normalization import (
    BatchNormalizationThroughTime,
)
from keras_spiking.layers.temporal_batch_normalization import (
    TemporalEffectiveBatchNormalization,
)
from keras_spiking.layers.temporal_batch_normalization import (
    ThresholdDependentBatchNormalization,
)
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.layers.weight_standardization import WeightStandardizedConv2D
from keras_spiking.layers.weight_standardization import WeightStandardizedDense
