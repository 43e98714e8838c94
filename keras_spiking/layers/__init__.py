"""Layers: neurons, encoders, containers and readouts."""

from keras_spiking.layers.attention.channel_and_time import ChannelAttention
from keras_spiking.layers.attention.channel_and_time import MultiDimensionalAttention
from keras_spiking.layers.attention.channel_and_time import SpatialAttention
from keras_spiking.layers.attention.channel_and_time import TemporalAttention
from keras_spiking.layers.attention.linear_attention import LinearAttention
from keras_spiking.layers.attention.self_attention import QKAttention
from keras_spiking.layers.attention.self_attention import SpikeDrivenSelfAttention
from keras_spiking.layers.attention.self_attention import SpikingSelfAttention
from keras_spiking.layers.containers.elementwise_recurrent import ElementwiseRecurrent
from keras_spiking.layers.containers.linear_recurrent import LinearRecurrent
from keras_spiking.layers.containers.quantized import Quantized
from keras_spiking.layers.containers.recurrent_graph import RecurrentGraph
from keras_spiking.layers.containers.rematerialize import Rematerialize
from keras_spiking.layers.containers.seq_to_batch import SeqToBatch
from keras_spiking.layers.containers.single_step import SingleStep
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.layers.containers.with_states import WithStates
from keras_spiking.layers.encoders.encoder import Encoder
from keras_spiking.layers.encoders.gaussian_tuning import GaussianTuning
from keras_spiking.layers.encoders.latency import LatencyEncoder
from keras_spiking.layers.encoders.poisson import PoissonEncoder
from keras_spiking.layers.encoders.population import PopulationEncoder
from keras_spiking.layers.encoders.repeating import DirectEncoder
from keras_spiking.layers.encoders.repeating import PeriodicEncoder
from keras_spiking.layers.encoders.weighted_phase import WeightedPhaseEncoder
from keras_spiking.layers.neurons.adaptive import AdExLayer
from keras_spiking.layers.neurons.adaptive import ALIFLayer
from keras_spiking.layers.neurons.adaptive import IzhikevichLayer
from keras_spiking.layers.neurons.biophysical import ConductanceLIFLayer
from keras_spiking.layers.neurons.biophysical import NoisyLIFLayer
from keras_spiking.layers.neurons.biophysical import RefractoryLIFLayer
from keras_spiking.layers.neurons.biophysical import ResonateAndFireLayer
from keras_spiking.layers.neurons.cable import MultiCompartmentLIFLayer
from keras_spiking.layers.neurons.competition import LateralInhibitionLayer
from keras_spiking.layers.neurons.competition import WinnerTakeAllLayer
from keras_spiking.layers.neurons.conductances import HodgkinHuxleyLayer
from keras_spiking.layers.neurons.conductances import MorrisLecarLayer
from keras_spiking.layers.neurons.cuba_lif import CubaLIFLayer
from keras_spiking.layers.neurons.current_based import CubaLayer
from keras_spiking.layers.neurons.delayed_reset import AlphaLayer
from keras_spiking.layers.neurons.delayed_reset import LeakyLayer
from keras_spiking.layers.neurons.delayed_reset import SynapticLayer
from keras_spiking.layers.neurons.dsr import DSRIFLayer
from keras_spiking.layers.neurons.dsr import DSRLIFLayer
from keras_spiking.layers.neurons.event_prop import EventPropLayer
from keras_spiking.layers.neurons.few_spike import FewSpikeLayer
from keras_spiking.layers.neurons.few_spike import HierarchicallyGatedLayer
from keras_spiking.layers.neurons.gated_lif import GatedLIFLayer
from keras_spiking.layers.neurons.graded import ILIFLayer
from keras_spiking.layers.neurons.graded import LIAFLayer
from keras_spiking.layers.neurons.graded import SigmaDeltaLayer
from keras_spiking.layers.neurons.integrate_and_fire import IFLayer
from keras_spiking.layers.neurons.intra_layer import ILCCubaLayer
from keras_spiking.layers.neurons.intra_layer import ILCIFLayer
from keras_spiking.layers.neurons.intra_layer import ILCLIFLayer
from keras_spiking.layers.neurons.intra_layer import NoisyILCCubaLayer
from keras_spiking.layers.neurons.klif import KLIFLayer
from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.neurons.leaky_integrator import LILayer
from keras_spiking.layers.neurons.lif_variants import ComplementaryLIFLayer
from keras_spiking.layers.neurons.lif_variants import GeneralLinearLayer
from keras_spiking.layers.neurons.liquid import LTCLayer
from keras_spiking.layers.neurons.membrane_norm import (
    MembraneBatchNormalizationLIFLayer,
)
from keras_spiking.layers.neurons.multi_spike import MultiSpikeLayer
from keras_spiking.layers.neurons.nonlinear_integrate_and_fire import EIFLayer
from keras_spiking.layers.neurons.nonlinear_integrate_and_fire import QIFLayer
from keras_spiking.layers.neurons.parallel_lif import ParallelLIFLayer
from keras_spiking.layers.neurons.parallel_spiking import PSN
from keras_spiking.layers.neurons.parallel_spiking import MaskedPSN
from keras_spiking.layers.neurons.parallel_spiking import SlidingPSN
from keras_spiking.layers.neurons.parametric_lif import ParametricLIFLayer
from keras_spiking.layers.neurons.resonator import S5RFLayer
from keras_spiking.layers.neurons.silif import CSiLIFLayer
from keras_spiking.layers.neurons.silif import SiLIFLayer
from keras_spiking.layers.neurons.spike_response import SRMLayer
from keras_spiking.layers.neurons.st_bif import STBIFLayer
from keras_spiking.layers.neurons.symplectic import SEAdLIFLayer
from keras_spiking.layers.neurons.ternary import TernaryIFLayer
from keras_spiking.layers.neurons.ternary import TernaryLIFLayer
from keras_spiking.layers.neurons.two_compartments import TCLIFLayer
from keras_spiking.layers.normalization.batch_normalization import (
    BatchNormalizationThroughTime,
)
from keras_spiking.layers.normalization.batch_normalization import (
    TemporalEffectiveBatchNormalization,
)
from keras_spiking.layers.normalization.batch_normalization import (
    ThresholdDependentBatchNormalization,
)
from keras_spiking.layers.normalization.neu_norm import NeuNorm
from keras_spiking.layers.readouts.counts import CountToSpikes
from keras_spiking.layers.readouts.counts import TemporalBinSum
from keras_spiking.layers.readouts.integrator import Integrator
from keras_spiking.layers.readouts.rates import FiringRate
from keras_spiking.layers.readouts.rates import SpikeCount
from keras_spiking.layers.readouts.spike_count_to_binary import SpikeCountToBinary
from keras_spiking.layers.readouts.tempotron import Tempotron
from keras_spiking.layers.readouts.voting import ChannelPooling
from keras_spiking.layers.readouts.voting import Voting
from keras_spiking.layers.recurrent.cells import SpikingGRUCell
from keras_spiking.layers.recurrent.cells import SpikingLSTMCell
from keras_spiking.layers.recurrent.cells import SpikingRNNCell
from keras_spiking.layers.recurrent.stacked import StackedRNN
from keras_spiking.layers.regularization.coloured_noise import ColouredNoise
from keras_spiking.layers.regularization.drop_connect import DropConnectDense
from keras_spiking.layers.regularization.dropout import Dropout
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.layers.synapses.delay import Delay
from keras_spiking.layers.synapses.delay import LearnableDelay
from keras_spiking.layers.synapses.delayed_dense import DelayedDense
from keras_spiking.layers.synapses.dendrites import DendriticBranches
from keras_spiking.layers.synapses.short_term_plasticity import ShortTermPlasticity
from keras_spiking.layers.synapses.synapse_filters import AlphaSynapse
from keras_spiking.layers.synapses.synapse_filters import DualExponentialSynapse
from keras_spiking.layers.synapses.synapse_filters import SynapseFilter
from keras_spiking.layers.synapses.weight_standardization import (
    WeightStandardizedConv2D,
)
from keras_spiking.layers.synapses.weight_standardization import WeightStandardizedDense
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.layers.transforms.adaptive_pooling import AdaptiveAveragePooling2D
from keras_spiking.layers.transforms.centered_max_pooling import CenteredMaxPooling2D
from keras_spiking.layers.transforms.differential import SpikingGELU
from keras_spiking.layers.transforms.differential import SpikingLayerNormalization
from keras_spiking.layers.transforms.differential import SpikingSoftmax
from keras_spiking.layers.transforms.matrix import AXAT
from keras_spiking.layers.transforms.matrix import DCT
from keras_spiking.parameter import Parameter

