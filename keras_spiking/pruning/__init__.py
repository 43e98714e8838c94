"""Sparse connections: training that prunes and rewires, masks, and what they save."""

from keras_spiking.pruning.deep_r import DeepR
from keras_spiking.pruning.grad_r import GradR
from keras_spiking.pruning.keep_zeros import KeepZeros
from keras_spiking.pruning.magnitude import MagnitudePruning
from keras_spiking.pruning.masks import apply_masks
from keras_spiking.pruning.masks import masks_of
from keras_spiking.pruning.optimizer import PruningOptimizer
from keras_spiking.pruning.report import SparsityReport
from keras_spiking.pruning.report import report

__all__ = [
    "DeepR",
    "GradR",
    "KeepZeros",
    "MagnitudePruning",
    "PruningOptimizer",
    "SparsityReport",
    "apply_masks",
    "masks_of",
    "report",
]