__all__ = [
    "MultiCompartmentLIFLayer",
    "HodgkinHuxleyLayer",
    "MorrisLecarLayer",
    "DSRIFLayer",
    "DSRLIFLayer",
    "FewSpikeLayer",
    "HierarchicallyGatedLayer",
    "ILCCubaLayer",
    "ILCIFLayer",
    "ILCLIFLayer",
    "NoisyILCCubaLayer",
    "LTCLayer",
    "S5RFLayer",
    "CSiLIFLayer",
    "SiLIFLayer",
    "SRMLayer",
    "STBIFLayer",
    "SEAdLIFLayer",
    "TernaryIFLayer",
    "TernaryLIFLayer",
    "TCLIFLayer",
    "ColouredNoise",
    "DendriticBranches",
    "ShortTermPlasticity",
    "SpikingGELU",
    "SpikingLayerNormalization",
    "SpikingSoftmax",
    "AdExLayer",
    "ALIFLayer",
    "AlphaLayer",
    "AlphaSynapse",
    "AXAT",
    "AdaptiveAveragePooling2D",
    "BatchNormalizationThroughTime",
    "CenteredMaxPooling2D",
    "ChannelAttention",
    "ChannelPooling",
    "ComplementaryLIFLayer",
    "ConductanceLIFLayer",
    "CountToSpikes",
    "CubaLayer",
    "CubaLIFLayer",
    "DCT",
    "Delay",
    "DelayedDense",
    "DirectEncoder",
    "DropConnectDense",
    "Dropout",
    "DualExponentialSynapse",
    "EIFLayer",
    "ElementwiseRecurrent",
    "Encoder",
    "EventPropLayer",
    "FiringRate",
    "GatedLIFLayer",
    "GaussianTuning",
    "GeneralLinearLayer",
    "IFLayer",
    "ILIFLayer",
    "Integrator",
    "IzhikevichLayer",
    "KLIFLayer",
    "LatencyEncoder",
    "LateralInhibitionLayer",
    "LeakyLayer",
    "LearnableDelay",
    "LIAFLayer",
    "LIFLayer",
    "LILayer",
    "LinearAttention",
    "LinearRecurrent",
    "MaskedPSN",
    "MembraneBatchNormalizationLIFLayer",
    "MultiDimensionalAttention",
    "MultiSpikeLayer",
    "NeuNorm",
    "NoisyLIFLayer",
    "ParallelLIFLayer",
    "Parameter",
    "ParametricLIFLayer",
    "PeriodicEncoder",
    "PoissonEncoder",
    "PopulationEncoder",
    "PSN",
    "QIFLayer",
    "QKAttention",
    "Quantized",
    "RecurrentGraph",
    "RefractoryLIFLayer",
    "Rematerialize",
    "ResonateAndFireLayer",
    "SeqToBatch",
    "SigmaDeltaLayer",
    "SingleStep",
    "SlidingPSN",
    "SpatialAttention",
    "SpikeCount",
    "SpikeCountToBinary",
    "SpikeDrivenSelfAttention",
    "SpikingGRUCell",
    "SpikingLayer",
    "SpikingLSTMCell",
    "SpikingRNNCell",
    "SpikingSelfAttention",
    "StackedRNN",
    "StepByStep",
    "SynapseFilter",
    "SynapticLayer",
    "TemporalAttention",
    "TemporalBinSum",
    "TemporalEffectiveBatchNormalization",
    "TemporalLayer",
    "Tempotron",
    "ThresholdDependentBatchNormalization",
    "Voting",
    "WeightedPhaseEncoder",
    "WeightStandardizedConv2D",
    "WeightStandardizedDense",
    "WinnerTakeAllLayer",
    "WithStates",
]
